//! `nexus validate`: checks files without a server.

use nexus_cli_frame::{CliError, Exit, Output, files};
use nexus_spec::Diagnostic;
use serde_json::{Value, json};

use super::args::ValidateArgs;

pub(super) fn run(args: &ValidateArgs, output: &Output) -> Result<Exit, CliError> {
    let mut results = Vec::new();
    let mut broken = 0;
    for source in files::read_all(&args.files)? {
        let outcome = nexus_spec::parse(&source.text, &source.name);
        let valid = outcome.workflow.is_some() && !outcome.diagnostics.iter().any(Diagnostic::is_error);
        broken += usize::from(!valid);
        for diagnostic in &outcome.diagnostics {
            eprintln!("{}", show(diagnostic));
        }
        if output.is_table() && valid {
            let tasks = outcome.workflow.as_ref().map_or(0, |workflow| workflow.tasks.len());
            output.line(&format!(
                "{}: ok, {tasks} {}",
                source.name,
                if tasks == 1 { "task" } else { "tasks" }
            ))?;
        }
        results.push(json!({
            "file": source.name,
            "workflow": outcome.workflow.map(|workflow| workflow.name),
            "valid": valid,
            "diagnostics": outcome.diagnostics.iter().map(value).collect::<Vec<_>>(),
        }));
    }
    if !output.is_table() {
        output.value(&json!({"files": results}))?;
    }
    if broken > 0 {
        let files = if broken == 1 { "file is" } else { "files are" };
        return Err(CliError::Invalid(format!(
            "{broken} of {} {files} invalid",
            results.len()
        )));
    }
    Ok(Exit::Ok)
}

/// A finding as compilers write it, with its fix on a line of its own.
pub(super) fn show(diagnostic: &Diagnostic) -> String {
    line(&Finding {
        file: &diagnostic.file,
        line: diagnostic.line,
        column: diagnostic.column,
        error: diagnostic.is_error(),
        code: diagnostic.code,
        message: &diagnostic.message,
        fix: &diagnostic.fix,
    })
}

/// A finding of this program or of the server.
pub(super) struct Finding<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) error: bool,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) fix: &'a str,
}

/// A finding as compilers write it.
pub(super) fn line(finding: &Finding<'_>) -> String {
    let level = if finding.error { "error" } else { "warning" };
    let mut place = finding.file.to_owned();
    if finding.line > 0 {
        place.push_str(&format!(":{}:{}", finding.line, finding.column));
    }
    if !place.is_empty() {
        place.push_str(": ");
    }
    let mut text = format!("{place}{level}[{}]: {}", finding.code, finding.message);
    if !finding.fix.is_empty() {
        text.push_str(&format!("\n  fix: {}", finding.fix));
    }
    text
}

fn value(diagnostic: &Diagnostic) -> Value {
    json!({
        "code": diagnostic.code,
        "severity": if diagnostic.is_error() { "SEVERITY_ERROR" } else { "SEVERITY_WARNING" },
        "message": diagnostic.message,
        "fix": diagnostic.fix,
        "path": diagnostic.path,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_look_like_a_compilers() {
        let mut finding = Finding {
            file: "etl.yaml",
            line: 3,
            column: 5,
            error: true,
            code: "NX1203",
            message: "unknown task `exract`",
            fix: "did you mean `extract`?",
        };
        assert_eq!(
            line(&finding),
            "etl.yaml:3:5: error[NX1203]: unknown task `exract`\n  fix: did you mean `extract`?"
        );
        finding = Finding {
            line: 0,
            fix: "",
            error: false,
            ..finding
        };
        assert_eq!(line(&finding), "etl.yaml: warning[NX1203]: unknown task `exract`");
    }
}

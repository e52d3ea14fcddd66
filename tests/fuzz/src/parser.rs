//! The workflow file: any text gives a workflow or says why not, and a workflow can be written down and read again.

use nexus_engine::Plan;
use nexus_spec::{Workflow, parse, to_yaml};

pub(crate) const WORDS: &[&str] = &[
    "name: w\n",
    "tasks:\n",
    "  a:\n",
    "    noop: {}\n",
    "    needs: [a]\n",
    "    handles: [a]\n",
    "    bash: {run: \"true\"}\n",
    "    python: {code: \"def main(): pass\"}\n",
    "    http: {url: \"https://x.dev\"}\n",
    "isolation: warm",
    "    sql: {connection: c, statement: select :x, bind: {x: 1}}\n",
    "    grpc: {target: \"https://x.dev\", method: a.B/C, tls: {ca: x}, reflection: true}\n",
    "    if: tasks.a.output\n",
    "{{ tasks.a.output }}",
    "{{ params.x }}",
    "{{ secrets.s }}",
    "output: ",
    "params: {type: object}\n",
    "labels: {a: b}\n",
    "timeout: 90s\n",
    "retry: {max_attempts: 2}\n",
    "trigger_rule: all_done",
    "concurrency: {key: k, limit: 1}\n",
    "&x",
    "*x",
    "<<: *x",
    "|\n",
    ">-\n",
    "!!str",
    "!x",
    "? ",
    "- ",
    "---\n",
    "...\n",
    "# c\n",
    "'",
    "\"",
    "null",
    "true",
    "1e3",
    "0x1f",
    ".inf",
    "{",
    "}",
    "[",
    "]",
    ",",
    ": ",
    "\t",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{0}",
    "🦀",
    "18446744073709551616",
    "-0",
    "2026-01-01",
    "010",
    "~",
    "%YAML 1.2\n",
    "\\u0000",
    "\\x41",
];

/// Reads any text as a workflow file.
pub fn parser(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let outcome = parse(&text, "fuzz.yaml");
    let errors = outcome.errors().count();
    assert_eq!(outcome.workflow.is_some(), errors == 0, "either a workflow or an error");
    assert_eq!(outcome.workflow.is_some(), outcome.graph.is_some());
    let lines = u32::try_from(text.split(['\n', '\r']).count()).unwrap_or(u32::MAX);
    for diagnostic in &outcome.diagnostics {
        assert!(diagnostic.line <= lines + 1, "{diagnostic:?} is behind the end");
        assert!(!diagnostic.message.is_empty() && diagnostic.code.starts_with("NX"));
    }
    let Some(workflow) = outcome.workflow else { return };
    let again = |written: &str, form: &str| -> Workflow {
        let read = parse(written, form);
        let found: Vec<String> = read.diagnostics.iter().map(ToString::to_string).collect();
        read.workflow
            .unwrap_or_else(|| panic!("the {form} form is refused: {found:?}\n{written}"))
    };
    let yaml = to_yaml(&workflow);
    assert_eq!(again(&yaml, "YAML"), workflow, "as YAML:\n{yaml}");
    assert_eq!(to_yaml(&again(&yaml, "YAML")), yaml, "YAML is canonical");
    let document = workflow.to_document();
    assert_eq!(again(&document, "JSON"), workflow, "as JSON:\n{document}");
    let stored = Workflow::from_document(&document).unwrap_or_else(|error| panic!("{error}\n{document}"));
    assert_eq!(stored, workflow, "as it is stored:\n{document}");
    assert_eq!(stored.digest(), workflow.digest());
    if let Err(error) = Plan::new(&workflow, 1) {
        panic!("a valid workflow cannot be made ready: {error}\n{yaml}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_spec::KindName;

    #[test]
    fn each_kind_is_among_the_words() {
        for kind in KindName::ALL {
            let key = format!("    {kind}: ");
            assert!(WORDS.iter().any(|word| word.starts_with(&key)), "{kind}");
        }
    }
}

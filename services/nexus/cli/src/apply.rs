//! `nexus apply`: makes workflows be what their files say.

use nexus_api::common::v1::{Diagnostic, Severity};
use nexus_api::definitions::v1::{ApplyOutcome, ApplyWorkflowRequest, ApplyWorkflowResponse};
use nexus_cli_frame::{
    CliError, Exit, Output, Target,
    files::{self, Source},
    output,
};
use serde_json::json;

use super::args::ApplyArgs;
use super::client::Clients;
use super::schedules::file::keep;
use super::validate::{Finding, line};

pub(super) async fn run(args: &ApplyArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let sources = files::read_all(&args.files)?;
    let (mut applied, mut broken) = (Vec::new(), 0);
    for source in &sources {
        match apply(&clients, source, args.dry_run, &args.message).await {
            Ok(response) => {
                if output.is_table() {
                    output.line(&told(&response, &source.name, args.dry_run))?;
                }
                applied.push(output::json(&response, "nexus.definitions.v1.ApplyWorkflowResponse")?);
            }
            // One broken file does not keep the others of a folder from being applied.
            Err(error) if error.exit() == Exit::Invalid => {
                broken += 1;
                eprintln!("{}: {}", source.name, error.report());
            }
            Err(error) => return Err(error),
        }
    }
    if !output.is_table() {
        output.value(&json!({"applied": applied}))?;
    }
    if broken > 0 {
        return Err(CliError::Invalid(format!(
            "{broken} of {} files could not be applied",
            sources.len()
        )));
    }
    Ok(Exit::Ok)
}

/// Applies one file, and shows the warnings about it.
pub(super) async fn apply(
    clients: &Clients,
    source: &Source,
    validate_only: bool,
    message: &str,
) -> Result<ApplyWorkflowResponse, CliError> {
    let request = ApplyWorkflowRequest {
        source: source.text.clone(),
        file: source.name.clone(),
        validate_only,
        message: message.to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let response = clients
        .definitions
        .clone()
        .apply_workflow(request)
        .await
        .map_err(|status| clients.error(status))?;
    let response = response.into_inner();
    warn(&response.diagnostics);
    let kept = keep(clients.schedules.clone(), &source.text, validate_only).await;
    for line in kept.map_err(|status| clients.error(status))?.lines {
        eprintln!(
            "{line}{}",
            if validate_only {
                " (dry run: nothing was changed)"
            } else {
                ""
            }
        );
    }
    Ok(response)
}

/// Shows what the server found.
pub(super) fn warn(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let finding = Finding {
            file: &diagnostic.file,
            line: diagnostic.line,
            column: diagnostic.column,
            error: diagnostic.severity() == Severity::Error,
            code: &diagnostic.code,
            message: &diagnostic.message,
            fix: &diagnostic.fix,
        };
        eprintln!("{}", line(&finding));
    }
}

fn told(response: &ApplyWorkflowResponse, file: &str, dry_run: bool) -> String {
    let done = match response.outcome() {
        ApplyOutcome::Created => "created",
        ApplyOutcome::Updated => "updated",
        ApplyOutcome::Unchanged => "unchanged",
        ApplyOutcome::Unspecified => "applied",
    };
    let workflow = response.workflow.clone().unwrap_or_default();
    let would = if dry_run { " (dry run: nothing was changed)" } else { "" };
    format!(
        "{}: {done} at revision {}, from {file}{would}",
        workflow.name, workflow.latest_revision
    )
}

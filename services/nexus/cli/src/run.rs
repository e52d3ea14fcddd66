//! `nexus run`: starts an execution, and stays with it when asked to.

use nexus_api::definitions::v1::GetRevisionRequest;
use nexus_api::execution::v1::{Execution, StartExecutionRequest};
use nexus_cli_frame::{CliError, Exit, Output, Target, files};
use serde_json::Value;

use super::args::RunArgs;
use super::client::Clients;
use super::{apply, execution, executions, params, watch};

pub(super) async fn run(args: &RunArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let wanted = wanted(args, &clients).await?;
    let base = args.params_file.as_deref().map(read_params).transpose()?;
    let given = params::parse(base, &args.params, wanted.schema.as_ref(), |path| {
        files::read(path.as_ref()).map(|source| source.text)
    })?;
    let request = StartExecutionRequest {
        workflow: wanted.workflow,
        revision: wanted.revision,
        params: Value::Object(given).to_string(),
        labels: params::labels(&args.labels)?,
        // An id of our own makes it safe to repeat the call.
        request_id: if args.request_id.is_empty() {
            uuid::Uuid::new_v4().to_string()
        } else {
            args.request_id.clone()
        },
    };
    let started = clients
        .executions
        .clone()
        .start_execution(request)
        .await
        .map_err(|status| clients.error(status))?;
    let started = started.into_inner();
    let execution = started.execution.unwrap_or_default();
    if started.existing {
        eprintln!("this request id started {} before", execution.id);
    }
    stay(args, &clients, output, execution).await
}

/// Shows the execution, or first waits for its end.
async fn stay(args: &RunArgs, clients: &Clients, output: &Output, execution: Execution) -> Result<Exit, CliError> {
    if !args.watch && !args.wait {
        if output.is_table() {
            output.line(&execution.id)?;
            eprintln!("see it with: nexus executions watch {}", execution.id);
        } else {
            output.message(&execution, "nexus.execution.v1.Execution")?;
        }
        return Ok(Exit::Ok);
    }
    let id = execution.id;
    if args.watch {
        let watched = watch::watch(clients, &id, args.timeout, &watch::Sink::Stderr).await?;
        if watched == Exit::Interrupted {
            return Ok(watched);
        }
    } else {
        eprintln!("{id}");
        executions::wait_for(clients, &id, args.timeout).await?;
    }
    let ended = execution::fetch(clients, &id).await?;
    if output.is_table() {
        if !ended.output.is_empty() {
            let value: Value = serde_json::from_str(&ended.output).unwrap_or(Value::String(ended.output.clone()));
            output.line(&format!("{value:#}"))?;
        }
        executions::explain(&ended);
    } else {
        output.message(&ended, "nexus.execution.v1.Execution")?;
    }
    Ok(Exit::of_state(ended.state()))
}

/// What to start, and what its parameters look like.
struct Wanted {
    workflow: String,
    revision: u32,
    schema: Option<Value>,
}

async fn wanted(args: &RunArgs, clients: &Clients) -> Result<Wanted, CliError> {
    if let Some(path) = &args.file {
        let source = files::read(path)?;
        let applied = apply::apply(clients, &source, false, "")
            .await?
            .workflow
            .unwrap_or_default();
        return schema(clients, applied.name, applied.latest_revision).await;
    }
    schema(clients, args.workflow.clone().unwrap_or_default(), args.revision).await
}

/// The revision's schema. Asking for it also finds a misspelt name, with the one that was meant.
async fn schema(clients: &Clients, workflow: String, revision: u32) -> Result<Wanted, CliError> {
    let request = GetRevisionRequest {
        workflow: workflow.clone(),
        revision,
    };
    let response = clients
        .definitions
        .clone()
        .get_revision(request)
        .await
        .map_err(|status| clients.error(status))?;
    let document = response.into_inner().revision.unwrap_or_default().document;
    let document: Value = serde_json::from_str(&document).unwrap_or_default();
    Ok(Wanted {
        workflow,
        revision,
        schema: document.get("params").cloned(),
    })
}

/// Parameters from a file: JSON, and YAML when it is none.
fn read_params(path: &std::path::Path) -> Result<Value, CliError> {
    let source = files::read(path)?;
    if let Ok(value) = serde_json::from_str(&source.text) {
        return Ok(value);
    }
    serde_saphyr::from_str(&source.text).map_err(|error| CliError::File {
        path: source.name,
        problem: format!("is neither JSON nor YAML: {error}"),
    })
}

//! `nexus import`: turns a workflow of the earlier Python system into a workflow file.

use nexus_api::definitions::v1::ImportWorkflowRequest;
use nexus_cli_frame::{CliError, Exit, Output, Target, files};

use super::apply;
use super::args::ImportArgs;
use super::client::Clients;

pub(super) async fn run(args: &ImportArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let source = files::read(&args.file)?;
    let request = ImportWorkflowRequest {
        source: source.text,
        name: args.name.clone(),
        validate_only: !args.apply,
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let response = clients
        .definitions
        .clone()
        .import_workflow(request)
        .await
        .map_err(|status| clients.error(status))?;
    let response = response.into_inner();
    apply::warn(&response.report);
    if output.is_table() {
        output.line(response.source.trim_end())?;
    } else {
        output.message(&response, "nexus.definitions.v1.ImportWorkflowResponse")?;
    }
    match &response.workflow {
        Some(workflow) => eprintln!("stored as {} at revision {}", workflow.name, workflow.latest_revision),
        None => eprintln!("nothing was stored; --apply stores it"),
    }
    Ok(Exit::Ok)
}

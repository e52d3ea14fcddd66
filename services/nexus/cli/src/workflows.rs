//! `nexus workflows`: workflows and their revisions.

use nexus_api::definitions::v1::{
    DeleteWorkflowRequest, DiffRevisionsRequest, ExportFormat, ExportWorkflowRequest, GetWorkflowGraphRequest,
    GetWorkflowRequest, GraphFormat, ListRevisionsRequest, ListWorkflowsRequest,
};
use nexus_api::execution::v1::GetTaskDurationsRequest;
use nexus_cli_frame::{CliError, Exit, Output, Page, Target, output, table, time};

use super::args::{ExportForm, GraphForm, Workflows};
use super::client::Clients;
use super::filter::filter;

pub(super) async fn run(command: Workflows, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    match command {
        Workflows::List { labels, page } => list(&clients, &labels, page, output).await?,
        Workflows::Get { workflow } => get(&clients, workflow, output).await?,
        Workflows::Delete { workflow } => {
            let request = DeleteWorkflowRequest {
                workflow: workflow.clone(),
                etag: String::new(),
            };
            clients
                .definitions
                .clone()
                .delete_workflow(request)
                .await
                .map_err(|status| clients.error(status))?;
            eprintln!("deleted {workflow}");
        }
        Workflows::Revisions { workflow, page } => revisions(&clients, workflow, page, output).await?,
        Workflows::Diff { workflow, from, to } => {
            let request = DiffRevisionsRequest { workflow, from, to };
            let diff = clients
                .definitions
                .clone()
                .diff_revisions(request)
                .await
                .map_err(|status| clients.error(status))?;
            let diff = diff.into_inner();
            if output.is_table() {
                output.raw(&diff.unified)?;
            } else {
                output.message(&diff, "nexus.definitions.v1.DiffRevisionsResponse")?;
            }
        }
        Workflows::Graph {
            workflow,
            revision,
            format,
        } => graph(&clients, workflow, revision, format, output).await?,
        Workflows::Export {
            workflow,
            revision,
            format,
        } => export(&clients, workflow, revision, format, output).await?,
    }
    Ok(Exit::Ok)
}

async fn list(clients: &Clients, labels: &[String], page: Page, output: &Output) -> Result<(), CliError> {
    let request = ListWorkflowsRequest {
        page_size: page.limit,
        page_token: page.page_token,
        filter: filter(None, None, labels)?,
    };
    let list = clients
        .definitions
        .clone()
        .list_workflows(request)
        .await
        .map_err(|status| clients.error(status))?;
    let list = list.into_inner();
    if !output.is_table() {
        let name = "nexus.definitions.v1.Workflow";
        return output.value(&output::page(
            "workflows",
            &list.workflows,
            name,
            &list.next_page_token,
        )?);
    }
    let now = time::now_micros();
    let rows: Vec<Vec<String>> = list
        .workflows
        .iter()
        .map(|workflow| {
            vec![
                workflow.name.clone(),
                workflow.latest_revision.to_string(),
                workflow.task_count.to_string(),
                time::ago(workflow.update_time.as_ref(), now),
                table::labels(&workflow.labels),
                table::cut(&workflow.description, 60),
            ]
        })
        .collect();
    output.raw(&table::render(
        &["NAME", "REVISION", "TASKS", "UPDATED", "LABELS", "DESCRIPTION"],
        &rows,
    ))?;
    output::more(&list.next_page_token);
    Ok(())
}

async fn get(clients: &Clients, workflow: String, output: &Output) -> Result<(), CliError> {
    let request = GetWorkflowRequest { workflow };
    let found = clients
        .definitions
        .clone()
        .get_workflow(request)
        .await
        .map_err(|status| clients.error(status))?;
    let found = found.into_inner().workflow.unwrap_or_default();
    if !output.is_table() {
        return output.message(&found, "nexus.definitions.v1.Workflow");
    }
    let rows = [
        ("name", found.name.clone()),
        ("description", found.description.clone()),
        ("labels", table::labels(&found.labels)),
        ("revision", found.latest_revision.to_string()),
        ("tasks", found.task_count.to_string()),
        ("created", time::point(found.create_time.as_ref())),
        ("updated", time::point(found.update_time.as_ref())),
    ];
    for (name, value) in rows {
        if !value.is_empty() {
            output.line(&format!("{name:<12} {value}"))?;
        }
    }
    Ok(())
}

async fn revisions(clients: &Clients, workflow: String, page: Page, output: &Output) -> Result<(), CliError> {
    let request = ListRevisionsRequest {
        workflow,
        page_size: page.limit,
        page_token: page.page_token,
    };
    let list = clients
        .definitions
        .clone()
        .list_revisions(request)
        .await
        .map_err(|status| clients.error(status))?;
    let list = list.into_inner();
    if !output.is_table() {
        let name = "nexus.definitions.v1.Revision";
        return output.value(&output::page(
            "revisions",
            &list.revisions,
            name,
            &list.next_page_token,
        )?);
    }
    let rows: Vec<Vec<String>> = list
        .revisions
        .iter()
        .map(|revision| {
            vec![
                revision.number.to_string(),
                time::point(revision.create_time.as_ref()),
                revision.digest.chars().take(12).collect(),
                table::cut(&revision.message, 80),
            ]
        })
        .collect();
    output.raw(&table::render(&["REVISION", "CREATED", "DIGEST", "MESSAGE"], &rows))?;
    output::more(&list.next_page_token);
    Ok(())
}

async fn graph(
    clients: &Clients,
    workflow: String,
    revision: u32,
    form: GraphForm,
    output: &Output,
) -> Result<(), CliError> {
    let format = match form {
        GraphForm::Json => GraphFormat::Json,
        GraphForm::Mermaid => GraphFormat::Mermaid,
        GraphForm::Dot => GraphFormat::Dot,
        GraphForm::Svg => GraphFormat::Svg,
    };
    // Tasks weigh what they usually take; without finished executions all weigh the same.
    let durations = clients
        .executions
        .clone()
        .get_task_durations(GetTaskDurationsRequest {
            workflow: workflow.clone(),
        })
        .await
        .map_err(|status| clients.error(status))?
        .into_inner();
    let request = GetWorkflowGraphRequest {
        workflow,
        revision,
        format: format.into(),
        expected_seconds: durations.mean_seconds,
    };
    let graph = clients
        .definitions
        .clone()
        .get_workflow_graph(request)
        .await
        .map_err(|status| clients.error(status))?;
    let graph = graph.into_inner();
    if output.is_table() {
        output.line(graph.content.trim_end())
    } else {
        output.message(&graph, "nexus.definitions.v1.GetWorkflowGraphResponse")
    }
}

async fn export(
    clients: &Clients,
    workflow: String,
    revision: u32,
    form: ExportForm,
    output: &Output,
) -> Result<(), CliError> {
    let format = match form {
        ExportForm::Source => ExportFormat::Source,
        ExportForm::Yaml => ExportFormat::Yaml,
        ExportForm::Json => ExportFormat::Json,
    };
    let request = ExportWorkflowRequest {
        workflow,
        revision,
        format: format.into(),
    };
    let file = clients
        .definitions
        .clone()
        .export_workflow(request)
        .await
        .map_err(|status| clients.error(status))?;
    let file = file.into_inner();
    if output.is_table() {
        output.raw(&file.content)
    } else {
        output.message(&file, "nexus.definitions.v1.ExportWorkflowResponse")
    }
}

//! `nexus executions`: look, wait, cancel.

use std::time::Duration;

use nexus_api::execution::v1::{
    CancelExecutionRequest, Event, Execution, ListExecutionsRequest, ListHistoryRequest, WaitExecutionRequest,
};
use nexus_cli_frame::{CliError, Exit, MAX_RECONNECTS, Output, Page, Target, is_away, output, pause, table, time};
use tokio::time::Instant;

use super::args::Executions;
use super::client::Clients;
use super::execution::{PAGE, fetch, still_running};
use super::filter::filter;
use super::watch::plain;
use super::{ids, watch};

/// One call waits at most this long; the server allows no more than a minute.
const WAIT_STEP: Duration = Duration::from_secs(30);

pub(super) async fn run(command: Executions, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    match command {
        Executions::List {
            workflow,
            state,
            labels,
            page,
        } => {
            let filter = filter(workflow.as_deref(), state.as_deref(), &labels)?;
            list(&clients, filter, page, output).await?;
            Ok(Exit::Ok)
        }
        Executions::Get { execution } => {
            let id = ids::resolve(&clients, &execution).await?;
            show(&fetch(&clients, &id).await?, output)?;
            Ok(Exit::Ok)
        }
        Executions::Watch { execution, timeout } => {
            let id = ids::resolve(&clients, &execution).await?;
            let sink = if output.is_table() {
                watch::Sink::Stdout
            } else {
                watch::Sink::Json
            };
            watch::watch(&clients, &id, timeout, &sink).await
        }
        Executions::Wait { execution, timeout } => {
            let id = ids::resolve(&clients, &execution).await?;
            wait_for(&clients, &id, timeout).await?;
            let ended = fetch(&clients, &id).await?;
            if output.is_table() {
                output.line(ended.state().as_str_name())?;
                explain(&ended);
            } else {
                output.message(&ended, "nexus.execution.v1.Execution")?;
            }
            Ok(Exit::of_state(ended.state()))
        }
        Executions::Cancel { execution, reason } => {
            let request = CancelExecutionRequest {
                execution: ids::resolve(&clients, &execution).await?,
                reason,
            };
            let answer = clients.executions.clone().cancel_execution(request).await;
            let execution = answer
                .map_err(|status| clients.error(status))?
                .into_inner()
                .execution
                .unwrap_or_default();
            if output.is_table() {
                output.line(&format!("{} {}", execution.id, execution.state().as_str_name()))?;
            } else {
                output.message(&execution, "nexus.execution.v1.Execution")?;
            }
            Ok(Exit::Ok)
        }
        Executions::History { execution } => {
            let id = ids::resolve(&clients, &execution).await?;
            history(&clients, &id, output).await?;
            Ok(Exit::Ok)
        }
    }
}

async fn list(clients: &Clients, filter: String, page: Page, output: &Output) -> Result<(), CliError> {
    let request = ListExecutionsRequest {
        page_size: page.limit,
        page_token: page.page_token,
        filter,
    };
    let list = clients
        .executions
        .clone()
        .list_executions(request)
        .await
        .map_err(|status| clients.error(status))?;
    let list = list.into_inner();
    if !output.is_table() {
        let name = "nexus.execution.v1.Execution";
        return output.value(&output::page(
            "executions",
            &list.executions,
            name,
            &list.next_page_token,
        )?);
    }
    let now = time::now_micros();
    let rows: Vec<Vec<String>> = list
        .executions
        .iter()
        .map(|execution| {
            vec![
                execution.id.clone(),
                execution.workflow.clone(),
                execution.state().as_str_name().to_owned(),
                time::ago(execution.create_time.as_ref(), now),
                time::between(execution.create_time.as_ref(), execution.finish_time.as_ref(), now),
                table::cut(
                    &execution
                        .error
                        .as_ref()
                        .map(|error| error.message.clone())
                        .unwrap_or_default(),
                    60,
                ),
            ]
        })
        .collect();
    output.raw(&table::render(
        &["ID", "WORKFLOW", "STATE", "CREATED", "TOOK", "ERROR"],
        &rows,
    ))?;
    output::more(&list.next_page_token);
    Ok(())
}

/// A namespace, where it is worth a word.
fn told(namespace: &str) -> String {
    let usual = namespace == nexus_api::namespace::DEFAULT;
    if usual { String::new() } else { namespace.to_owned() }
}

fn show(execution: &Execution, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(execution, "nexus.execution.v1.Execution");
    }
    let now = time::now_micros();
    let took = time::between(execution.create_time.as_ref(), execution.finish_time.as_ref(), now);
    let facts = [
        ("id", execution.id.clone()),
        ("namespace", told(&execution.namespace)),
        (
            "workflow",
            format!("{} revision {}", execution.workflow, execution.revision),
        ),
        ("state", execution.state().as_str_name().to_owned()),
        ("created", time::point(execution.create_time.as_ref())),
        ("took", took),
        ("labels", table::labels(&execution.labels)),
        ("params", execution.params.clone()),
        ("output", execution.output.clone()),
        (
            "error",
            execution.error.as_ref().map(plain::failure).unwrap_or_default(),
        ),
        ("reason", execution.cancel_reason.clone()),
    ];
    for (name, value) in facts {
        if !value.is_empty() {
            output.line(&format!("{name:<9} {value}"))?;
        }
    }
    let rows: Vec<Vec<String>> = execution
        .tasks
        .iter()
        .map(|task| {
            vec![
                task.id.clone(),
                task.kind.clone(),
                task.state().as_str_name().to_owned(),
                task.attempts.to_string(),
                time::between(task.start_time.as_ref(), task.finish_time.as_ref(), now),
                table::cut(&task.error.as_ref().map(plain::failure).unwrap_or_default(), 80),
            ]
        })
        .collect();
    output.line("")?;
    output.raw(&table::render(
        &["TASK", "KIND", "STATE", "ATTEMPTS", "TOOK", "ERROR"],
        &rows,
    ))
}

/// Says on stderr why an execution did not succeed, and where to look.
pub(super) fn explain(execution: &Execution) {
    let state = execution.state();
    if Exit::of_state(state) == Exit::Ok {
        return;
    }
    eprintln!("{} {}", execution.id, state.as_str_name());
    if let Some(error) = &execution.error {
        eprintln!("  {}", plain::failure(error));
    }
    if let Some(task) = execution.tasks.iter().find(|task| task.error.is_some()) {
        eprintln!("see its log with: nexus logs {} {}", execution.id, task.id);
    }
}

/// Waits for the end, also over a restart of the server.
pub(super) async fn wait_for(clients: &Clients, id: &str, limit: Option<Duration>) -> Result<(), CliError> {
    let until = limit.map(|limit| Instant::now() + limit);
    let mut failures = 0;
    loop {
        let left = until.map_or(WAIT_STEP, |until| {
            until.saturating_duration_since(Instant::now()).min(WAIT_STEP)
        });
        let request = WaitExecutionRequest {
            execution: id.to_owned(),
            timeout: Some(nexus_api::time::duration(
                i64::try_from(left.as_micros()).unwrap_or(i64::MAX),
            )),
        };
        match clients.executions.clone().wait_execution(request).await {
            Ok(answer) if answer.get_ref().done => return Ok(()),
            Ok(_) => failures = 0,
            Err(status) if is_away(&status) && failures < MAX_RECONNECTS => {
                failures += 1;
                tokio::time::sleep(pause(failures)).await;
            }
            Err(status) => return Err(clients.error(status)),
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(still_running(id));
        }
    }
}

async fn history(clients: &Clients, id: &str, output: &Output) -> Result<(), CliError> {
    let mut events: Vec<Event> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListHistoryRequest {
            execution: id.to_owned(),
            page_size: PAGE,
            page_token,
        };
        let page = clients
            .executions
            .clone()
            .list_history(request)
            .await
            .map_err(|status| clients.error(status))?;
        let page = page.into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if !output.is_table() {
        return output.value(&output::page("events", &events, "nexus.execution.v1.Event", "")?);
    }
    for event in &events {
        output.line(&plain::event(event))?;
    }
    Ok(())
}

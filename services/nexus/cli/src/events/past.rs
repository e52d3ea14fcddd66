//! What happened before somebody looked: the histories of the executions that were alive since then, in the order of time.
//! The feed keeps only what its readers still need, so it cannot tell.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use nexus_api::execution::v1::{Event, Execution, ListExecutionsRequest, ListHistoryRequest};
use nexus_api::time::micros;
use nexus_cli_frame::CliError;

use super::shown::Shown;
use crate::client::Clients;
use crate::filter;

/// Executions that are looked at, the newest first.
const MOST_EXECUTIONS: usize = 10_000;
/// Events that are put in order.
const MOST_EVENTS: usize = 200_000;
/// Entries of a page.
const PAGE: i32 = 1_000;
/// Histories that are read at a time.
const AT_A_TIME: usize = 8;

/// Shows what happened since a time, and remembers in `shown` how far.
pub(super) async fn show(clients: &Clients, since: i64, shown: &mut Shown<'_>) -> Result<(), CliError> {
    let executions = alive(clients, since, shown).await?;
    let histories = stream::iter(executions).map(|execution| async move {
        let events = history(clients, &execution.id).await?;
        Ok::<_, CliError>((execution, events))
    });
    let mut histories = histories.buffered(AT_A_TIME);
    let mut told: Vec<(Arc<Execution>, Event)> = Vec::new();
    while let Some((execution, events)) = histories.try_next().await? {
        shown.remember(execution.id.clone(), events.last().map_or(0, |last| last.sequence));
        let wanted = events
            .into_iter()
            .filter(|event| time(event) >= since && shown.wants(event));
        told.extend(wanted.map(|event| (Arc::clone(&execution), event)));
        if told.len() > MOST_EVENTS {
            return Err(CliError::Usage(format!(
                "there are more than {MOST_EVENTS} events since then; choose a later --since, or fewer with --workflow"
            )));
        }
    }
    // Of one execution they are in order, and stay so.
    told.sort_by_key(|(_, event)| time(event));
    told.into_iter()
        .try_for_each(|(execution, event)| shown.past(&execution, event))
}

fn time(event: &Event) -> i64 {
    event.time.as_ref().map_or(0, micros)
}

/// The executions that had not ended before a time.
async fn alive(clients: &Clients, since: i64, shown: &Shown<'_>) -> Result<Vec<Arc<Execution>>, CliError> {
    let filter = filter::filter(shown.workflow(), None, &[])?;
    let (mut found, mut seen, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = ListExecutionsRequest {
            page_size: PAGE,
            page_token,
            filter: filter.clone(),
        };
        let list = clients.executions.clone().list_executions(request).await;
        let list = list.map_err(|status| clients.error(status))?.into_inner();
        seen += list.executions.len();
        let ended = |execution: &Execution| execution.finish_time.as_ref().is_some_and(|time| micros(time) < since);
        let wanted = list.executions.into_iter();
        let wanted = wanted.filter(|execution| !ended(execution) && shown.is_about(execution));
        found.extend(wanted.map(|execution| Arc::new(bare(execution))));
        page_token = list.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
        if seen >= MOST_EXECUTIONS {
            eprintln!("only the newest {MOST_EXECUTIONS} executions were looked at");
            return Ok(found);
        }
    }
}

/// Without what entries of the feed have not either.
fn bare(execution: Execution) -> Execution {
    Execution {
        params: String::new(),
        output: String::new(),
        tasks: Vec::new(),
        task_counts: HashMap::default(),
        ..execution
    }
}

async fn history(clients: &Clients, execution: &str) -> Result<Vec<Event>, CliError> {
    let mut events = Vec::new();
    let mut request = ListHistoryRequest {
        execution: execution.to_owned(),
        page_size: PAGE,
        page_token: String::new(),
    };
    loop {
        let page = clients.executions.clone().list_history(request.clone()).await;
        let page = match page {
            Ok(page) => page.into_inner(),
            // Its time was over between the list and the look.
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(events),
            Err(status) => return Err(clients.error(status)),
        };
        events.extend(page.events);
        if page.next_page_token.is_empty() || events.len() > MOST_EVENTS {
            return Ok(events);
        }
        request.page_token = page.next_page_token;
    }
}

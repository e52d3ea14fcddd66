//! Streams and lists an execution's history.

use nexus_api::Namespace;
use nexus_api::execution::v1::{
    ListAttemptsRequest, ListAttemptsResponse, ListHistoryRequest, ListHistoryResponse, WatchExecutionRequest,
    WatchExecutionResponse,
};
use nexus_engine::{ExecutionState, Fact};
use nexus_service::page;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{status, task_not_found};

/// Events of one message at most.
const BATCH: u32 = 256;
/// Events of one task that attempts are told from at most; a task has at most 1,000 attempts of a few events each.
const MAX_TASK_EVENTS: u32 = 10_000;

/// The messages of a watch.
pub(crate) type Watch = ReceiverStream<Result<WatchExecutionResponse, Status>>;

pub(crate) async fn watch(
    context: &Context,
    namespace: &Namespace,
    request: WatchExecutionRequest,
) -> Result<Watch, Status> {
    let row = find(context, namespace, &request.execution).await?;
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let (sender, receiver) = mpsc::channel(4);
    let context = context.clone();
    tokio::spawn(async move {
        let mut stored = context.events.watch(row.id);
        let mut after = request.after_sequence;
        loop {
            let page = match context.reads.history(row.id, None, after, BATCH).await {
                Ok(page) => page,
                Err(error) => return drop(sender.send(Err(status(error))).await),
            };
            if let Some(last) = page.last() {
                after = last.sequence;
                let over = matches!(last.fact, Fact::ExecutionFinished { .. });
                let events = page.iter().map(|event| convert::event(&loaded.plan, event)).collect();
                if sender.send(Ok(WatchExecutionResponse { events })).await.is_err() || over {
                    return;
                }
                continue;
            }
            // Nothing new: over if the history has its end already, else wait for more.
            match context.reads.execution(row.id).await {
                Ok(now) if is_over(now.as_ref().map(|now| (now.state, now.sequence)), after) => return,
                Ok(_) => {}
                Err(error) => return drop(sender.send(Err(status(error))).await),
            }
            tokio::select! {
                changed = stored.changed() => if changed.is_err() { return },
                () = super::look_again(&context) => {}
                () = sender.closed() => return,
                () = context.leaving.cancelled() => {
                    let error = nexus_execution_owner::OwnerError::ShuttingDown;
                    return drop(sender.send(Err(status(error))).await);
                }
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Whether nothing can come after some event of an execution, by its state and its newest event: what is gone, as old
/// executions are after a while, has nothing more to tell.
fn is_over(now: Option<(ExecutionState, u64)>, after: u64) -> bool {
    now.is_none_or(|(state, newest)| state.is_terminal() && newest <= after)
}

pub(crate) async fn history(
    context: &Context,
    namespace: &Namespace,
    request: ListHistoryRequest,
) -> Result<ListHistoryResponse, Status> {
    let size = page::size(request.page_size)?;
    let row = find(context, namespace, &request.execution).await?;
    let query = format!("history|{}", row.id);
    let after = page::key_as::<u64>(&query, &request.page_token)?.unwrap_or(0);
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let events = context.reads.history(row.id, None, after, size).await.map_err(status)?;
    let next_page_token = match events.last() {
        Some(last) if last.sequence < row.sequence => page::token(&query, &last.sequence.to_string()),
        _ => String::new(),
    };
    let events = events.iter().map(|event| convert::event(&loaded.plan, event)).collect();
    Ok(ListHistoryResponse {
        events,
        next_page_token,
    })
}

pub(crate) async fn attempts(
    context: &Context,
    namespace: &Namespace,
    request: ListAttemptsRequest,
) -> Result<ListAttemptsResponse, Status> {
    let size = page::size(request.page_size)?;
    let row = find(context, namespace, &request.execution).await?;
    let query = format!("attempts|{}|{}", row.id, request.task);
    let after = usize::try_from(page::key_as::<u64>(&query, &request.page_token)?.unwrap_or(0)).unwrap_or(usize::MAX);
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let position = loaded.plan.index.get(&request.task).copied();
    let position = position.ok_or_else(|| task_not_found(&request.execution, &request.task))?;
    let events = context
        .reads
        .history(row.id, Some(position), 0, MAX_TASK_EVENTS)
        .await
        .map_err(status)?;
    let all = convert::attempts(&row.id.to_string(), &request.task, &events);
    let total = all.len();
    let attempts: Vec<_> = all.into_iter().skip(after).take(size as usize).collect();
    let seen = after.saturating_add(attempts.len());
    let next_page_token = if seen < total {
        page::token(&query, &seen.to_string())
    } else {
        String::new()
    };
    Ok(ListAttemptsResponse {
        attempts,
        next_page_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_over_after_the_last_event_and_when_the_execution_is_gone() {
        assert!(!is_over(Some((ExecutionState::Running, 4)), 4), "more may come");
        assert!(
            !is_over(Some((ExecutionState::Succeeded, 5)), 4),
            "it has ended meanwhile: its last event is read first"
        );
        assert!(is_over(Some((ExecutionState::Succeeded, 5)), 5));
        assert!(is_over(None, 4), "a removed one has no end to wait for");
    }
}

//! Lists and streams what tasks wrote.

use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_api::execution::v1::{ListLogsRequest, ListLogsResponse, TailLogsRequest, TailLogsResponse};
use nexus_engine::Plan;
use nexus_execution_store::{ExecutionRow, LogQuery};
use nexus_service::page;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{status, task_not_found};

/// Lines of one message at most; a line has at most 16 KiB, so a message stays under tonic's 4 MiB.
const BATCH: u32 = 200;

/// The messages of a tail.
pub(crate) type Tail = ReceiverStream<Result<TailLogsResponse, Status>>;

pub(crate) async fn list(
    context: &Context,
    namespace: &Namespace,
    request: ListLogsRequest,
) -> Result<ListLogsResponse, Status> {
    let size = page::size(request.page_size)?.min(BATCH);
    let row = find(context, namespace, &request.execution).await?;
    let plan = &context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?
        .plan;
    let token_query = format!("logs|{}|{}|{}", row.id, request.task, request.attempt);
    let after = page::key_as::<u64>(&token_query, &request.page_token)?.unwrap_or(0);
    let mut query = query(plan, &row, &request.task, request.attempt, after)?;
    query.limit = size + 1;
    let mut lines = context.lines.logs(query).await.map_err(status)?;
    let mut next_page_token = String::new();
    if lines.len() > size as usize {
        lines.truncate(size as usize);
        next_page_token = lines
            .last()
            .map(|last| page::token(&token_query, &last.sequence.to_string()))
            .unwrap_or_default();
    }
    Ok(ListLogsResponse {
        lines: lines.into_iter().map(|line| convert::log_line(plan, line)).collect(),
        next_page_token,
    })
}

pub(crate) async fn tail(context: &Context, namespace: &Namespace, request: TailLogsRequest) -> Result<Tail, Status> {
    let row = find(context, namespace, &request.execution).await?;
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let mut query = query(
        &loaded.plan,
        &row,
        &request.task,
        request.attempt,
        request.after_sequence,
    )?;
    let (sender, receiver) = mpsc::channel(4);
    let context = context.clone();
    tokio::spawn(async move {
        let mut logged = context.logs.watch(row.id);
        let mut stored = context.events.watch(row.id);
        loop {
            // Looked at before the lines: the lines of an attempt are stored before its end is.
            let over = match context.reads.execution(row.id).await {
                Ok(now) => !request.follow || now.is_none_or(|now| now.state.is_terminal()),
                Err(error) => return drop(sender.send(Err(status(error))).await),
            };
            let page = match context.lines.logs(query).await {
                Ok(page) => page,
                Err(error) => return drop(sender.send(Err(status(error))).await),
            };
            if let Some(last) = page.last() {
                query.after = last.sequence;
                let lines = page
                    .into_iter()
                    .map(|line| convert::log_line(&loaded.plan, line))
                    .collect();
                if sender.send(Ok(TailLogsResponse { lines })).await.is_err() {
                    return;
                }
                continue;
            }
            if over {
                return;
            }
            tokio::select! {
                changed = logged.changed() => if changed.is_err() { return },
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

fn query(plan: &Plan, row: &ExecutionRow, task: &str, attempt: u32, after: u64) -> Result<LogQuery, Status> {
    let position = match task {
        "" if attempt > 0 => return Err(ApiError::field("attempt", "goes with task only").into()),
        "" => None,
        id => Some(
            plan.index
                .get(id)
                .copied()
                .ok_or_else(|| task_not_found(&row.id.to_string(), id))?,
        ),
    };
    Ok(LogQuery {
        execution: row.id,
        task: position,
        attempt: (attempt > 0).then_some(attempt),
        after,
        limit: BATCH,
    })
}

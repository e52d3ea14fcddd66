//! Reads tasks.

use nexus_api::Namespace;
use nexus_api::execution::v1::{GetTaskRequest, GetTaskResponse, ListTasksRequest, ListTasksResponse, Task};
use nexus_execution_store::ExecutionRow;
use nexus_service::page;
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{status, task_not_found};

/// A page ends before the task whose output would make it larger than this.
const MAX_BYTES: usize = 2 << 20;

pub(crate) async fn list(
    context: &Context,
    namespace: &Namespace,
    request: ListTasksRequest,
) -> Result<ListTasksResponse, Status> {
    let size = page::size(request.page_size)?;
    let row = find(context, namespace, &request.execution).await?;
    let query = format!("tasks|{}", row.id);
    let from = u32::try_from(page::key_as::<u64>(&query, &request.page_token)?.unwrap_or(0)).unwrap_or(u32::MAX);
    let (tasks, next) = self::page(context, &row, from, size).await?;
    let next_page_token = next
        .map(|next| page::token(&query, &next.to_string()))
        .unwrap_or_default();
    Ok(ListTasksResponse { tasks, next_page_token })
}

pub(crate) async fn get(
    context: &Context,
    namespace: &Namespace,
    request: GetTaskRequest,
) -> Result<GetTaskResponse, Status> {
    let row = find(context, namespace, &request.execution).await?;
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let position = loaded.plan.index.get(&request.task).copied();
    let position = position.ok_or_else(|| task_not_found(&request.execution, &request.task))?;
    let (tasks, _) = page(context, &row, position, 1).await?;
    Ok(GetTaskResponse {
        task: tasks.into_iter().next(),
    })
}

/// Tasks at positions from `from`, and the position where the next page begins.
pub(crate) async fn page(
    context: &Context,
    row: &ExecutionRow,
    from: u32,
    size: u32,
) -> Result<(Vec<Task>, Option<usize>), Status> {
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let stored = context.reads.tasks(row.id, from, size).await.map_err(status)?;
    let mut stored = stored.into_iter().peekable();
    let total = loaded.plan.tasks.len();
    let end = total.min((from as usize).saturating_add(size as usize));
    let mut tasks = Vec::new();
    let mut bytes = 0;
    for position in from as usize..end {
        let own = stored.next_if(|stored| stored.position as usize == position);
        bytes += own
            .as_ref()
            .and_then(|own| own.output.as_ref())
            .map_or(0, |output| output.len());
        if bytes > MAX_BYTES && !tasks.is_empty() {
            return Ok((tasks, Some(position)));
        }
        tasks.push(convert::task(row, &loaded.plan, position, own.as_ref()));
    }
    Ok((tasks, (end < total).then_some(end)))
}

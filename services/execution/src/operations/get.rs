//! Reads one execution.

use std::collections::HashMap;

use nexus_api::Namespace;
use nexus_api::execution::v1::{Execution, ExecutionView, GetExecutionRequest, GetExecutionResponse};
use nexus_engine::TaskState;
use nexus_execution_store::{ExecutionId, ExecutionRow, TaskCounts};
use tonic::Status;

use super::tasks;
use crate::Context;
use crate::convert;
use crate::error::{execution_not_found, status};

/// Tasks that come with an execution at most.
const MAX_TASKS: u32 = 1_000;

pub(crate) async fn get(
    context: &Context,
    namespace: &Namespace,
    request: GetExecutionRequest,
) -> Result<GetExecutionResponse, Status> {
    let id = super::resolve(context, namespace, &request.execution).await?;
    let (row, mut execution) = by_id(context, namespace, id).await?;
    if request.view() == ExecutionView::Full {
        execution.tasks = tasks::page(context, &row, 0, MAX_TASKS).await?.0;
    }
    Ok(GetExecutionResponse {
        execution: Some(execution),
    })
}

/// The row of an execution of a namespace, and the execution with its counts.
pub(crate) async fn by_id(
    context: &Context,
    namespace: &Namespace,
    id: ExecutionId,
) -> Result<(ExecutionRow, Execution), Status> {
    let found = context.reads.counted(id).await.map_err(status)?;
    let own = found.filter(|(row, _)| row.namespace == *namespace);
    let (row, counts) = own.ok_or_else(|| execution_not_found(&id.to_string()))?;
    let mut execution = convert::execution(&row);
    execution.task_counts = complete(context, &row, counts).await?;
    Ok((row, execution))
}

/// An execution whose every task was counted.
pub(crate) fn counted(row: &ExecutionRow, counts: TaskCounts) -> Execution {
    let mut execution = convert::execution(row);
    execution.task_counts = named(counts);
    execution
}

/// An execution with its counts.
pub(crate) async fn shown(context: &Context, row: &ExecutionRow) -> Result<Execution, Status> {
    let mut executions = vec![convert::execution(row)];
    count(context, std::slice::from_ref(row), &mut executions).await?;
    Ok(executions.remove(0))
}

/// Fills in how many tasks are in which state.
pub(crate) async fn count(
    context: &Context,
    rows: &[ExecutionRow],
    executions: &mut [Execution],
) -> Result<(), Status> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut counted: HashMap<_, TaskCounts> = HashMap::new();
    for (id, state, number) in context.reads.task_counts(&ids).await.map_err(status)? {
        counted.entry(id).or_default().push((state, number));
    }
    for (row, execution) in rows.iter().zip(executions) {
        let counts = counted.remove(&row.id).unwrap_or_default();
        execution.task_counts = complete(context, row, counts).await?;
    }
    Ok(())
}

/// Tasks without a row wait.
async fn complete(context: &Context, row: &ExecutionRow, counts: TaskCounts) -> Result<HashMap<String, u32>, Status> {
    let mut named = named(counts);
    let loaded = context
        .plans
        .revision(&row.namespace, &row.workflow, row.revision)
        .await?;
    let total = u32::try_from(loaded.plan.tasks.len()).unwrap_or(u32::MAX);
    let waiting = total.saturating_sub(named.values().sum());
    if waiting > 0 {
        *named.entry(TaskState::Waiting.name().to_owned()).or_default() += waiting;
    }
    Ok(named)
}

fn named(counts: TaskCounts) -> HashMap<String, u32> {
    let mut named: HashMap<String, u32> = HashMap::new();
    for (state, number) in counts {
        *named.entry(state.name().to_owned()).or_default() += number;
    }
    named
}

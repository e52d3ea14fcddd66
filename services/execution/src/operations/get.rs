//! Reads one execution.

use std::collections::HashMap;

use nexus_api::execution::v1::{Execution, ExecutionView, GetExecutionRequest, GetExecutionResponse};
use nexus_engine::TaskState;
use tonic::Status;

use super::{find, tasks};
use crate::Context;
use crate::convert;
use crate::error::status;
use crate::store::ExecutionRow;

/// Tasks that come with an execution at most.
const MAX_TASKS: u32 = 1_000;

pub(crate) async fn get(context: &Context, request: GetExecutionRequest) -> Result<GetExecutionResponse, Status> {
    let row = find(context, &request.execution).await?;
    let mut execution = shown(context, &row).await?;
    if request.view() == ExecutionView::Full {
        execution.tasks = tasks::page(context, &row, 0, MAX_TASKS).await?.0;
    }
    Ok(GetExecutionResponse {
        execution: Some(execution),
    })
}

/// An execution with its counts.
pub(crate) async fn shown(context: &Context, row: &ExecutionRow) -> Result<Execution, Status> {
    let mut executions = vec![convert::execution(row)];
    count(context, std::slice::from_ref(row), &mut executions).await?;
    Ok(executions.remove(0))
}

/// Fills in how many tasks are in which state. Tasks without a row wait.
pub(crate) async fn count(
    context: &Context,
    rows: &[ExecutionRow],
    executions: &mut [Execution],
) -> Result<(), Status> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut counted: HashMap<_, HashMap<String, u32>> = HashMap::new();
    for (id, state, number) in context.store.task_counts(&ids).await.map_err(status)? {
        *counted
            .entry(id)
            .or_default()
            .entry(state.name().to_owned())
            .or_default() += number;
    }
    for (row, execution) in rows.iter().zip(executions) {
        let mut counts = counted.remove(&row.id).unwrap_or_default();
        let loaded = context.plans.revision(&row.workflow, row.revision).await?;
        let total = u32::try_from(loaded.plan.tasks.len()).unwrap_or(u32::MAX);
        let waiting = total.saturating_sub(counts.values().sum());
        if waiting > 0 {
            *counts.entry(TaskState::Waiting.name().to_owned()).or_default() += waiting;
        }
        execution.task_counts = counts;
    }
    Ok(())
}

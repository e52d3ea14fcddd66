//! Counts a namespace's newest executions, workflow by workflow, and says how long they took. It reads as the list does, in
//! pages, and has an end: what must be right for years is counted as it happens, not here.

use std::collections::BTreeMap;

use nexus_api::Namespace;
use nexus_api::execution::v1::{
    GetWorkflowStatisticsRequest, GetWorkflowStatisticsResponse, WorkflowStatistics, execution,
};
use tonic::Status;

use crate::Context;
use crate::error::status;
use nexus_execution_store::{ExecutionRow, ListFilter, codec};

/// Executions of a page, and pages at most.
const PAGE: u32 = 1_000;
const PAGES: u32 = 10;

pub(crate) async fn statistics(
    context: &Context,
    namespace: &Namespace,
    request: GetWorkflowStatisticsRequest,
) -> Result<GetWorkflowStatisticsResponse, Status> {
    let wanted = ListFilter {
        namespace: namespace.clone(),
        workflow: Some(request.workflow).filter(|workflow| !workflow.is_empty()),
        ..ListFilter::default()
    };
    let mut sums = Sums::default();
    let (mut before, mut complete) = (None, false);
    for _ in 0..PAGES {
        let rows = context.reads.list(&wanted, before, PAGE).await.map_err(status)?;
        rows.iter().for_each(|row| sums.add(row));
        before = rows.last().map(|last| last.id);
        if rows.len() < PAGE as usize {
            complete = true;
            break;
        }
    }
    Ok(sums.told(complete))
}

#[derive(Default)]
struct Sums {
    workflows: BTreeMap<String, (WorkflowStatistics, f64)>,
    executions: u32,
}

impl Sums {
    fn add(&mut self, row: &ExecutionRow) {
        self.executions += 1;
        let (told, seconds) = self.workflows.entry(row.workflow.clone()).or_default();
        told.executions += 1;
        let number = i32::try_from(codec::execution_state_number(row.state)).unwrap_or_default();
        let state = execution::State::try_from(number).unwrap_or_default();
        *told.state_counts.entry(state.as_str_name().to_owned()).or_default() += 1;
        if let Some(finished_at) = row.finished_at {
            told.finished += 1;
            // Microseconds; clocks of two replicas may disagree by a little.
            *seconds += (finished_at - row.created_at).max(0) as f64 / 1e6;
        }
    }

    fn told(self, complete: bool) -> GetWorkflowStatisticsResponse {
        let told = |(workflow, (told, seconds)): (String, (WorkflowStatistics, f64))| WorkflowStatistics {
            workflow,
            mean_seconds: seconds / f64::from(told.finished.max(1)),
            ..told
        };
        GetWorkflowStatisticsResponse {
            workflows: self.workflows.into_iter().map(told).collect(),
            executions: self.executions,
            complete,
        }
    }
}

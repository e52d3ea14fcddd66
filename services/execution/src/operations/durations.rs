//! Tells how long a workflow's tasks usually take.

use std::collections::HashMap;

use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_api::execution::v1::{GetTaskDurationsRequest, GetTaskDurationsResponse};
use tonic::Status;

use crate::Context;
use crate::error::status;

/// Finished executions that are looked at.
const EXECUTIONS: u32 = 100;

pub(crate) async fn durations(
    context: &Context,
    namespace: &Namespace,
    request: GetTaskDurationsRequest,
) -> Result<GetTaskDurationsResponse, Status> {
    if request.workflow.is_empty() {
        return Err(ApiError::field("workflow", "must name a workflow").into());
    }
    let (durations, executions) = context
        .reads
        .durations(namespace, &request.workflow, EXECUTIONS)
        .await
        .map_err(status)?;
    let mut sums: HashMap<String, (f64, u32)> = HashMap::new();
    for duration in durations {
        // The same task may stand at different positions in different revisions.
        let loaded = context
            .plans
            .revision(namespace, &request.workflow, duration.revision)
            .await?;
        if let Some(task) = loaded.plan.tasks.get(duration.position as usize) {
            let sum = sums.entry(task.id.clone()).or_default();
            sum.0 += duration.mean_seconds * f64::from(duration.samples);
            sum.1 += duration.samples;
        }
    }
    let mean_seconds = sums
        .into_iter()
        .map(|(id, (sum, samples))| (id, sum / f64::from(samples.max(1))))
        .collect();
    Ok(GetTaskDurationsResponse {
        mean_seconds,
        executions,
    })
}

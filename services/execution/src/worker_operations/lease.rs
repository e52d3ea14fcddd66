//! Makes tasks for workers of the owner's leases: evaluates the expressions of their input.

use nexus_api::time::{duration, timestamp};
use nexus_api::worker::v1::{LeasedTask, SecretPlaceholder};
use nexus_engine::{Failure, FailureKind, Outcome};
use nexus_mesh::failpoint::kill_here;
use nexus_streams::Taken;
use tonic::Status;

use super::MAX_OUTPUT;
use crate::Context;
use crate::error::status;
use crate::owner::{Granted, SessionRef};

/// Leases what some pointers name. An attempt whose input cannot be evaluated fails here and now; it never reaches a
/// worker.
pub(super) async fn lease(
    context: &Context,
    taken: Vec<Taken>,
    session: &SessionRef,
) -> Result<Vec<LeasedTask>, Status> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let (pointers, receipts) = taken.into_iter().map(|taken| (taken.pointer, taken.receipt)).unzip();
    let granted = context.owner.grant(pointers, session.clone()).await.map_err(status)?;
    // Granted or refused for good; without an answer they come again.
    context.dispatch.settle(receipts);
    kill_here("execution::grant");
    Ok(prepare(context, granted, session).await)
}

/// Makes tasks of leases.
pub(super) async fn prepare(context: &Context, granted: Vec<Granted>, session: &SessionRef) -> Vec<LeasedTask> {
    let mut tasks = Vec::with_capacity(granted.len());
    let mut broken = Vec::new();
    for lease in granted {
        match task(&lease) {
            Ok(task) => tasks.push(task),
            Err(failure) => broken.push((lease.token, Outcome::Failed(failure))),
        }
    }
    if !broken.is_empty() {
        let context = context.clone();
        let session = session.clone();
        // Nobody waits for these: their store is the owner's affair, and an unstored one is lost with its lease.
        tokio::spawn(async move { drop(context.owner.report(broken, session, 0).await) });
    }
    tasks
}

fn task(lease: &Granted) -> Result<LeasedTask, Failure> {
    let planned = &lease.plan.tasks[lease.task as usize];
    let rendered = planned
        .input
        .render(&lease.scope)
        .map_err(|error| Failure::expression(error.to_string()))?;
    let input = rendered.value.to_string();
    if input.len() > MAX_OUTPUT {
        let message = format!(
            "the task's input has {} bytes, at most {MAX_OUTPUT} are taken",
            input.len()
        );
        let failure = Failure::new(FailureKind::User, "InputTooLarge", message);
        return Err(Failure {
            non_retryable: true,
            ..failure
        });
    }
    let secrets = rendered.secrets.into_iter();
    Ok(LeasedTask {
        token: lease.token.clone(),
        execution: lease.execution.to_string(),
        task: planned.id.clone(),
        attempt: lease.attempt,
        workflow: lease.plan.workflow.clone(),
        revision: lease.plan.revision,
        kind: planned.kind.to_owned(),
        input,
        secrets: secrets
            .map(|secret| SecretPlaceholder {
                placeholder: secret.placeholder,
                name: secret.name,
            })
            .collect(),
        timeout: Some(duration(planned.timeout.micros())),
        lease_expire_time: Some(timestamp(lease.expires_at)),
        idempotency_key: format!("{}/{}", lease.execution, planned.id),
        traceparent: lease.traceparent.clone(),
        user_attempt: lease.user_attempt,
        max_attempts: planned.retry.max_attempts,
    })
}

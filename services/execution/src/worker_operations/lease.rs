//! Makes tasks for workers of the owner's leases: evaluates the expressions of their input.

use std::time::Duration;

use futures::future::join_all;
use nexus_api::shard::v1::GrantLeasesRequest;
use nexus_api::time::{duration, timestamp};
use nexus_api::worker::v1::{LeasedTask, SecretPlaceholder};
use nexus_engine::{Failure, FailureKind, Outcome};
use nexus_execution_owner::{Granted, SessionRef};
use nexus_execution_store::ExecutionId;
use nexus_expr::Rendered;
use nexus_failpoint::kill_here;
use nexus_streams::{Pointer, Taken};
use tonic::Status;

use super::{MAX_OUTPUT, shared, split};
use crate::Context;
use crate::error::status;
use crate::replication::{Peer, request, words};
use crate::results;

/// How long another replica may take to lease.
const CALL: Duration = Duration::from_secs(5);

/// Leases what some pointers name, each at the replica that owns its shard. An attempt whose input cannot be evaluated
/// fails here and now; it never reaches a worker.
pub(super) async fn lease(
    context: &Context,
    taken: Vec<Taken>,
    session: &SessionRef,
) -> Result<Vec<LeasedTask>, Status> {
    let (own, theirs) = by_owner(context, taken);
    let asked = theirs
        .into_iter()
        .map(|(peer, taken)| remote(context, peer, taken, session));
    let (own, others) = tokio::join!(mine(context, own, session), join_all(asked));
    let mut tasks = own?;
    tasks.extend(others.into_iter().flatten());
    Ok(tasks)
}

/// Sorts what was taken by the replica that owns it: this one's, and those of others.
pub(super) fn by_owner(context: &Context, taken: Vec<Taken>) -> (Vec<Taken>, Vec<(Peer, Vec<Taken>)>) {
    split(context, taken, |taken| Some(shard_of(&taken.pointer)))
}

/// Leases what this replica owns.
pub(super) async fn mine(
    context: &Context,
    taken: Vec<Taken>,
    session: &SessionRef,
) -> Result<Vec<LeasedTask>, Status> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let pointers = taken.iter().map(|taken| taken.pointer).collect();
    let (tasks, foreign) = local(context, pointers, session).await?;
    kill_here("execution::grant");
    settle(context, taken, &foreign);
    Ok(tasks)
}

/// Leases what this replica owns; also gives what it does not.
pub(crate) async fn local(
    context: &Context,
    pointers: Vec<Pointer>,
    session: &SessionRef,
) -> Result<(Vec<LeasedTask>, Vec<Pointer>), Status> {
    let grants = context.owner.grant(pointers, session.clone()).await.map_err(status)?;
    Ok((prepare(context, grants.granted, session).await, grants.foreign))
}

/// Leases at another replica. What it does not answer for comes again.
pub(super) async fn remote(context: &Context, peer: Peer, taken: Vec<Taken>, session: &SessionRef) -> Vec<LeasedTask> {
    let shard = taken.first().map_or(0, |taken| shard_of(&taken.pointer));
    let grant = GrantLeasesRequest {
        session: Some(shared(session)),
        pointers: taken.iter().map(|taken| words::pointer(&taken.pointer)).collect(),
        replica: context.router.me().map_or_else(Vec::new, |me| me.as_bytes().to_vec()),
    };
    let mut client = peer.client();
    let call = client.grant_leases(request(grant, CALL));
    match context.router.ask(shard, &peer, call).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let foreign: Vec<Pointer> = answer.strangers.iter().filter_map(words::pointer_from).collect();
            settle(context, taken, &foreign);
            answer.tasks
        }
        Err(error) => {
            tracing::warn!(peer = %peer.address, error = %error.message(), "attempts could not be leased at another replica");
            Vec::new()
        }
    }
}

/// What an owner has answered need not come again; what it does not own must.
fn settle(context: &Context, taken: Vec<Taken>, foreign: &[Pointer]) {
    let answered = taken.into_iter().filter(|taken| !foreign.contains(&taken.pointer));
    context.dispatch.settle(answered.map(|taken| taken.receipt).collect());
}

fn shard_of(pointer: &Pointer) -> u16 {
    ExecutionId::from_bytes(pointer.execution).shard()
}

/// Makes tasks of leases.
pub(super) async fn prepare(context: &Context, granted: Vec<Granted>, session: &SessionRef) -> Vec<LeasedTask> {
    let mut tasks = Vec::with_capacity(granted.len());
    let mut over = Vec::new();
    for (lease, prepared) in join_all(granted.into_iter().map(|lease| prepare_one(context, lease))).await {
        match prepared {
            Ok(task) => tasks.push(task),
            Err(outcome) => over.push((lease.token, outcome)),
        }
    }
    if !over.is_empty() {
        let context = context.clone();
        let session = session.clone();
        // Nobody waits for these: their store is the owner's affair, and an unstored one is lost with its lease.
        tokio::spawn(async move { drop(context.owner.report(over, session, 0).await) });
    }
    tasks
}

/// Makes a task of a lease, or says how it ended without one.
async fn prepare_one(context: &Context, lease: Granted) -> (Granted, Result<LeasedTask, Outcome>) {
    let planned = lease.plan.task(lease.task);
    let rendered = match planned.input.render(&lease.scope) {
        Ok(rendered) => rendered,
        Err(error) => {
            let failure = Failure::expression(error.to_string());
            return (lease, Err(Outcome::Failed(failure)));
        }
    };
    if planned.cache.is_some() {
        let key = results::key(&lease.plan.workflow, planned, &rendered);
        if let Some(output) = results::find(context.results.as_ref(), &key).await {
            return (lease, Err(Outcome::Cached(output)));
        }
    }
    let task = task(&lease, rendered).map_err(Outcome::Failed);
    (lease, task)
}

fn task(lease: &Granted, rendered: Rendered) -> Result<LeasedTask, Failure> {
    let planned = lease.plan.task(lease.task);
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
        token: lease.token.to_string(),
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

//! What callers can ask: one file a verb. Each takes a request and gives an answer; the gRPC service only calls them.

pub(crate) mod cancel;
pub(crate) mod durations;
pub(crate) mod feed;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod start;
pub(crate) mod statistics;
pub(crate) mod tasks;
pub(crate) mod wait;
pub(crate) mod watch;

use std::future::Future;
use std::time::Duration;

use nexus_api::error::ApiError;
use nexus_api::{ErrorReason, Namespace};
use nexus_execution_owner::OwnerError;
use nexus_execution_store::{ExecutionId, ExecutionRow};
use tokio::time::sleep;
use tonic::Status;

use crate::Context;
use crate::error::{execution_not_found, status};

/// How long a store that takes no writes is waited for before whoever asks is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a call that is passed on to another replica may take.
pub(crate) const CALL: Duration = Duration::from_secs(10);
/// Where changes are told by other replicas, it is looked this often all the same.
const LOOK: Duration = Duration::from_secs(1);

/// The longest wait for a change before it is looked again: for ever where every change is made by this process.
pub(crate) async fn look_again(context: &Context) {
    match &context.nudge {
        Some(_) => sleep(LOOK).await,
        None => std::future::pending().await,
    }
}

/// What the owner answers, unless the store takes no writes for too long: then the caller is told why instead of
/// running into its deadline, and before anything is asked of the owner if that was so from the start.
pub(crate) async fn unless_stuck<T>(
    context: &Context,
    answer: impl Future<Output = Result<T, OwnerError>>,
) -> Result<T, Status> {
    tokio::select! {
        biased;
        trouble = context.owner.troubles().lasting(PATIENCE) => {
            let problem = format!(
                "nothing can be stored: {}. Repeat the call, with the same request_id if it has one: the change \
                 may have been recorded",
                trouble.reason
            );
            Err(ApiError::new(ErrorReason::StorageUnavailable, problem).retry_after(PATIENCE).into())
        }
        answer = answer => answer.map_err(status),
    }
}

/// The id that a text names: a whole one, whoever's it may be, or a prefix of at least eight hex digits that only one
/// execution of the namespace has.
pub(crate) async fn resolve(context: &Context, namespace: &Namespace, text: &str) -> Result<ExecutionId, Status> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let digits: String = text
        .chars()
        .filter(|c| *c != '-')
        .collect::<String>()
        .to_ascii_lowercase();
    if digits.len() < 8 || digits.len() > 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        let problem = format!("{text:?} is not an execution id (a UUID, or at least 8 of its first hex digits)");
        return Err(ApiError::field("execution", problem).into());
    }
    let found = context.reads.ids_with_prefix(namespace, &digits).await;
    match found.map_err(status)?.as_slice() {
        [] => Err(execution_not_found(text)),
        [id] => Ok(*id),
        _ => Err(ApiError::field("execution", format!("{text} begins more than one id; give more digits")).into()),
    }
}

/// The execution of a namespace that a text names. One of another namespace is not there.
pub(crate) async fn find(context: &Context, namespace: &Namespace, text: &str) -> Result<ExecutionRow, Status> {
    let id = resolve(context, namespace, text).await?;
    let row = context.reads.execution(id).await.map_err(status)?;
    row.filter(|row| row.namespace == *namespace)
        .ok_or_else(|| execution_not_found(text))
}

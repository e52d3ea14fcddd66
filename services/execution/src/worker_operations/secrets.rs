//! Gives the values of secrets for a leased attempt: to the session that holds the lease now, and only of those that the
//! task names in the revision that its execution runs. The values pass through, and are kept nowhere here.

use std::collections::BTreeSet;

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::ResolveSecretsRequest;
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::error::ApiError;
use nexus_api::worker::v1::directive::Action;
use nexus_api::worker::v1::{HeartbeatTasksRequest, ResolveTaskSecretsRequest, ResolveTaskSecretsResponse, TaskSecret};
use nexus_execution_owner::{Subject, TokenSubject};
use nexus_mesh::Transport;
use tonic::{Code, Status};

use super::{heartbeat, logs, session};
use crate::Context;
use crate::error::{execution_not_found, status};
use nexus_execution_sessions::speaker::Speaker;

/// Names of one call at most.
const MAX_NAMES: usize = 100;
/// Largest answer that is read: a hundred values of 64 KiB.
const MAX_MESSAGE: usize = 8 << 20;

/// The way to the secrets that NEXUS keeps.
pub(crate) type Vault = SecretsServiceClient<Transport>;

/// The way there, over that to the definitions service.
pub(crate) fn vault(definitions: Transport) -> Vault {
    SecretsServiceClient::new(definitions).max_decoding_message_size(MAX_MESSAGE)
}

pub(crate) async fn resolve(
    context: &Context,
    speaker: &Speaker,
    request: ResolveTaskSecretsRequest,
) -> Result<ResolveTaskSecretsResponse, Status> {
    let ResolveTaskSecretsRequest { session, token, names } = request;
    if names.len() > MAX_NAMES {
        let problem = format!("has {} items, at most {MAX_NAMES} are taken", names.len());
        return Err(ApiError::field("names", problem).into());
    }
    let namespace = speaker.namespace();
    let attempt = held(context, speaker, &session, &token).await?;
    let row = context.reads.execution(attempt.execution).await.map_err(status)?;
    let own = row.filter(|row| row.namespace == *namespace);
    let row = own.ok_or_else(|| execution_not_found(&attempt.execution.to_string()))?;
    let loaded = context.plans.revision(namespace, &row.workflow, row.revision).await?;
    let task = loaded.plan.task(attempt.task);
    check(&names, &task.input.references().secrets)?;
    let asked = namespace.request(ResolveSecretsRequest { names });
    let answer = context
        .secrets
        .clone()
        .resolve_secrets(asked)
        .await
        .map_err(passed_on)?;
    let secrets = answer.into_inner().secrets.into_iter();
    Ok(ResolveTaskSecretsResponse {
        secrets: secrets
            .map(|secret| TaskSecret {
                name: secret.name,
                value: secret.value,
            })
            .collect(),
    })
}

/// The attempt that a session holds by a token at present, as a heartbeat finds it.
async fn held(context: &Context, speaker: &Speaker, id: &str, token: &str) -> Result<TokenSubject, Status> {
    let beat = HeartbeatTasksRequest {
        session: id.to_owned(),
        tokens: vec![token.to_owned()],
        ..HeartbeatTasksRequest::default()
    };
    let told = heartbeat::heartbeat(context, speaker, beat).await?.directives;
    match told.first().map(|directive| directive.action()) {
        Some(Action::Continue) => {}
        Some(_) => return Err(stale()),
        None => return Err(nobody()),
    }
    let session = session(context, speaker, id)?;
    let subjects = logs::subjects(context, &session.session, vec![(token.into(), 0)]).await?;
    match subjects.first() {
        Some(Subject::Current(subject)) => Ok(*subject),
        Some(Subject::Over) => Err(stale()),
        _ => Err(nobody()),
    }
}

fn stale() -> Status {
    let message = "the attempt is not leased to this session (any more): stop it";
    ApiError::new(ErrorReason::StaleAttempt, message).into()
}

fn nobody() -> Status {
    let message = "nobody can tell at present whose the lease is; ask again";
    ApiError::new(ErrorReason::NotOwner, message).into()
}

/// A worker gets what its task names, whoever wrote the worker.
fn check(names: &[String], named: &BTreeSet<String>) -> Result<(), ApiError> {
    match names.iter().find(|name| !named.contains(*name)) {
        None => Ok(()),
        Some(other) => Err(ApiError::field(
            "names",
            format!("the task does not name the secret {other:?}"),
        )),
    }
}

/// An error of the definitions service, which says nothing of a value. One of before secrets is being replaced.
fn passed_on(error: Status) -> Status {
    match error.code() {
        Code::Unimplemented => {
            let message = "the definitions service keeps no secrets yet: it is of an older version";
            ApiError::new(ErrorReason::StorageUnavailable, message).into()
        }
        // It is this service that is not let in there, not the worker here.
        Code::PermissionDenied | Code::Unauthenticated => {
            let message = format!("the execution service gets no secrets: {}", error.message());
            ApiError::new(ErrorReason::AccessUnavailable, message).into()
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_task_names_is_given() {
        let named = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let asked = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check(&names, &named).map_err(|error| error.to_string())
        };
        assert!(asked(&[]).is_ok() && asked(&["b", "a"]).is_ok());
        assert!(asked(&["a", "other"]).expect_err("not named").contains("\"other\""));
    }

    #[test]
    fn what_the_service_itself_may_not_is_no_fault_of_the_worker() {
        for code in [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented] {
            assert_eq!(passed_on(Status::new(code, "x")).code(), Code::Unavailable);
        }
        assert_eq!(
            passed_on(Status::failed_precondition("x")).code(),
            Code::FailedPrecondition
        );
    }
}

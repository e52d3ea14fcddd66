//! Secrets that NEXUS keeps: asked of the server for one attempt at a time. What cannot be had at present is asked for
//! again, for a while; it is never the task's fault.

use std::collections::HashMap;
use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::worker::v1::{ResolveTaskSecretsRequest, ResolveTaskSecretsResponse};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use zeroize::Zeroizing;

use crate::backoff;
use crate::link::Client;

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long an attempt waits for what it needs, before it is given back.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names of one call at most, as the server takes them.
const MAX_NAMES: usize = 100;

/// Values by the names that were asked for; wiped from memory with the attempt.
pub(crate) type Values = HashMap<String, Zeroizing<String>>;

/// Why there are no values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The worker may not have them, and asking again would not help.
    Denied(String),
    /// They cannot be had at present.
    Away(String),
}

/// Where secrets are asked for.
#[derive(Clone)]
pub(crate) struct Vault {
    client: Client,
    session: watch::Receiver<String>,
    namespace: Namespace,
}

impl Vault {
    /// Asks over `client` in the name of the newest session.
    pub(crate) fn new(client: Client, session: watch::Receiver<String>, namespace: Namespace) -> Self {
        Self {
            client,
            session,
            namespace,
        }
    }

    /// The namespace whose secrets these are.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The values of those that NEXUS keeps, for an attempt that this worker has a lease of.
    pub(crate) async fn values(&self, token: &str, names: &[String]) -> Result<Values, Refusal> {
        let until = Instant::now() + PATIENCE;
        let mut values = Values::new();
        for names in names.chunks(MAX_NAMES) {
            let answer = self.ask(token, names, until).await?;
            let secrets = answer.secrets.into_iter();
            values.extend(secrets.map(|secret| (secret.name, Zeroizing::new(secret.value))));
        }
        Ok(values)
    }

    async fn ask(&self, token: &str, names: &[String], until: Instant) -> Result<ResolveTaskSecretsResponse, Refusal> {
        let mut failures = 0;
        loop {
            let request = ResolveTaskSecretsRequest {
                session: self.session.borrow().clone(),
                token: token.to_owned(),
                names: names.to_vec(),
            };
            let asked = timeout(CALL_LIMIT, self.client.clone().resolve_task_secrets(request)).await;
            let problem = match asked.map(|asked| asked.map_err(|status| judged(&status))) {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(Judged::None)) => return Ok(ResolveTaskSecretsResponse::default()),
                Ok(Err(Judged::Final(refusal))) => return Err(refusal),
                Ok(Err(Judged::Again(problem))) => problem,
                Err(_) => "no answer in time".to_owned(),
            };
            let delay = backoff::delay(failures, backoff::chance()).min(Duration::from_secs(2));
            if Instant::now() + delay >= until {
                return Err(Refusal::Away(problem));
            }
            tracing::debug!(error = %problem, failures, "secrets cannot be had yet");
            sleep(delay).await;
            failures = failures.saturating_add(1);
        }
    }
}

/// What an error means.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// The server keeps no secrets.
    None,
    Final(Refusal),
    Again(String),
}

fn judged(status: &Status) -> Judged {
    let told = status.message().to_owned();
    match status.code() {
        Code::Unimplemented => Judged::None,
        Code::PermissionDenied | Code::InvalidArgument => Judged::Final(Refusal::Denied(told)),
        // The lease is somebody else's, and so is the attempt.
        Code::Aborted => Judged::Final(Refusal::Away(told)),
        _ => Judged::Again(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_so_is_final() {
        let judge = |code| judged(&Status::new(code, "x"));
        let told = || "x".to_owned();
        assert_eq!(judge(Code::Unimplemented), Judged::None);
        assert_eq!(judge(Code::PermissionDenied), Judged::Final(Refusal::Denied(told())));
        assert_eq!(judge(Code::Aborted), Judged::Final(Refusal::Away(told())));
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Internal,
            Code::FailedPrecondition,
            Code::DataLoss,
            Code::Unauthenticated,
            Code::Unknown,
        ] {
            assert_eq!(judge(code), Judged::Again(told()), "{code:?}");
        }
    }
}

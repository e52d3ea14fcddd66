//! Who speaks for a worker: the namespace of a call, and whose credential it shows. A session is its speaker's alone. That
//! holds at every replica, whichever of them knows the session, since a session's name has its speaker's mark in it.

use nexus_api::ErrorReason;
use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_auth::Caller;
use nexus_execution_store::SessionId;
use sha2::{Digest, Sha256};
use tonic::{Request, Status};

/// Who speaks for a worker.
#[derive(Debug, Clone)]
pub struct Speaker {
    namespace: Namespace,
    /// Nobody for calls that passed no door: the process's own.
    caller: Option<Caller>,
    mark: u64,
}

impl Speaker {
    /// The process itself, about a namespace.
    #[must_use]
    pub fn of_process(namespace: Namespace) -> Self {
        Self::new(namespace, None)
    }

    fn new(namespace: Namespace, caller: Option<Caller>) -> Self {
        let subject = caller.as_ref().map_or("", Caller::subject);
        let mark = mark(&namespace, subject);
        Self {
            namespace,
            caller,
            mark,
        }
    }

    /// Who makes a call, and its message.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the metadata names no namespace.
    pub fn split<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let caller = Caller::of(&request).ok();
        let (namespace, message) = Namespace::split(request)?;
        Ok((Self::new(namespace, caller), message))
    }

    /// The namespace that they speak about.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What their sessions are known by.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// Whether a session is theirs, by its name.
    #[must_use]
    pub fn is_of(&self, session: &SessionId) -> bool {
        session.mark().is_none_or(|mark| mark == self.mark)
    }

    /// Whether they may take from all of some queues, by the names that plans have.
    #[must_use]
    pub fn may_take_from(&self, queues: &[String]) -> bool {
        self.beyond(queues).is_none()
    }

    fn beyond<'a>(&self, queues: &'a [String]) -> Option<(&Caller, &'a str)> {
        let caller = self.caller.as_ref()?;
        let mut names = queues.iter().map(|queue| self.namespace.plain(queue));
        names
            .find(|queue| !caller.may_take_from(queue))
            .map(|queue| (caller, queue))
    }

    /// Refuses queues that the credential is not for.
    ///
    /// # Errors
    /// PERMISSION_MISSING with the first of them.
    pub fn require(&self, queues: &[String]) -> Result<(), ApiError> {
        let Some((caller, queue)) = self.beyond(queues) else {
            return Ok(());
        };
        let message = format!(
            "{} may not take tasks from the queue {queue:?}; its credential is for {}",
            caller.subject(),
            caller.identity().queues.join(", ")
        );
        let refusal = ApiError::new(ErrorReason::PermissionMissing, message);
        Err(refusal.with("namespace", self.namespace.as_str()).with("queue", queue))
    }
}

/// The first eight bytes of a hash of namespace and subject: nobody finds another subject that has the same.
fn mark(namespace: &Namespace, subject: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(namespace.as_str());
    hash.update([0]);
    hash.update(subject);
    let first = hash.finalize().into_iter().take(8);
    first.fold(0, |mark, byte| mark << 8 | u64::from(byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use nexus_api::access::v1::Identity;
    use nexus_execution_store::Ids;

    use super::*;

    pub(crate) fn speaker(namespace: &str, subject: &str, queues: &[&str]) -> Speaker {
        let caller = Caller::new(Identity {
            subject: subject.to_owned(),
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
            ..Identity::default()
        });
        Speaker::new(namespace.parse().expect("a namespace"), Some(caller))
    }

    #[test]
    fn a_session_is_of_who_opened_it_and_of_nobody_else() {
        let anna = speaker("default", "user:anna", &[]);
        let session = Ids::system().session(anna.mark());
        assert!(anna.is_of(&session) && speaker("default", "user:anna", &["gpu"]).is_of(&session));
        for other in [
            speaker("default", "user:bob", &[]),
            speaker("team-a", "user:anna", &[]),
            Speaker::of_process(Namespace::default()),
        ] {
            assert!(!other.is_of(&session), "{other:?}");
        }
        // What builds of before gave out names nobody.
        assert!(anna.is_of(&uuid::Uuid::new_v4().simple().to_string().into()));
    }

    #[test]
    fn queues_are_those_of_the_credential_in_every_namespace() {
        let bound = speaker("team-a", "user:w", &["gpu"]);
        assert!(bound.may_take_from(&["team-a/gpu".to_owned()]));
        let refusal = bound.require(&["team-a/gpu".to_owned(), "team-a/default".to_owned()]);
        let refusal = refusal.expect_err("not its queue");
        assert_eq!(refusal.reason(), ErrorReason::PermissionMissing);
        assert!(Status::from(refusal).message().contains("\"default\""));
        assert!(speaker("team-a", "user:w", &[]).may_take_from(&["team-a/default".to_owned()]));
    }
}

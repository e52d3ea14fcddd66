//! Who holds which attempt. Leases live in memory alone: a new owner gives every one of them out again.

use nexus_engine::TaskKey;
use std::collections::BTreeSet;

use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::{ExecutionId, LeaseKey, LeaseToken, SessionId, Silence};

use super::base::Map;
use super::messages::TokenSubject;

/// A lease that is not extended for this long is given to somebody else. Longer than the shards of an owner that died
/// are without one, so that its workers need not stop what they do.
pub const LEASE: i64 = 20_000_000;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) subject: TokenSubject,
    pub(crate) session: SessionId,
    /// On the steady clock.
    pub(crate) expires_at: i64,
    /// When the attempt should have ended, whatever its worker says, on the steady clock; the net below the worker's
    /// own limit.
    pub(crate) overdue_at: i64,
    /// Bytes of log that were taken.
    pub(crate) logged: u64,
    /// Why the worker was told to stop, once it was.
    pub(crate) cancelled: Option<String>,
    /// It is noted in the store that its worker has not been heard of for a while.
    pub(crate) silent: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_token: Map<LeaseToken, Lease>,
    by_task: Map<(ExecutionId, TaskKey), LeaseToken>,
    by_session: Map<SessionId, BTreeSet<LeaseToken>>,
    /// Leases that are over; kept for a planted bug alone.
    ended: Map<LeaseToken, TokenSubject>,
}

impl Leases {
    pub(crate) fn insert(&mut self, token: LeaseToken, lease: Lease) {
        self.by_task
            .insert((lease.subject.execution, lease.subject.task), token.clone());
        self.by_session
            .entry(lease.session.clone())
            .or_default()
            .insert(token.clone());
        self.by_token.insert(token, lease);
    }

    pub(crate) fn remove(&mut self, token: &LeaseToken) -> Option<Lease> {
        let lease = self.by_token.remove(token)?;
        if planted(Bug::NoTokenCheck) {
            self.ended.insert(token.clone(), lease.subject);
        }
        let task = (lease.subject.execution, lease.subject.task);
        if self.by_task.get(&task).is_some_and(|current| current == token) {
            self.by_task.remove(&task);
        }
        if let Some(tokens) = self.by_session.get_mut(&lease.session) {
            tokens.remove(token);
            if tokens.is_empty() {
                self.by_session.remove(&lease.session);
            }
        }
        Some(lease)
    }

    /// A session's lease; another session's token is nobody's.
    pub(crate) fn of_session(&mut self, token: &LeaseToken, session: &SessionId) -> Option<&mut Lease> {
        self.by_token.get_mut(token).filter(|lease| lease.session == *session)
    }

    /// The token under which a task is leased.
    pub(crate) fn token_of(&self, execution: ExecutionId, task: TaskKey) -> Option<&LeaseToken> {
        self.by_task.get(&(execution, task))
    }

    /// What the lease of a task is known by.
    pub(crate) fn key_of(&self, execution: ExecutionId, task: TaskKey) -> Option<LeaseKey> {
        let token = self.token_of(execution, task)?;
        let lease = self.by_token.get(token)?;
        Some(LeaseKey {
            token: token.clone(),
            session: lease.session.clone(),
        })
    }

    /// Forgets the leases of some executions: somebody else owns them.
    pub(crate) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        let tokens = self.by_token.iter().filter(|(_, lease)| gone(lease.subject.execution));
        let tokens: Vec<LeaseToken> = tokens.map(|(token, _)| token.clone()).collect();
        for token in tokens {
            self.remove(&token);
        }
    }

    pub(crate) fn get_mut(&mut self, token: &LeaseToken) -> Option<&mut Lease> {
        self.by_token.get_mut(token)
    }

    pub(crate) fn tokens_of_session(&self, session: &SessionId) -> Vec<LeaseToken> {
        self.by_session
            .get(session)
            .map(|tokens| tokens.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn expired(&self, now: i64) -> Vec<LeaseToken> {
        let late = self.by_token.iter().filter(|(_, lease)| lease.expires_at <= now);
        late.map(|(token, _)| token.clone()).collect()
    }

    /// Leases that have not been extended for so long and of which that is not noted yet; it is now.
    pub(crate) fn silent(&mut self, now: i64, length: i64) -> Vec<Silence> {
        let mut silences = Vec::new();
        for (token, lease) in &mut self.by_token {
            let age = now.saturating_sub(lease.expires_at.saturating_sub(LEASE));
            if age >= length && !lease.silent {
                lease.silent = true;
                let token = token.clone();
                silences.push(Silence { token, age });
            }
        }
        silences
    }

    /// Gives every lease at least until then.
    pub(crate) fn extend_all(&mut self, until: i64) {
        for lease in self.by_token.values_mut() {
            lease.expires_at = lease.expires_at.max(until);
        }
    }

    /// What leases are about whose attempts should have ended.
    pub(crate) fn overdue(&self, now: i64) -> Vec<TokenSubject> {
        let late = self.by_token.values().filter(|lease| lease.overdue_at <= now);
        late.map(|lease| lease.subject).collect()
    }

    pub(crate) fn ended(&self, token: &LeaseToken) -> Option<TokenSubject> {
        self.ended.get(token).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn lease(task: TaskKey, session: &str, expires_at: i64) -> Lease {
        let subject = TokenSubject {
            execution: ExecutionId(Uuid::nil()),
            task,
            attempt: 1,
        };
        Lease {
            subject,
            session: session.into(),
            expires_at,
            overdue_at: expires_at + 100,
            logged: 0,
            cancelled: None,
            silent: false,
        }
    }

    #[test]
    fn leases_are_found_by_token_task_and_session_until_removed() {
        let mut leases = Leases::default();
        leases.insert("a".into(), lease(TaskKey::of(1), "s", 10));
        leases.insert("b".into(), lease(TaskKey::of(2), "s", 20));
        assert_eq!(
            leases
                .token_of(ExecutionId(Uuid::nil()), TaskKey::of(2))
                .map(LeaseToken::as_str),
            Some("b")
        );
        assert!(
            leases.of_session(&"a".into(), &"other".into()).is_none(),
            "a token is worth nothing in another session"
        );
        assert_eq!(leases.expired(10), [LeaseToken::from("a")]);
        assert_eq!(leases.overdue(115).len(), 1);
        leases.extend_all(15);
        assert!(leases.expired(14).is_empty());
        assert_eq!(
            leases.expired(15),
            [LeaseToken::from("a")],
            "the other one had longer already"
        );
        leases.remove(&"a".into());
        assert_eq!(leases.tokens_of_session(&"s".into()), [LeaseToken::from("b")]);
        leases.remove(&"b".into());
        assert!(leases.is_empty() && leases.token_of(ExecutionId(Uuid::nil()), TaskKey::of(2)).is_none());
    }

    #[test]
    fn removing_an_old_lease_leaves_the_new_one_of_the_task() {
        let mut leases = Leases::default();
        leases.insert("old".into(), lease(TaskKey::of(1), "s", 10));
        leases.insert("new".into(), lease(TaskKey::of(1), "t", 20));
        leases.remove(&"old".into());
        assert_eq!(
            leases
                .token_of(ExecutionId(Uuid::nil()), TaskKey::of(1))
                .map(LeaseToken::as_str),
            Some("new")
        );
    }
}

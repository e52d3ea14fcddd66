//! What was last heard of workers' sessions. A session goes on at another replica under a higher generation, so that the
//! word of a replica that was away meanwhile is known for an old one. And a session that was closed a moment ago is
//! remembered: when a worker and the owner of what it runs die together, whoever takes the shards over gives the worker
//! a short time to be heard of, instead of the length of a lease, which would begin anew with each further owner.

use std::collections::{HashMap, VecDeque};

use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::{LeaseToken, SessionId};

use super::messages::Received;

/// How long a word is remembered after it was last said, in microseconds: longer than the shards of an owner that died
/// are without one, and than any word between replicas is under way.
const REMEMBERED: i64 = 60_000_000;
/// A word that is said again is put down anew only after this long, in microseconds.
const AGAIN: i64 = REMEMBERED / 4;
/// Sessions that are remembered at most.
const MOST: usize = 10_000;
/// Tokens that are remembered at most of what workers received, of all sessions together.
const MOST_TOKENS: usize = 200_000;

#[derive(Debug)]
struct Word {
    generation: u64,
    closed: bool,
    /// What had reached the worker when this generation began, if it said so.
    received: Option<Received>,
    /// On the steady clock.
    until: i64,
}

/// The sessions of which something has to be remembered: those that moved, and those that were closed.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    known: HashMap<SessionId, Word>,
    /// When what is known ends, in that order; a word that was said again stands here more than once.
    order: VecDeque<(i64, SessionId)>,
    /// Tokens among what is known.
    tokens: usize,
}

impl Sessions {
    /// A session was heard of in a generation. False when that is an old word: it has gone on elsewhere since.
    pub(crate) fn lives(&mut self, session: &SessionId, generation: u64, now: i64) -> bool {
        if generation == 0 && !self.known.contains_key(session) {
            // Most never move; of those nothing has to be remembered.
            return true;
        }
        self.note(session, generation, false, now)
    }

    /// A session was closed in a generation. False when that is an old word.
    pub(crate) fn close(&mut self, session: &SessionId, generation: u64, now: i64) -> bool {
        self.note(session, generation, true, now)
    }

    /// What had reached the worker when the session's present generation began. Where there is no room for it, leases that
    /// were lost on the way end by themselves.
    pub(crate) fn received(&mut self, session: &SessionId, received: Received) {
        let Some(word) = self.known.get_mut(session) else {
            return;
        };
        let before = word.received.as_ref().map_or(0, |received| received.len());
        let after = self.tokens - before + received.len();
        if after <= MOST_TOKENS {
            word.received = Some(received);
            self.tokens = after;
        }
    }

    /// Whether a lease of a session was lost on the way to its worker: it was given out in an earlier generation, whose
    /// words do not reach the worker any more, and had not reached it when the present one began.
    pub(crate) fn never_came(&self, session: &SessionId, token: &LeaseToken) -> bool {
        let Some(word) = self.known.get(session) else {
            return false;
        };
        let earlier = token
            .generation()
            .is_some_and(|generation| generation < word.generation);
        let missing = word.received.as_ref().is_some_and(|received| !received.contains(token));
        missing && (earlier || planted(Bug::YoungLeaseGivenBack))
    }

    /// Whether a session has gone on elsewhere since a generation.
    pub(crate) fn is_old(&self, session: &SessionId, generation: u64) -> bool {
        self.known.get(session).is_some_and(|word| generation < word.generation)
    }

    /// Whether a session was closed lately and was not heard of since.
    pub(crate) fn is_closed(&self, session: &SessionId, now: i64) -> bool {
        let word = self.known.get(session);
        word.is_some_and(|word| word.closed && word.until > now)
    }

    fn note(&mut self, session: &SessionId, generation: u64, closed: bool, now: i64) -> bool {
        if self.is_old(session, generation) {
            return false;
        }
        let until = now.saturating_add(REMEMBERED);
        if let Some(word) = self.known.get_mut(session) {
            if word.generation != generation {
                // It tells of the generation before.
                self.tokens -= word.received.take().map_or(0, |received| received.len());
            }
            (word.generation, word.closed) = (generation, closed);
            if until - word.until < AGAIN {
                return true;
            }
            word.until = until;
        } else {
            self.make_room(now);
            let word = Word {
                generation,
                closed,
                received: None,
                until,
            };
            self.known.insert(session.clone(), word);
        }
        self.order.push_back((until, session.clone()));
        true
    }

    fn make_room(&mut self, now: i64) {
        while self.known.len() >= MOST || self.order.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, session)) = self.order.pop_front() else {
                return;
            };
            // Otherwise it was said again, and stands further behind.
            if self.known.get(&session).is_some_and(|word| word.until == until) {
                let word = self.known.remove(&session);
                self.tokens -= word.and_then(|word| word.received).map_or(0, |received| received.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_word_changes_nothing() {
        let mut sessions = Sessions::default();
        assert!(sessions.lives(&"a".into(), 0, 0) && sessions.known.is_empty());
        assert!(sessions.lives(&"a".into(), 7, 0), "it has gone on");
        assert!(!sessions.close(&"a".into(), 0, 1), "said by where it was before");
        assert!(!sessions.lives(&"a".into(), 6, 1) && sessions.is_old(&"a".into(), 6));
        assert!(!sessions.is_closed(&"a".into(), 1));
        assert!(sessions.close(&"a".into(), 7, 2) && sessions.is_closed(&"a".into(), 2));
        assert!(!sessions.close(&"a".into(), 3, 3) && sessions.is_closed(&"a".into(), 3));
        assert!(
            sessions.lives(&"a".into(), 8, 4) && !sessions.is_closed(&"a".into(), 4),
            "it came back"
        );
    }

    #[test]
    fn what_a_worker_does_not_name_never_came_if_it_was_given_out_before() {
        let mut sessions = Sessions::default();
        let named: Received = std::sync::Arc::new(["00a.3".into()].into());
        assert!(sessions.lives(&"s".into(), 4, 0));
        assert!(
            !sessions.never_came(&"s".into(), &"00b.3".into()),
            "it has not said what it received"
        );
        sessions.received(&"s".into(), named.clone());
        let never_came: Vec<bool> = ["00a.3", "00b.3", "00c.4", "00d.5", "00e"]
            .map(|token| sessions.never_came(&"s".into(), &token.into()))
            .to_vec();
        assert_eq!(never_came, [false, true, false, false, false]);
        assert!(
            sessions.lives(&"s".into(), 4, 1) && sessions.never_came(&"s".into(), &"00b.3".into()),
            "a heartbeat"
        );
        assert!(
            sessions.lives(&"s".into(), 6, 1) && !sessions.never_came(&"s".into(), &"00b.3".into()),
            "what it has now is not known"
        );
        assert_eq!(sessions.tokens, 0);
        sessions.received(&"s".into(), named);
        assert!(
            sessions.close(&"t".into(), 0, 2 * REMEMBERED) && sessions.tokens == 0,
            "forgotten with its session"
        );
    }

    #[test]
    fn a_session_is_gone_for_a_while_or_until_it_is_heard_of() {
        let mut sessions = Sessions::default();
        assert!(sessions.close(&"a".into(), 0, 0) && sessions.close(&"b".into(), 0, 10));
        assert!(sessions.is_closed(&"a".into(), 5));
        assert!(!sessions.is_closed(&"a".into(), REMEMBERED), "long ago");
        assert!(sessions.is_closed(&"b".into(), REMEMBERED));
        assert!(sessions.lives(&"b".into(), 0, 20) && !sessions.is_closed(&"b".into(), 20));
        assert!(sessions.close(&"c".into(), 0, 2 * REMEMBERED));
        assert_eq!(sessions.known.len(), 1, "what is too old is dropped");
    }

    #[test]
    fn what_is_said_again_is_remembered_longer_and_no_more_than_so_many() {
        let mut sessions = Sessions::default();
        for second in 0..600 {
            assert!(sessions.lives(&"a".into(), 1, second * 1_000_000));
            assert!(sessions.order.len() <= 45, "said again is not put down each time");
        }
        for number in 0..=MOST {
            sessions.close(&number.to_string().into(), 0, 600_000_000);
        }
        assert_eq!(sessions.known.len(), MOST);
        assert!(!sessions.is_old(&"a".into(), 0), "the oldest went first");
    }
}

//! Sessions that were closed a moment ago. When a worker and the owner of what it runs die together, the owner's shards
//! have no owner at the moment in which the worker's stream is found broken. Whoever takes them over has heard of it
//! before, and gives what the worker had out again at once, instead of waiting for the length of a lease; which would
//! begin anew with each further owner.

use std::collections::VecDeque;

/// How long it is remembered, in microseconds: longer than the shards of an owner that died are without one.
const REMEMBERED: i64 = 60_000_000;
/// Sessions that are remembered at most.
const MOST: usize = 10_000;

#[derive(Debug)]
struct Gone {
    session: String,
    reason: String,
    /// On the steady clock.
    until: i64,
}

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Closed(VecDeque<Gone>);

impl Closed {
    /// A session was closed.
    pub(super) fn add(&mut self, session: &str, reason: &str, now: i64) {
        while self.0.len() >= MOST || self.0.front().is_some_and(|gone| gone.until <= now) {
            self.0.pop_front();
        }
        self.0.push_back(Gone {
            session: session.to_owned(),
            reason: reason.to_owned(),
            until: now.saturating_add(REMEMBERED),
        });
    }

    /// A session goes on after all.
    pub(super) fn forget(&mut self, session: &str) {
        self.0.retain(|gone| gone.session != session);
    }

    /// Why a session was closed, if it was lately.
    pub(super) fn reason(&self, session: &str, now: i64) -> Option<&str> {
        let gone = self.0.iter().rev().find(|gone| gone.session == session);
        gone.filter(|gone| gone.until > now).map(|gone| gone.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_gone_for_a_while_or_until_it_is_heard_of() {
        let mut closed = Closed::default();
        closed.add("a", "its stream broke", 0);
        closed.add("b", "it fell silent", 10);
        assert_eq!(closed.reason("a", 5), Some("its stream broke"));
        assert_eq!(closed.reason("a", REMEMBERED), None, "long ago");
        assert_eq!(closed.reason("b", REMEMBERED), Some("it fell silent"));
        closed.forget("b");
        assert_eq!(closed.reason("b", 20), None);
        closed.add("c", "", REMEMBERED);
        assert_eq!(closed.0.len(), 1, "what is too old is dropped");
        for number in 0..=MOST {
            closed.add(&number.to_string(), "", REMEMBERED);
        }
        assert_eq!(closed.0.len(), MOST);
    }
}

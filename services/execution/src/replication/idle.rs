//! Which other replica has workers with free slots, by queue. A start that would find none here is made there: its tasks are
//! leased in the commit that makes them ready, instead of going through Redis and being leased by a second one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a replica is taken to have free slots after it was seen to. Short: it may be gone.
const FRESH: Duration = Duration::from_secs(5);
/// Queues of which it is known at most.
const QUEUES: usize = 1_000;

/// What was seen last of the others' workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idle {
    seen: Arc<Mutex<HashMap<String, (Uuid, Instant)>>>,
}

impl Idle {
    /// A replica has a worker with a free slot for a queue, or had a moment ago.
    pub(crate) fn is_free(&self, queue: &str, replica: Uuid, now: Instant) {
        let mut seen = self.seen.lock();
        if seen.len() >= QUEUES && !seen.contains_key(queue) {
            seen.clear();
        }
        seen.insert(queue.to_owned(), (replica, now));
    }

    /// A replica had none, or does not answer.
    pub(crate) fn forget(&self, replica: Uuid) {
        self.seen.lock().retain(|_, (seen, _)| *seen != replica);
    }

    /// One that has, if any was seen.
    pub(crate) fn find(&self, queue: &str, now: Instant) -> Option<Uuid> {
        let seen = self.seen.lock().get(queue).copied();
        let fresh = seen.filter(|(_, at)| now.duration_since(*at) < FRESH);
        fresh.map(|(replica, _)| replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_believed_for_a_while_and_until_it_is_denied() {
        let (idle, now) = (Idle::default(), Instant::now());
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(idle.find("a", now), None);
        idle.is_free("a", one, now);
        assert_eq!((idle.find("a", now), idle.find("b", now)), (Some(one), None));
        idle.forget(two);
        assert_eq!(idle.find("a", now), Some(one), "a word about another one");
        assert_eq!(idle.find("a", now + FRESH), None, "too old");
        idle.forget(one);
        assert_eq!(idle.find("a", now), None);
        for queue in 0..=QUEUES {
            idle.is_free(&queue.to_string(), two, now);
        }
        assert!(idle.seen.lock().len() <= QUEUES);
    }
}

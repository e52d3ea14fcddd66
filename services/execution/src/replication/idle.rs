//! Which other replica has workers that wait. A start that would find none here is made there: its tasks are leased in
//! the commit that makes them ready, instead of going through Redis and being leased by a second one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a replica is taken to have workers that wait after it was seen to. Short: it may be gone.
const FRESH: Duration = Duration::from_secs(5);

/// What was seen last of the others' workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idle {
    seen: Arc<Mutex<Option<(Uuid, Instant)>>>,
}

impl Idle {
    /// A replica has workers that wait, or had a moment ago.
    pub(crate) fn waits(&self, replica: Uuid, now: Instant) {
        *self.seen.lock() = Some((replica, now));
    }

    /// A replica has none, or does not answer.
    pub(crate) fn is_busy(&self, replica: Uuid) {
        self.seen.lock().take_if(|(seen, _)| *seen == replica);
    }

    /// One that has, if any was seen.
    pub(crate) fn find(&self, now: Instant) -> Option<Uuid> {
        let seen = *self.seen.lock();
        seen.filter(|(_, at)| now.duration_since(*at) < FRESH)
            .map(|(replica, _)| replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_believed_for_a_while_and_until_it_is_denied() {
        let (idle, now) = (Idle::default(), Instant::now());
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(idle.find(now), None);
        idle.waits(one, now);
        assert_eq!(idle.find(now), Some(one));
        idle.is_busy(two);
        assert_eq!(idle.find(now), Some(one), "another one's word");
        assert_eq!(idle.find(now + FRESH), None, "too old");
        idle.is_busy(one);
        assert_eq!(idle.find(now), None);
    }
}

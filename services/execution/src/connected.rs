//! The workers that are connected here, as the owner's loop sees them: their free slots, and what they are told.

use nexus_execution_owner::seats::{Seat, Seats, Workers};
use nexus_execution_owner::{Granted, Verdict};
use nexus_execution_store::{LeaseToken, SessionId};

use crate::waiting::Waiting;
use nexus_execution_sessions::Sessions;

/// What is known of the workers of this replica, and through it of those of others.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) waiting: Waiting,
    pub(crate) sessions: Sessions,
}

impl Seats for Connected {
    fn seat(&self, queue: &str) -> Option<Seat> {
        self.waiting.seat(queue)
    }
}

impl Workers for Connected {
    fn hand(&self, seat: Seat, lease: Granted) -> Result<(), Box<Granted>> {
        self.waiting.hand(seat, lease)
    }

    fn direct(&self, session: &SessionId, token: &LeaseToken, verdict: &Verdict) {
        self.sessions.direct(session, token, verdict);
    }
}

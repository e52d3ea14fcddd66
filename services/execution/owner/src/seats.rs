//! Free slots of workers that wait. What becomes ready while there are some is leased in the commit that made it ready,
//! and goes to its worker without a way through the dispatcher.

use nexus_execution_store::{LeaseToken, SessionId};

use super::messages::{Granted, SessionRef, Verdict};

/// Where the owner looks for workers that wait.
pub trait Seats: Send + Sync {
    /// Keeps a slot of a worker that has looked for tasks of a queue and found none.
    fn seat(&self, queue: &str) -> Option<Seat>;
}

/// The workers that are connected, as the owner's loop needs them.
pub trait Workers: Seats {
    /// Hands a lease in, for the worker whose slot was kept.
    ///
    /// # Errors
    /// The lease, when its worker is gone or does not keep up.
    fn hand(&self, seat: Seat, lease: Granted) -> Result<(), Box<Granted>>;

    /// Tells a worker at once what to do with an attempt, as far as it can be reached.
    fn direct(&self, session: &SessionId, token: &LeaseToken, verdict: &Verdict);
}

/// Nobody waits here.
#[derive(Debug, Clone, Copy)]
pub struct NoSeats;

impl Seats for NoSeats {
    fn seat(&self, _: &str) -> Option<Seat> {
        None
    }
}

/// A slot that is kept for a task. Whoever does not fill it drops it, and it is free again.
pub struct Seat {
    session: SessionRef,
    give_back: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seat").field(&self.session.session).finish()
    }
}

impl Seat {
    /// A slot of a worker, taken away from what else could fill it; `give_back` is called if nothing does.
    pub fn new(session: SessionRef, give_back: impl FnOnce() + Send + 'static) -> Self {
        Self {
            session,
            give_back: Some(Box::new(give_back)),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// Whether its worker takes tasks from a queue.
    #[must_use]
    pub fn takes(&self, queue: &str) -> bool {
        self.session.queues.iter().any(|taken| taken == queue)
    }

    /// A task is on its way to the worker.
    pub fn fill(mut self) {
        self.give_back = None;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_seat_is_free_again_unless_it_was_filled() {
        let free = Arc::new(AtomicU32::new(0));
        let seat = || {
            let free = Arc::clone(&free);
            let session = SessionRef {
                session: "s".into(),
                worker: "w".into(),
                queues: Arc::from(["default".to_owned()]),
                generation: 0,
            };
            Seat::new(session, move || {
                free.fetch_add(1, Ordering::Relaxed);
            })
        };
        assert!(seat().takes("default") && !seat().takes("other"));
        assert_eq!(free.load(Ordering::Relaxed), 2);
        seat().fill();
        assert_eq!(free.load(Ordering::Relaxed), 2);
    }
}

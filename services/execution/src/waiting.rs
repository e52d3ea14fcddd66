//! Workers that wait for work at this replica, and their free slots, which the owner fills at once.

use std::sync::Arc;

use nexus_execution_owner::seats::{Seat, Seats};
use nexus_execution_owner::{Granted, SessionRef};
use nexus_execution_store::SessionId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// Leases on their way to one worker at most.
pub(crate) const HANDED: usize = 256;

/// Where a worker's leases are handed in that were not asked for.
#[derive(Debug)]
pub(crate) struct Desk {
    session: SessionRef,
    credits: watch::Sender<i64>,
    leases: mpsc::Sender<Granted>,
}

impl Desk {
    /// A desk of a session: its free slots, and the way to whoever sends it tasks.
    pub(crate) fn new(session: SessionRef, credits: watch::Sender<i64>, leases: mpsc::Sender<Granted>) -> Self {
        Self {
            session,
            credits,
            leases,
        }
    }

    fn takes(&self, queue: &str) -> bool {
        self.session.queues.iter().any(|taken| taken == queue)
    }

    /// Takes a slot away from what else could fill it.
    fn keep(&self) -> Option<Seat> {
        let take = |free: &mut i64| {
            let some = *free > 0;
            *free -= i64::from(some);
            some
        };
        self.credits.send_if_modified(take).then(|| {
            let credits = self.credits.clone();
            let give_back = move || credits.send_modify(|free| *free += 1);
            Seat::new(self.session.clone(), give_back)
        })
    }
}

#[derive(Debug, Default)]
struct Desks {
    /// Of every worker with a stream.
    all: std::collections::HashMap<SessionId, Arc<Desk>>,
    /// Of those that have looked for work and found none.
    waiting: Vec<Arc<Desk>>,
    /// Who comes next.
    turn: usize,
}

/// The desks of this replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting {
    desks: Arc<Mutex<Desks>>,
}

impl Waiting {
    /// Lets a desk be found until the guard is dropped.
    pub(crate) fn open(&self, desk: Arc<Desk>) -> Open {
        let session = desk.session.session.clone();
        self.desks.lock().all.insert(session, Arc::clone(&desk));
        let waiting = self.clone();
        Open { waiting, desk }
    }

    /// Whether a worker here has a free slot for a queue. It may be about to fill it.
    pub(crate) fn is_free(&self, queue: &str) -> bool {
        let desks = self.desks.lock();
        let mut all = desks.all.values();
        all.any(|desk| *desk.credits.borrow() > 0 && desk.takes(queue))
    }

    /// Hands a lease in; gives it back when its worker is gone.
    ///
    /// # Errors
    /// The lease, when its worker is gone or does not keep up.
    pub(crate) fn hand(&self, seat: Seat, lease: Granted) -> Result<(), Box<Granted>> {
        let desk = self.desks.lock().all.get(&seat.session().session).cloned();
        let Some(desk) = desk else { return Err(Box::new(lease)) };
        match desk.leases.try_send(lease) {
            Ok(()) => {
                seat.fill();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(lease) | mpsc::error::TrySendError::Closed(lease)) => {
                Err(Box::new(lease))
            }
        }
    }
}

impl Seats for Waiting {
    /// Workers take turns.
    fn seat(&self, queue: &str) -> Option<Seat> {
        self.desks.lock().seat(queue)
    }
}

impl Desks {
    fn seat(&mut self, queue: &str) -> Option<Seat> {
        let number = self.waiting.len();
        for step in 0..number {
            let place = (self.turn + step) % number;
            let desk = &self.waiting[place];
            if desk.takes(queue)
                && let Some(seat) = desk.keep()
            {
                self.turn = (place + 1) % number;
                return Some(seat);
            }
        }
        None
    }
}

/// A desk that can be found.
#[derive(Debug)]
pub(crate) struct Open {
    waiting: Waiting,
    desk: Arc<Desk>,
}

impl Open {
    /// Says that its worker waits, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiting.desks.lock().waiting.push(Arc::clone(&self.desk));
        Waits(self)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut desks = self.waiting.desks.lock();
        let session = &self.desk.session.session;
        // A session that has come back has a newer one.
        if desks.all.get(session).is_some_and(|desk| Arc::ptr_eq(desk, &self.desk)) {
            desks.all.remove(session);
        }
    }
}

/// A worker waits.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Open);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut desks = self.0.waiting.desks.lock();
        let place = desks.waiting.iter().position(|desk| Arc::ptr_eq(desk, &self.0.desk));
        if let Some(place) = place {
            desks.waiting.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(name: &str, free: i64) -> (Arc<Desk>, watch::Receiver<i64>, mpsc::Receiver<Granted>) {
        let session = SessionRef {
            session: name.into(),
            worker: name.into(),
            queues: Arc::from(["default".to_owned()]),
            generation: 0,
        };
        let (credits, seen) = watch::channel(free);
        let (leases, handed) = mpsc::channel(1);
        (Arc::new(Desk::new(session, credits, leases)), seen, handed)
    }

    fn names(seats: &[Seat]) -> Vec<&str> {
        seats.iter().map(|seat| seat.session().session.as_str()).collect()
    }

    #[test]
    fn slots_are_kept_of_those_who_wait_in_turns_and_come_back() {
        let waiting = Waiting::default();
        let (one, one_free, _one) = desk("one", 2);
        let (two, two_free, _two) = desk("two", 1);
        let (one, two) = (waiting.open(one), waiting.open(two));
        let seats = || -> Vec<Seat> {
            let queues = ["default", "other", "default", "default", "default"];
            queues.iter().filter_map(|queue| waiting.seat(queue)).collect()
        };
        assert!(seats().is_empty(), "nobody has said that it waits");
        assert!(waiting.is_free("default"), "they have free slots all the same");
        assert!(!waiting.is_free("other"));
        let _one_waits = one.wait();
        let two_waits = two.wait();
        let kept = seats();
        assert_eq!(
            names(&kept),
            ["one", "two", "one"],
            "three slots, and none for the other queue"
        );
        assert_eq!((*one_free.borrow(), *two_free.borrow()), (0, 0));
        assert!(!waiting.is_free("default"), "they can take nothing more");
        drop(kept);
        assert_eq!((*one_free.borrow(), *two_free.borrow()), (2, 1));
        drop(two_waits);
        assert_eq!(names(&seats()), ["one", "one"]);
    }

    #[test]
    fn a_desk_that_was_closed_is_not_found() {
        let waiting = Waiting::default();
        let (old, ..) = desk("s", 1);
        let (new, free, _handed) = desk("s", 1);
        let old = waiting.open(old);
        let new = waiting.open(new);
        drop(old);
        let waits = new.wait();
        assert!(waiting.seat("default").is_some(), "the newer one stays");
        assert_eq!(*free.borrow(), 1);
        drop(waits);
        drop(new);
        assert!(waiting.desks.lock().all.is_empty());
    }
}

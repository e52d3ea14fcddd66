//! Slots of waiting workers that an owner may fill, and the leases that come to them with its commits.

use nexus_execution_owner::Granted;
use nexus_execution_owner::seats::{Seat, Seats};
use parking_lot::Mutex;

use crate::world::World;

/// Slots that one message or tick may fill.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<Seat>>);

impl Seats for Kept {
    fn seat(&self, queue: &str) -> Option<Seat> {
        let mut seats = self.0.lock();
        let place = seats.iter().position(|seat| seat.takes(queue))?;
        Some(seats.swap_remove(place))
    }
}

impl World {
    /// Lets an owner fill slots of workers that are connected to it, or none. What they have asked for already is not
    /// counted, so some of the slots turn out to be taken.
    pub fn keep_seats(&mut self, of: u64) {
        let most = self.rng.usize(0..4);
        let mut seats = Vec::new();
        for worker in &self.workers {
            if let Some(session) = worker.session_of(of) {
                let kept = worker.free().min(most);
                seats.extend((0..kept).map(|_| Seat::new(session.clone(), || ())));
            }
        }
        if let Some(owner) = self.owner(of) {
            *owner.seats.0.lock() = seats;
        }
    }

    /// A lease comes to the worker whose slot was kept. The worker may have died or lost its session meanwhile, and
    /// nobody knows that yet or everybody does.
    pub fn hand_in(&mut self, number: u64, seat: Seat, lease: Granted) {
        let (session, generation) = (seat.session().session.clone(), seat.session().generation);
        let holds = |worker: &crate::workers::Worker| {
            let current = worker.session_of(number);
            current.is_some_and(|current| current.session == session && current.generation == generation)
        };
        let worker = self.workers.iter().position(holds);
        let (epoch, current) = (self.owner(number).map_or(0, |owner| owner.epoch), self.newest_epoch);
        let open = self.owner(number).is_some_and(|owner| {
            owner
                .sessions
                .touch(&crate::workers::heartbeats::process(), &session)
                .is_some()
        });
        if let Some(worker) = worker.filter(|_| open) {
            self.counts.seated += 1;
            seat.fill();
            let connection = self.workers[worker].connection();
            return self.leased(worker, connection, vec![lease], epoch);
        }
        self.counts.unheard += 1;
        self.checker.granted(&lease, epoch, epoch == current);
        if let Some(owner) = self.owner(number) {
            owner.core.unheard(&lease.token);
        }
    }
}

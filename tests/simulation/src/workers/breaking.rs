//! Workers that lose their stream, pause, vanish and come back.

use super::*;

impl World {
    /// The worker's stream breaks. The server ends its session at once or, where sessions go on, waits for the worker to
    /// come back; what was under way to it is lost all the same.
    pub(super) fn break_stream(&mut self, number: usize) {
        let Some((session, of)) = self.workers[number].session.take() else {
            return;
        };
        self.workers[number].connection += 1;
        self.counts.streams_broken += 1;
        if self.lasting && !self.workers[number].dead && self.rng.bool() {
            return;
        }
        let closed = self.owner(of).and_then(|owner| owner.sessions.close(&session.session));
        if let Some(closing) = closed {
            let closed = Message::SessionClosed {
                session: closing.session,
                generation: closing.generation,
                reason: "the worker's stream broke".to_owned(),
            };
            self.send(of, closed, None);
        }
    }

    /// The replica at which a session was before comes back after a while, having been frozen or cut off, and says that
    /// the session is over.
    pub(super) fn may_be_closed_late(&mut self, number: usize, session: SessionId, generation: u64) {
        if self.faulty(3) {
            let wait = self.rng.i64(SECOND / 10..15 * SECOND);
            let life = self.workers[number].life;
            self.after(wait, Happening::ClosedLate(number, life, session, generation - 1));
        }
    }

    /// An old word that a session is over changes nothing: what its worker was told to go on with just before, it is told
    /// to go on with just after.
    pub fn closed_late(&mut self, number: usize, life: u64, session: SessionId, generation: u64) {
        let worker = &self.workers[number];
        let Some((current, of)) = worker.session.clone() else {
            return;
        };
        if worker.life != life || current.session != session {
            return;
        }
        let tokens: Vec<LeaseToken> = worker.running.keys().cloned().collect();
        let Some(before) = self.asked(of, &current, &tokens) else {
            return;
        };
        let now = self.now();
        if let Some(owner) = self.owner(of) {
            let reason = "the worker's stream broke".to_owned();
            let closed = Message::SessionClosed {
                session,
                generation,
                reason,
            };
            owner.core.handle(closed, now);
        }
        let after = self.asked(of, &current, &tokens).unwrap_or_default();
        self.counts.closed_late += 1;
        self.checker.require(before == after, "I13 old words", || {
            format!("worker {number} was told {before:?}, and after an old word that it is gone {after:?}")
        });
        self.pump(of);
    }

    /// What a worker is told about its leases at once; nothing when nobody is there to ask.
    fn asked(&mut self, of: u64, session: &SessionRef, tokens: &[LeaseToken]) -> Option<Vec<Verdict>> {
        let now = self.now();
        let owner = self
            .owner(of)
            .filter(|owner| !owner.loading && owner.paused_until <= now.steady)?;
        let (reply, mut verdicts) = oneshot::channel();
        let heartbeat = Message::Heartbeat {
            session: session.session.clone(),
            generation: session.generation,
            tokens: tokens.to_vec(),
            reply,
        };
        owner.core.handle(heartbeat, now);
        verdicts.try_recv().ok()
    }

    pub fn fault_of_a_worker(&mut self) {
        let number = self.rng.usize(0..self.workers.len());
        match self.rng.u32(0..3) {
            0 => self.break_stream(number),
            1 => {
                self.counts.workers_paused += 1;
                let until = self.steady + self.rng.i64(SECOND..40 * SECOND);
                self.trace(|| format!("worker {number} is stopped"));
                self.workers[number].paused_until = until;
            }
            _ => {
                self.counts.workers_vanished += 1;
                self.trace(|| format!("worker {number} vanishes"));
                // Sometimes the connection tells of it at once, sometimes only silence does.
                if self.rng.bool() {
                    self.break_stream(number);
                }
                let worker = &mut self.workers[number];
                worker.dead = true;
                worker.life += 1;
                worker.connection += 1;
                worker.running.clear();
                // Its successor is another worker.
                worker.given_up.clear();
                worker.known_as = None;
                worker.session = None;
                worker.asking = false;
                let wait = self.rng.i64(SECOND / 10..20 * SECOND);
                self.after(wait, Happening::Revive(number));
            }
        }
    }

    pub fn revive_worker(&mut self, number: usize) {
        let steady = self.steady;
        let worker = &mut self.workers[number];
        if worker.paused_until > steady {
            worker.paused_until = steady;
        }
        if worker.dead {
            worker.dead = false;
            let life = worker.life;
            self.after(0, Happening::Worker(number));
            self.after(0, Happening::Heartbeat(number, life));
        }
    }
}

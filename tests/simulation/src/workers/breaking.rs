//! Workers that lose their stream, pause, vanish and come back.

use super::*;

impl World {
    /// The worker's stream breaks: the server ends its session at once, and the worker connects again.
    pub(super) fn break_stream(&mut self, number: usize) {
        let Some((session, of)) = self.workers[number].session.take() else {
            return;
        };
        self.counts.streams_broken += 1;
        let open = self
            .owner(of)
            .is_some_and(|owner| owner.sessions.close(&session.session));
        if open {
            let reason = "the worker's stream broke".to_owned();
            let session = session.session.to_string();
            self.send(of, Message::SessionClosed { session, reason }, None);
        }
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
                worker.running.clear();
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

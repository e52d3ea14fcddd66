//! What a worker and its owner tell each other about attempts that run.

use nexus_execution_sessions::speaker::Speaker;

use super::*;

/// Every worker here is the process's own.
pub fn process() -> Speaker {
    Speaker::of_process(nexus_api::Namespace::default())
}

impl World {
    pub fn heartbeat(&mut self, number: usize, life: u64) {
        if life != self.workers[number].life || !self.is_up(number, Happening::Heartbeat(number, life)) {
            return;
        }
        self.after(HEARTBEAT, Happening::Heartbeat(number, life));
        self.drop_what_was_not_extended(number);
        self.report(number);
        let worker = &self.workers[number];
        let Some((session, of)) = worker.session.clone() else {
            return;
        };
        let tokens: Vec<LeaseToken> = worker.running.keys().cloned().collect();
        let Some(owner) = self.owners.iter().find(|owner| owner.number == of) else {
            self.workers[number].session = None;
            return;
        };
        if owner.paused_until > self.steady {
            return;
        }
        if owner.sessions.touch(&process(), &session.session).is_none() {
            self.workers[number].session = None;
            return;
        }
        let (reply, answer) = oneshot::channel();
        let message = Message::Heartbeat {
            session: session.session.clone(),
            generation: session.generation,
            tokens: tokens.clone(),
            reply,
        };
        self.send(of, message, Some(Waiting::Heartbeat(number, life, tokens, answer)));
    }

    pub(super) fn drop_what_was_not_extended(&mut self, number: usize) {
        let steady = self.steady;
        let worker = &mut self.workers[number];
        if !worker.careless {
            let late = |running: &Running| running.outcome.is_none() && steady - running.extended_at >= GIVE_UP;
            let given_up = worker.running.iter().filter(|(_, running)| late(running));
            worker.given_up.extend(given_up.map(|(token, _)| token.clone()));
            worker.running.retain(|_, running| !late(running));
        }
    }

    pub fn heartbeat_answered(
        &mut self,
        number: usize,
        life: u64,
        tokens: Vec<LeaseToken>,
        answer: Option<Vec<Verdict>>,
    ) {
        let Some(verdicts) = answer else { return };
        if self.workers[number].life != life || self.faulty(20) {
            return;
        }
        for (token, verdict) in tokens.into_iter().zip(verdicts) {
            self.obey(number, &token, verdict);
        }
    }

    /// A word that came over the worker's stream.
    pub fn directed(&mut self, session: &SessionId, token: &LeaseToken, verdict: Verdict) {
        let holds = |worker: &Worker| worker.session.as_ref().is_some_and(|(own, _)| own.session == *session);
        if let Some(number) = self.workers.iter().position(holds) {
            self.obey(number, token, verdict);
        }
    }

    pub(super) fn obey(&mut self, number: usize, token: &LeaseToken, verdict: Verdict) {
        let steady = self.steady;
        let worker = &mut self.workers[number];
        let careless = worker.careless;
        let Some(running) = worker.running.get_mut(token) else {
            return;
        };
        match verdict {
            Verdict::Continue(_) => running.extended_at = steady,
            Verdict::Cancel(_) => {
                running.cancelled = true;
                let wait = self.rng.i64(100..3 * SECOND);
                self.after(wait, Happening::Ended(number, token.to_owned()));
            }
            // A careless worker goes on, and reports what nobody wants any more.
            Verdict::Lost if careless && running.outcome.is_none() => {}
            Verdict::Lost => {
                worker.given_up.insert(token.to_owned());
                worker.running.remove(token);
            }
            Verdict::Unknown => {}
        }
    }
}

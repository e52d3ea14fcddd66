//! Effects, released after their commit: dispatches, timers, cancels, the next slice, and the end.

use nexus_engine::{Command, Effect, TaskKey, TaskState, Timer};
use nexus_execution_store::{ExecutionId, LeaseToken, SessionId};
use nexus_streams::Entry;

use super::Core;
use crate::base::Now;
use crate::commits::Release;
use crate::live::Live;
use crate::messages::Verdict;
use crate::outputs::{Output, entry};

impl Core {
    /// Brings about everything that waited for a commit.
    pub(super) fn release(&mut self, releases: Vec<Release>) {
        let mut entries = Vec::new();
        for release in releases {
            match release {
                Release::Reply(_, reply) => reply(),
                // Its session may have been closed while it was being stored, and then the lease is over already.
                Release::Lease(seat, lease) if self.leases.get_mut(&lease.token).is_some() => {
                    self.outputs.push(Output::Lease { seat, lease });
                }
                Release::Lease(..) => {}
                Release::Effects(id, effects, decided) => {
                    for effect in effects {
                        self.bring_about(id, effect, decided, &mut entries);
                    }
                }
            }
        }
        self.publish(entries);
    }

    fn bring_about(&mut self, id: ExecutionId, effect: Effect, decided: Now, entries: &mut Vec<Entry>) {
        // What the engine dates by the wall clock is waited for on the steady one, whatever the wall clock did since.
        let due = |at: i64| decided.steady.saturating_add(at.saturating_sub(decided.wall));
        match effect {
            Effect::Dispatch {
                task,
                attempt,
                queue,
                priority,
            } => entries.push(entry(id, task, attempt, queue, priority)),
            // Every attempt has one of these: it stands with its lease, or there would be more of them than of anything.
            Effect::SetTimer {
                timer: Timer::Attempt { task, attempt },
                at,
            } => {
                let due = due(at);
                let token = self.leases.token_of(id, task).cloned();
                if let Some(lease) = token.and_then(|token| self.leases.get_mut(&token))
                    && lease.subject.attempt == attempt
                {
                    lease.overdue_at = due;
                }
            }
            Effect::SetTimer { timer, at } => {
                if let Some(live) = self.executions.get_mut(id) {
                    live.timers.push(self.timers.set(due(at), id, timer));
                }
            }
            Effect::Continue => {
                self.stats.slices += 1;
                if let Ok(effects) = self.decide(id, Command::Continue, true) {
                    self.release_later(id, effects);
                }
            }
            Effect::CancelAttempt { task, attempt, reason } => self.stop(id, task, attempt, reason),
            Effect::Close => {
                if let Some(live) = self.executions.get_mut(id) {
                    live.closed = true;
                }
                self.forget_if_done(id);
            }
        }
    }

    /// Tells the worker that holds an attempt to stop it.
    fn stop(&mut self, id: ExecutionId, task: TaskKey, attempt: u32, reason: String) {
        let Some(token) = self.leases.token_of(id, task).cloned() else {
            return;
        };
        let runs = self.executions.get(id).is_some_and(|live| {
            let current = &live.execution.tasks()[task];
            current.state == TaskState::Running && current.leases == attempt
        });
        if runs {
            if let Some(lease) = self.leases.get_mut(&token) {
                lease.cancelled = Some(reason.clone());
                let session = lease.session.clone();
                self.direct(&session, &token, Verdict::Cancel(reason));
            }
        } else if let Some(lease) = self.leases.remove(&token) {
            // The engine is done with the attempt: whatever its worker still says is stale.
            self.direct(&lease.session, &token, Verdict::Lost);
        }
    }

    fn direct(&mut self, session: &SessionId, token: &LeaseToken, verdict: Verdict) {
        self.outputs.push(Output::Direct {
            session: session.clone(),
            token: token.clone(),
            verdict,
        });
    }

    /// Lets a terminal execution go once the store has all of it.
    pub(super) fn forget_if_done(&mut self, id: ExecutionId) {
        let done = |live: &Live| live.closed && live.events.is_empty();
        if self.executions.get(id).is_some_and(done) {
            self.forget(id);
        }
    }

    /// Lets an execution go, with its timers.
    pub(super) fn forget(&mut self, id: ExecutionId) {
        if let Some(live) = self.executions.remove(id) {
            self.timers.forget(&live.timers);
        }
    }

    /// Hands entries to the publisher.
    pub(super) fn publish(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.outputs.push(Output::Publish(entries));
        }
    }
}

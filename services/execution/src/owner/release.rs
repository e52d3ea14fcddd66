//! Effects, released after their commit: dispatches, timers, cancels, and the end.

use nexus_engine::{Effect, TaskState, Timer};
use nexus_spec::model::Priority;
use nexus_streams::{Entry, Lane, Pointer};

use super::actor::Actor;
use super::commit::Release;
use super::messages::Verdict;
use crate::ids::ExecutionId;

impl Actor {
    /// Brings about everything that waited for a commit.
    pub(super) fn release(&mut self, releases: Vec<Release>) {
        let mut entries = Vec::new();
        for release in releases {
            match release {
                Release::Reply(reply) => reply(),
                Release::Effects(id, effects) => {
                    for effect in effects {
                        self.bring_about(id, effect, &mut entries);
                    }
                }
            }
        }
        self.publish(entries);
    }

    fn bring_about(&mut self, id: ExecutionId, effect: Effect, entries: &mut Vec<Entry>) {
        match effect {
            Effect::Dispatch {
                task,
                attempt,
                queue,
                priority,
            } => {
                let pointer = Pointer {
                    execution: id.bytes(),
                    task,
                    attempt,
                };
                entries.push(Entry {
                    queue,
                    lane: lane(priority),
                    pointer,
                });
            }
            // Every attempt has one of these: it stands with its lease, or there would be more of them than of anything.
            Effect::SetTimer {
                timer: Timer::Attempt { task, attempt },
                at,
            } => {
                let token = self.leases.token_of(id, task).map(str::to_owned);
                if let Some(lease) = token.and_then(|token| self.leases.get_mut(&token))
                    && lease.subject.attempt == attempt
                {
                    lease.overdue_at = at;
                }
            }
            Effect::SetTimer { timer, at } => {
                if let Some(live) = self.executions.get_mut(&id) {
                    live.timers.push(self.timers.set(at, id, timer));
                }
            }
            Effect::CancelAttempt { task, attempt, reason } => self.stop(id, task, attempt, reason),
            Effect::Close => {
                if let Some(live) = self.executions.get_mut(&id) {
                    live.closed = true;
                }
                self.forget_if_done(id);
            }
        }
    }

    /// Tells the worker that holds an attempt to stop it.
    fn stop(&mut self, id: ExecutionId, task: u32, attempt: u32, reason: String) {
        let Some(token) = self.leases.token_of(id, task).map(str::to_owned) else {
            return;
        };
        let runs = self.executions.get(&id).is_some_and(|live| {
            let current = &live.execution.tasks[task as usize];
            current.state == TaskState::Running && current.leases == attempt
        });
        if runs {
            if let Some(lease) = self.leases.get_mut(&token) {
                lease.cancelled = Some(reason.clone());
                self.dependencies
                    .sessions
                    .direct(&lease.session, &token, &Verdict::Cancel(reason));
            }
        } else if let Some(lease) = self.leases.remove(&token) {
            // The engine is done with the attempt: whatever its worker still says is stale.
            self.dependencies
                .sessions
                .direct(&lease.session, &token, &Verdict::Lost);
        }
    }

    /// Lets a terminal execution go once the store has all of it.
    pub(super) fn forget_if_done(&mut self, id: ExecutionId) {
        if self
            .executions
            .get(&id)
            .is_some_and(|live| live.closed && live.events.is_empty())
            && let Some(live) = self.executions.remove(&id)
        {
            self.timers.forget(&live.timers);
        }
    }

    /// Hands entries to the publisher. When it cannot keep up they are left to the reconciler.
    pub(super) fn publish(&self, entries: Vec<Entry>) {
        if !entries.is_empty() && self.publisher.try_send(entries).is_err() {
            tracing::warn!("the dispatcher is behind; the reconciler will offer the tasks again");
        }
    }
}

pub(super) fn lane(priority: Priority) -> Lane {
    match priority {
        Priority::High => Lane::High,
        Priority::Normal => Lane::Normal,
        Priority::Low => Lane::Low,
    }
}

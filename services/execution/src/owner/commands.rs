//! What the loop does with each command: lets the engine decide, and says when whoever asked may be told.

use std::sync::Arc;

use nexus_engine::{Command, Effect, Execution, Outcome, Plan};
use nexus_spec::model::Delivery;
use nexus_streams::Pointer;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::actor::Actor;
use super::leases::{LEASE, Lease};
use super::live::Live;
use super::messages::{Granted, NewExecution, OwnerError, Reported, SessionRef, Started, TokenSubject, Verdict};
use crate::ids::ExecutionId;
use crate::metrics;

/// Executions that may be live at a time; one more is refused with RESOURCE_EXHAUSTED.
const MAX_LIVE: usize = 200_000;
/// Idempotency keys are kept in memory for this long: longer than any call may last.
const KEY_MEMORY: std::time::Duration = std::time::Duration::from_secs(120);

impl Actor {
    pub(super) fn begin(&mut self, new: NewExecution, reply: oneshot::Sender<Result<Started, OwnerError>>) {
        if let Some((id, fingerprint)) = new.request.as_ref().and_then(|request| self.starting.get(&request.key)) {
            let same = new
                .request
                .as_ref()
                .is_some_and(|request| request.fingerprint == *fingerprint);
            let id = *id;
            let answer = if same {
                Ok(Started { id, existing: true })
            } else {
                Err(OwnerError::RequestIdReused)
            };
            // Also this answer waits for the commit: until then the first start does not exist.
            return self.pending.reply(move || drop(reply.send(answer)));
        }
        if self.executions.len() >= MAX_LIVE {
            return drop(reply.send(Err(OwnerError::Overloaded)));
        }
        let id = new.id;
        let now = self.now();
        if let Some(request) = &new.request {
            self.forget_old_keys();
            self.started.push_back((Instant::now(), request.key.clone()));
            self.starting
                .insert(request.key.clone(), (id, request.fingerprint.clone()));
        }
        let execution = Execution::new(id.to_string(), new.plan, new.params, id.seed(), now);
        let live = Live {
            id,
            execution,
            labels: new.labels,
            traceparent: new.traceparent,
            written: 0,
            events: Vec::new(),
            dirty: std::collections::BTreeSet::new(),
            request: new.request,
            timers: Vec::new(),
            closed: false,
        };
        self.executions.insert(id, live);
        let effects = self.decide(id, Command::Start, true).unwrap_or_default();
        self.pending.release_effects(id, effects);
        self.pending
            .reply(move || drop(reply.send(Ok(Started { id, existing: false }))));
        metrics::started();
    }

    /// Forgets keys that the store has had for longer than any call lasts.
    fn forget_old_keys(&mut self) {
        while let Some((at, key)) = self.started.front() {
            let id = self.starting.get(key).map(|(id, _)| *id);
            let stored = id
                .and_then(|id| self.executions.get(&id))
                .is_none_or(|live| live.written > 0);
            if at.elapsed() < KEY_MEMORY || !stored {
                return;
            }
            self.starting.remove(key);
            self.started.pop_front();
        }
    }

    pub(super) fn cancel(&mut self, id: ExecutionId, reason: String, reply: oneshot::Sender<Result<(), OwnerError>>) {
        match self.decide(id, Command::Cancel { reason }, true) {
            Ok(effects) => {
                self.pending.release_effects(id, effects);
                self.pending.reply(move || drop(reply.send(Ok(()))));
            }
            Err(_) => drop(reply.send(Err(OwnerError::NotLive(id)))),
        }
    }

    pub(super) fn grant(&mut self, pointers: &[Pointer], session: &SessionRef, reply: oneshot::Sender<Vec<Granted>>) {
        let mut granted = Vec::new();
        let mut durable = false;
        for pointer in pointers {
            let id = ExecutionId::from_bytes(pointer.execution);
            if let Some(lease) = self.lease(id, pointer.task, pointer.attempt, session) {
                durable |= lease.plan.tasks[lease.task as usize].delivery == Delivery::AtMostOnce;
                granted.push(lease);
            }
        }
        if durable {
            // `at_most_once` means: that it was given out is stored before it is given out.
            self.pending.reply(move || drop(reply.send(granted)));
        } else {
            drop(reply.send(granted));
        }
    }

    /// Leases one attempt, if it is still the current one.
    fn lease(&mut self, id: ExecutionId, task: u32, attempt: u32, session: &SessionRef) -> Option<Granted> {
        let command = Command::Grant {
            task,
            attempt,
            worker: Arc::clone(&session.worker),
        };
        let effects = self.decide(id, command, false).ok()?;
        self.pending.release_lazily(id, effects);
        let token = self.dependencies.ids.secret();
        let expires_at = self.now().saturating_add(LEASE);
        let subject = TokenSubject {
            execution: id,
            task,
            attempt,
        };
        let lease = Lease {
            subject,
            session: session.session.clone(),
            expires_at,
            overdue_at: i64::MAX,
            cancelled: None,
        };
        self.leases.insert(token.clone(), lease);
        let live = self.executions.get(&id)?;
        let plan: Arc<Plan> = Arc::clone(&live.execution.plan);
        let references = &plan.tasks[task as usize].input.references().tasks;
        let scope = live.execution.scope(references, &token);
        let user_attempt = live.execution.tasks[task as usize].user_attempts();
        let traceparent = live.traceparent.clone();
        metrics::leased();
        Some(Granted {
            token,
            execution: id,
            plan,
            task,
            attempt,
            user_attempt,
            scope,
            traceparent,
            expires_at,
        })
    }

    pub(super) fn report(
        &mut self,
        reports: Vec<(String, Outcome)>,
        session: &SessionRef,
        free_slots: u32,
        reply: oneshot::Sender<Reported>,
    ) {
        let mut reported = Reported::default();
        let mut free = free_slots;
        for (token, outcome) in reports {
            let accepted = self.record_report(&token, outcome, session, &mut free, &mut reported.granted);
            metrics::reported(accepted);
            reported.accepted.push(accepted);
        }
        if reported.accepted.contains(&true) {
            self.pending.reply(move || drop(reply.send(reported)));
        } else {
            drop(reply.send(reported));
        }
    }

    /// Records one report. Tasks that it frees go to the reporting worker first, as far as it has room.
    fn record_report(
        &mut self,
        token: &str,
        outcome: Outcome,
        session: &SessionRef,
        free: &mut u32,
        granted: &mut Vec<Granted>,
    ) -> bool {
        let Some(subject) = self
            .leases
            .of_session(token, &session.session)
            .map(|lease| lease.subject)
        else {
            return false;
        };
        self.leases.remove(token);
        let id = subject.execution;
        // A task that the worker gives back because it is ending is not offered to it again.
        let keeps_working = !matches!(outcome, Outcome::Released { .. });
        let command = Command::Report {
            task: subject.task,
            attempt: subject.attempt,
            outcome,
        };
        let Ok(effects) = self.decide(id, command, true) else {
            return false;
        };
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Dispatch {
                    task,
                    attempt,
                    ref queue,
                    ..
                } if keeps_working && *free > 0 && session.queues.contains(queue) => {
                    match self.lease(id, task, attempt, session) {
                        Some(lease) => {
                            *free -= 1;
                            granted.push(lease);
                        }
                        None => rest.push(effect),
                    }
                }
                other => rest.push(other),
            }
        }
        self.pending.release_effects(id, rest);
        true
    }

    pub(super) fn extend(&mut self, token: &str, session: &str, expires_at: i64) -> Verdict {
        match self.leases.of_session(token, session) {
            None => Verdict::Lost,
            Some(lease) => {
                lease.expires_at = expires_at;
                lease
                    .cancelled
                    .clone()
                    .map_or(Verdict::Continue(expires_at), Verdict::Cancel)
            }
        }
    }

    /// A lease ended without a report.
    pub(super) fn lose(&mut self, token: &str, reason: &str) {
        let Some(lease) = self.leases.remove(token) else { return };
        let TokenSubject {
            execution: id,
            task,
            attempt,
        } = lease.subject;
        let command = Command::Lose {
            task,
            attempt,
            reason: reason.to_owned(),
            counted: true,
        };
        if let Ok(effects) = self.decide(id, command, true) {
            tracing::warn!(execution.id = %id, task, attempt, reason, "an attempt was lost");
            metrics::lost();
            self.pending.release_effects(id, effects);
        }
    }

    /// What some leases are about. Answered once the leases are stored: what a task wrote must not be kept under the
    /// number of an attempt that a crash would make forgotten, and so be used again.
    pub(super) fn subjects(
        &mut self,
        session: &str,
        tokens: &[String],
        reply: oneshot::Sender<Vec<Option<TokenSubject>>>,
    ) {
        let subject = |token: &String| self.leases.of_session(token, session).map(|lease| lease.subject);
        let subjects: Vec<Option<TokenSubject>> = tokens.iter().map(subject).collect();
        if subjects
            .iter()
            .flatten()
            .any(|subject| self.is_unstored(subject.execution))
        {
            self.pending.reply(move || drop(reply.send(subjects)));
        } else {
            drop(reply.send(subjects));
        }
    }
}

//! What the owner does with each message: lets the engine decide, and says when whoever asked may be told.

use std::sync::Arc;
use std::time::Duration;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Effect, Execution, Failure, FailureKind, Outcome, Plan};
use nexus_spec::model::Delivery;
use nexus_streams::Pointer;
use tokio::sync::oneshot;

use super::admission::Size;
use super::core::{Core, Now};
use super::leases::{LEASE, Lease};
use super::live::Live;
use super::messages::{
    Acceptance, Granted, Grants, NewExecution, OwnerError, Reported, SessionRef, Started, Subject, TokenSubject,
    Verdict,
};
use super::shards::shard_of_token;
use crate::ids::ExecutionId;
use crate::metrics;

/// Bytes of one attempt's log that are stored at most. Workers cut at the same size; this holds for those that do not.
pub(crate) const MAX_LOG: u64 = 10 << 20;

impl Core {
    pub(super) fn begin(&mut self, new: NewExecution, reply: oneshot::Sender<Result<Started, OwnerError>>) {
        let shard = new.id.shard();
        // What was looked up in another stay may have changed since.
        if self.stay(shard) != new.stay || !self.serves(shard) {
            return drop(reply.send(Err(OwnerError::NotOwner(shard))));
        }
        let key = new.request.as_ref().map(|request| request.key.as_str());
        if let Some((id, fingerprint)) = key.and_then(|key| self.keys.get(key)) {
            let same = new
                .request
                .as_ref()
                .is_some_and(|request| request.fingerprint == fingerprint);
            let answer = if same {
                Ok(Started { id, existing: true })
            } else {
                Err(OwnerError::RequestIdReused)
            };
            // Also this answer waits for the commit: until then the first start does not exist.
            return self.reply_later(id, reply, answer);
        }
        let size = Size {
            tasks: new.plan.tasks.len() as u64,
            bytes: new.params_text.len() as u64,
        };
        if let Err(refused) = self.admit(size) {
            return drop(reply.send(Err(refused)));
        }
        let id = new.id;
        if let Some(request) = &new.request {
            let executions = &self.executions;
            let stored = |id| executions.get(&id).is_none_or(|live: &Live| live.written > 0);
            self.keys.forget_old(self.now.steady, stored);
            if self.keys.is_full() {
                let what = "more starts with a request id arrive than can be remembered";
                let delay = Duration::from_secs(10);
                return drop(reply.send(Err(OwnerError::Overloaded { what, delay })));
            }
            self.keys.remember(request, id, self.now.steady);
        }
        let mut execution = Execution::new(id.to_string(), new.plan, new.params, id.seed(), self.now.wall);
        execution.slice = self.limits.slice;
        let mut live = Live::new(id, execution, new.labels, new.traceparent);
        live.params = Some(new.params_text);
        live.request = new.request;
        live.bytes = size.bytes;
        self.executions.insert(id, live);
        self.load.add(size);
        let effects = self.decide(id, Command::Start, true).unwrap_or_default();
        self.release_later(id, effects);
        let started = Started { id, existing: false };
        if planted(Bug::EarlyAck) {
            drop(reply.send(Ok(started)));
        } else {
            self.reply_later(id, reply, Ok(started));
        }
        metrics::started();
    }

    /// Answers once everything that was decided so far is stored.
    fn reply_later<T: Send + 'static>(&mut self, id: ExecutionId, reply: oneshot::Sender<T>, answer: T) {
        // A caller that has gone needs no answer.
        self.pending
            .reply(id, move || drop(reply.send(answer)), self.now.steady);
    }

    pub(super) fn cancel(&mut self, id: ExecutionId, reason: String, reply: oneshot::Sender<Result<(), OwnerError>>) {
        if !self.serves(id.shard()) {
            return drop(reply.send(Err(OwnerError::NotOwner(id.shard()))));
        }
        match self.decide(id, Command::Cancel { reason }, true) {
            Ok(effects) => {
                self.release_later(id, effects);
                self.reply_later(id, reply, Ok(()));
            }
            Err(_) => drop(reply.send(Err(OwnerError::NotLive(id)))),
        }
    }

    pub(super) fn grant(&mut self, pointers: &[Pointer], session: &SessionRef, reply: oneshot::Sender<Grants>) {
        let mut grants = Grants::default();
        let mut durable = None;
        for pointer in pointers {
            let id = ExecutionId::from_bytes(pointer.execution);
            if !self.serves(id.shard()) {
                grants.strangers.push(*pointer);
                continue;
            }
            // A late copy of a pointer may name an attempt that has been decided and is not stored yet. It gets its own
            // pointer after the commit; until then nobody may begin it.
            let stored = self.executions.get(&id).is_none_or(|live| live.is_stored(pointer.task));
            if !stored && !planted(Bug::EffectBeforeCommit) {
                continue;
            }
            if let Some(lease) = self.lease(id, pointer.task, pointer.attempt, session) {
                let once = lease.plan.tasks[lease.task as usize].delivery == Delivery::AtMostOnce;
                if once || (self.lasting_leases && !planted(Bug::LeaseNotStored)) {
                    durable = Some(id);
                }
                grants.granted.push(lease);
            }
        }
        match durable {
            // `at_most_once` means: that it was given out is stored before it is given out. So it must be for whatever
            // outlives its owner: a new one would not know of the lease and give the same attempt to somebody else.
            Some(id) if !planted(Bug::AtMostOnceNotStored) => self.reply_later(id, reply, grants),
            _ => drop(reply.send(grants)),
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
        self.pending.release_lazily(id, effects, self.now);
        let token = self.ids.token(id.shard());
        let expires_at = self.now.wall.saturating_add(LEASE);
        let subject = TokenSubject {
            execution: id,
            task,
            attempt,
        };
        let lease = Lease {
            subject,
            session: Arc::clone(&session.session),
            expires_at: self.now.steady.saturating_add(LEASE),
            overdue_at: i64::MAX,
            logged: 0,
            cancelled: None,
        };
        self.leases.insert(Arc::clone(&token), lease);
        let live = self.executions.get(&id)?;
        let plan: Arc<Plan> = Arc::clone(&live.execution.plan);
        let references = &plan.tasks[task as usize].input.references().tasks;
        let scope = live.execution.scope(references, &token);
        let user_attempt = live.execution.tasks[task as usize].user_attempts();
        let traceparent = live.traceparent.clone();
        metrics::leased();
        Some(Granted {
            token: token.to_string(),
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
        let mut about = None;
        for (token, outcome) in reports {
            if self.is_foreign(&token) {
                reported.accepted.push(Acceptance::NotOwner);
                continue;
            }
            let recorded = self.record_report(&token, outcome, session, &mut free, &mut reported.granted);
            metrics::reported(recorded.is_some());
            about = about.or(recorded);
            reported.accepted.push(match recorded {
                Some(_) => Acceptance::Recorded,
                None => Acceptance::Stale,
            });
        }
        match about {
            Some(id) if !planted(Bug::EarlyReportAck) => self.reply_later(id, reply, reported),
            _ => drop(reply.send(reported)),
        }
    }

    /// Whether a lease belongs to a shard of another owner. What is no token is nobody's, and so stale here.
    fn is_foreign(&self, token: &str) -> bool {
        shard_of_token(token).is_some_and(|shard| !self.serves(shard))
    }

    /// Records one report and tells what it was about; nothing when its lease is over. Tasks that it frees go to the
    /// reporting worker first, as far as it has room.
    fn record_report(
        &mut self,
        token: &str,
        outcome: Outcome,
        session: &SessionRef,
        free: &mut u32,
        granted: &mut Vec<Granted>,
    ) -> Option<ExecutionId> {
        let subject = self.subject_of(token, session)?;
        self.leases.remove(token);
        let id = subject.execution;
        let outcome = self.bounded(id, outcome);
        // A task that the worker gives back because it is ending is not offered to it again.
        let keeps_working = !matches!(outcome, Outcome::Released { .. });
        let command = Command::Report {
            task: subject.task,
            attempt: subject.attempt,
            outcome,
        };
        let effects = self.decide(id, command, true).ok()?;
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
        self.release_later(id, rest);
        Some(id)
    }

    fn subject_of(&mut self, token: &str, session: &SessionRef) -> Option<TokenSubject> {
        let subject = self
            .leases
            .of_session(token, &session.session)
            .map(|lease| lease.subject);
        if subject.is_none() && planted(Bug::NoTokenCheck) {
            let ended = self.leases.ended(token)?;
            let live = self.executions.get(&ended.execution)?;
            let attempt = live.execution.tasks[ended.task as usize].leases;
            return Some(TokenSubject { attempt, ..ended });
        }
        subject
    }

    /// An output for which the execution has no room fails its task: it has ended, and another attempt would give as
    /// much.
    fn bounded(&self, id: ExecutionId, outcome: Outcome) -> Outcome {
        let held = self.executions.get(&id).map_or(0, |live| live.bytes);
        let most = self.limits.bytes_of_one;
        match outcome {
            Outcome::Succeeded(output) if held.saturating_add(output.text().len() as u64) > most => {
                let message = format!(
                    "with this output the params and outputs of the execution exceed {most} bytes; store large data \
                     elsewhere and return where it is"
                );
                let failure = Failure::new(FailureKind::User, "ExecutionTooLarge", message);
                Outcome::Failed(Failure {
                    non_retryable: true,
                    ..failure
                })
            }
            other => other,
        }
    }

    pub(super) fn extend(&mut self, token: &str, session: &str) -> Verdict {
        let Now { wall, steady } = self.now;
        if self.is_foreign(token) {
            return Verdict::Unknown;
        }
        let trusted = self.trusted;
        match self.leases.of_session(token, session) {
            None => Verdict::Lost,
            Some(lease) => {
                lease.expires_at = steady.saturating_add(LEASE);
                if !trusted {
                    return Verdict::Unknown;
                }
                let go_on = Verdict::Continue(wall.saturating_add(LEASE));
                lease.cancelled.clone().map_or(go_on, Verdict::Cancel)
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
            self.release_later(id, effects);
        }
    }

    /// What some leases are about, as far as their logs have room for so many more bytes. Answered once the leases are
    /// stored: what a task wrote must not be kept under the number of an attempt that a crash would make forgotten, and
    /// so be used again.
    pub(super) fn subjects(&mut self, session: &str, tokens: &[(String, u64)], reply: oneshot::Sender<Vec<Subject>>) {
        let subject = |(token, bytes): &(String, u64)| {
            if self.is_foreign(token) {
                return Subject::NotOwner;
            }
            let Some(lease) = self.leases.of_session(token, session) else {
                return Subject::Over;
            };
            lease.logged = lease.logged.saturating_add(*bytes);
            if lease.logged <= MAX_LOG {
                Subject::Current(lease.subject)
            } else {
                Subject::Over
            }
        };
        let subjects: Vec<Subject> = tokens.iter().map(subject).collect();
        let unstored = subjects.iter().find_map(|subject| match subject {
            Subject::Current(subject) if self.is_unstored(subject.execution) => Some(subject.execution),
            _ => None,
        });
        match unstored {
            Some(id) => self.reply_later(id, reply, subjects),
            None => drop(reply.send(subjects)),
        }
    }
}

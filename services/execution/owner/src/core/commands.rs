//! What the owner does with each message: lets the engine decide, and says when whoever asked may be told.

use std::sync::Arc;
use std::time::Duration;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Effect, Execution, Failure, FailureKind, Outcome};
use nexus_execution_store::{ExecutionId, LeaseToken, Note, SessionId};
use tokio::sync::oneshot;

use super::Core;
use crate::admission::Size;
use crate::live::Live;
use crate::messages::{
    Acceptance, Cacheable, Granted, NewExecution, OwnerError, Reported, SessionRef, Started, Subject, TokenSubject,
};
use crate::metrics;

/// Bytes of one attempt's log that are stored at most. Workers cut at the same size; this holds for those that do not.
pub const MAX_LOG: u64 = 10 << 20;

impl Core {
    pub(super) fn begin(&mut self, new: NewExecution, reply: oneshot::Sender<Result<Started, OwnerError>>) {
        let shard = new.id.shard();
        // What was looked up in another stay may have changed since.
        if self.stay(shard) != new.stay || !self.shards.serves(shard) {
            return drop(reply.send(Err(OwnerError::NotOwner(shard))));
        }
        let key = new.request.as_ref().map(|request| request.key.as_str());
        if let Some((id, fingerprint)) = key.and_then(|key| self.keys.get(key)) {
            let same = new
                .request
                .as_ref()
                .is_some_and(|request| request.fingerprint == fingerprint);
            let answer = if same {
                Ok(Started {
                    id,
                    existing: true,
                    begun: None,
                })
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
        let kept = new.kept.iter().map(|(_, output)| output.text().len() as u64);
        let whole = Size {
            bytes: size.bytes + kept.sum::<u64>(),
            ..size
        };
        if let Err(refused) = self.admit(whole) {
            return drop(reply.send(Err(refused)));
        }
        let id = new.id;
        if let Some(request) = &new.request {
            let executions = &self.executions;
            let stored = |id| executions.get(id).is_none_or(|live: &Live| live.written > 0);
            self.keys.forget_old(self.now.steady, stored);
            if self.keys.is_full() {
                let what = "more starts with a request id arrive than can be remembered";
                let delay = Duration::from_secs(10);
                return drop(reply.send(Err(OwnerError::Overloaded { what, delay })));
            }
            self.keys.remember(request, id, self.now.steady);
        }
        let execution = Execution::new(id.to_string(), new.plan, new.params, id.seed(), self.now.wall);
        let execution = execution.with_slice(self.limits.slice);
        let mut live = Live::new(id, execution, new.namespace, new.labels, new.traceparent);
        live.params = Some(new.params_text);
        live.request = new.request;
        live.notes.extend(new.note);
        live.bytes = size.bytes;
        self.executions.insert(live);
        let effects = self
            .decide(id, Command::Start { kept: new.kept }, true)
            .unwrap_or_default();
        let begun = self.executions.get(id).map(|live| Box::new(live.begun()));
        self.release_later(id, effects);
        let started = Started {
            id,
            existing: false,
            begun,
        };
        if planted(Bug::EarlyAck) {
            drop(reply.send(Ok(started)));
        } else {
            self.reply_later(id, reply, Ok(started));
        }
        metrics::started();
    }

    /// Answers once everything that was decided so far is stored.
    pub(super) fn reply_later<T: Send + 'static>(&mut self, id: ExecutionId, reply: oneshot::Sender<T>, answer: T) {
        // A caller that has gone needs no answer.
        self.commits
            .reply(id, move || drop(reply.send(answer)), self.now.steady);
    }

    pub(super) fn cancel(
        &mut self,
        id: ExecutionId,
        reason: String,
        note: Option<Note>,
        reply: oneshot::Sender<Result<(), OwnerError>>,
    ) {
        if !self.shards.serves(id.shard()) {
            return drop(reply.send(Err(OwnerError::NotOwner(id.shard()))));
        }
        if let Some(problem) = self.aside.reason(id) {
            let problem = format!("execution {id} cannot be cancelled at present: {problem}");
            return drop(reply.send(Err(OwnerError::Definitions(problem))));
        }
        let before = self.executions.get(id).map(|live| live.execution.sequence);
        match self.decide(id, Command::Cancel { reason }, true) {
            Ok(effects) => {
                // One that is being cancelled already is left as it is, and nobody is told anew.
                let live = self.executions.get_mut(id);
                if let Some(live) = live.filter(|live| Some(live.execution.sequence) != before) {
                    live.notes.extend(note);
                }
                self.release_later(id, effects);
                self.reply_later(id, reply, Ok(()));
            }
            Err(_) => drop(reply.send(Err(OwnerError::NotLive(id)))),
        }
    }

    pub(super) fn report(
        &mut self,
        reports: Vec<(LeaseToken, Outcome)>,
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
            let cacheable = self.cacheable(&token, &outcome, session);
            let recorded = self.record_report(&token, outcome, session, &mut free, &mut reported.granted);
            if recorded.is_some() {
                reported.cacheable.extend(cacheable);
            }
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

    /// Whether a lease belongs to a shard of another owner, or to an execution that is not in memory. What is no token is nobody's, and so stale here.
    pub(super) fn is_foreign(&self, token: &LeaseToken) -> bool {
        token.shard().is_some_and(|shard| !self.shards.serves(shard)) || self.aside.holds_token(token)
    }

    /// Records one report and tells what it was about; nothing when its lease is over. Tasks that it frees go to the
    /// reporting worker first, as far as it has room.
    fn record_report(
        &mut self,
        token: &LeaseToken,
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

    /// The output of a task that asks for it to be kept. What its expressions saw is known only as long as it runs.
    fn cacheable(&mut self, token: &LeaseToken, outcome: &Outcome, session: &SessionRef) -> Option<Cacheable> {
        let Outcome::Succeeded(output) = outcome else {
            return None;
        };
        let TokenSubject { execution, task, .. } = self.subject_of(token, session)?;
        let live = self.executions.get(execution)?;
        let planned = live.execution.plan().task(task);
        planned.cache?;
        Some(Cacheable {
            plan: Arc::clone(live.execution.plan()),
            task,
            scope: live.execution.scope(&planned.input.references().tasks, token.as_str()),
            output: output.clone(),
        })
    }

    fn subject_of(&mut self, token: &LeaseToken, session: &SessionRef) -> Option<TokenSubject> {
        let subject = self
            .leases
            .of_session(token, &session.session)
            .map(|lease| lease.subject);
        if subject.is_none() && planted(Bug::NoTokenCheck) {
            let ended = self.leases.ended(token)?;
            let live = self.executions.get(ended.execution)?;
            let attempt = live.execution.tasks()[ended.task].leases;
            return Some(TokenSubject { attempt, ..ended });
        }
        subject
    }

    /// An output for which the execution has no room fails its task: it has ended, and another attempt would give as
    /// much.
    fn bounded(&self, id: ExecutionId, outcome: Outcome) -> Outcome {
        let held = self.executions.get(id).map_or(0, |live| live.bytes);
        let most = self.limits.bytes_of_one;
        match outcome {
            Outcome::Succeeded(output) | Outcome::Cached(output)
                if held.saturating_add(output.text().len() as u64) > most =>
            {
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

    /// What some leases are about, as far as their logs have room for so many more bytes. Answered once the leases are
    /// stored: what a task wrote must not be kept under the number of an attempt that a crash would make forgotten, and
    /// so be used again.
    pub(super) fn subjects(
        &mut self,
        session: &SessionId,
        tokens: &[(LeaseToken, u64)],
        reply: oneshot::Sender<Vec<Subject>>,
    ) {
        let subject = |(token, bytes): &(LeaseToken, u64)| {
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

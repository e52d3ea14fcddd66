//! Giving attempts out: leases on request and to kept slots, their extension, and what ends them without a report.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Effect, Outcome, Plan, TaskKey};
use nexus_execution_store::{ExecutionId, LeaseToken, SessionId};
use nexus_spec::model::Delivery;
use nexus_streams::Pointer;
use tokio::sync::oneshot;

use super::Core;
use crate::base::Now;
use crate::commits::Release;
use crate::leases::{LEASE, Lease};
use crate::messages::{Granted, Grants, SessionRef, TokenSubject, Verdict};
use crate::metrics;

impl Core {
    /// Leases what some pointers name, as far as it is still current.
    pub(super) fn grant(&mut self, pointers: &[Pointer], session: &SessionRef, reply: oneshot::Sender<Grants>) {
        let mut grants = Grants::default();
        if !self
            .sessions
            .lives(&session.session, session.generation, self.now.steady)
        {
            // Its worker has gone on elsewhere and would never hear of them; another one may.
            grants.foreign.extend(pointers);
            return drop(reply.send(grants));
        }
        let mut durable = None;
        for pointer in pointers {
            let id = ExecutionId::from_bytes(pointer.execution);
            if !self.shards.serves(id.shard()) {
                grants.foreign.push(*pointer);
                continue;
            }
            // A late copy of a pointer may name an attempt that has been decided and is not stored yet. It gets its own
            // pointer after the commit; until then nobody may begin it.
            let stored = self
                .executions
                .get(id)
                .is_none_or(|live| live.is_stored(TaskKey::numbered(pointer.task)));
            if !stored && !planted(Bug::EffectBeforeCommit) {
                continue;
            }
            if let Some(lease) = self.lease(id, TaskKey::numbered(pointer.task), pointer.attempt, session) {
                let once = lease.plan.task(lease.task).delivery == Delivery::AtMostOnce;
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

    /// Leases what is offered as far as workers wait for it; gives the effects that are left.
    pub(super) fn seat(&mut self, id: ExecutionId, effects: Vec<Effect>) -> Vec<Effect> {
        if !self.shards.serves(id.shard()) {
            return effects;
        }
        let mut rest = Vec::with_capacity(effects.len());
        // Where nobody waits for one task, nobody waits for the next of a thousand.
        let mut in_vain: BTreeSet<String> = BTreeSet::new();
        for effect in effects {
            let Effect::Dispatch {
                task, attempt, queue, ..
            } = &effect
            else {
                rest.push(effect);
                continue;
            };
            let asks = !in_vain.contains(queue);
            let Some(seat) = asks.then(|| self.seats.seat(queue)).flatten() else {
                if asks {
                    in_vain.insert(queue.clone());
                }
                rest.push(effect);
                continue;
            };
            match self.lease(id, *task, *attempt, seat.session()) {
                Some(lease) if planted(Bug::EffectBeforeCommit) => {
                    self.release(vec![Release::Lease(seat, Box::new(lease))]);
                }
                Some(lease) => self.commits.hand_out(seat, lease),
                None => rest.push(effect),
            }
        }
        rest
    }

    /// Leases one attempt, if it is still the current one and the session has not gone on elsewhere.
    pub(super) fn lease(
        &mut self,
        id: ExecutionId,
        task: TaskKey,
        attempt: u32,
        session: &SessionRef,
    ) -> Option<Granted> {
        if self.sessions.is_old(&session.session, session.generation) {
            return None;
        }
        let command = Command::Grant {
            task,
            attempt,
            worker: Arc::clone(&session.worker),
        };
        let effects = self.decide(id, command, false).ok()?;
        self.commits.release_lazily(id, effects, self.now);
        let token = self.ids.token(id.shard(), session.generation);
        let expires_at = self.now.wall.saturating_add(LEASE);
        let subject = TokenSubject {
            execution: id,
            task,
            attempt,
        };
        let lease = Lease {
            subject,
            session: session.session.clone(),
            expires_at: self.now.steady.saturating_add(LEASE),
            overdue_at: i64::MAX,
            logged: 0,
            cancelled: None,
            silent: false,
        };
        self.leases.insert(token.clone(), lease);
        let live = self.executions.get(id)?;
        let plan: Arc<Plan> = Arc::clone(live.execution.plan());
        let references = &plan.task(task).input.references().tasks;
        let scope = live.execution.scope(references, token.as_str());
        let user_attempt = live.execution.tasks()[task].user_attempts();
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

    /// What a worker that still holds a lease should do; the lease lasts anew.
    pub(super) fn extend(&mut self, token: &LeaseToken, session: &SessionId) -> Verdict {
        let Now { wall, steady } = self.now;
        if self.is_foreign(token) {
            return Verdict::Unknown;
        }
        let trusted = self.shards.is_trusted();
        match self.leases.of_session(token, session) {
            None => Verdict::Lost,
            Some(lease) => {
                lease.expires_at = steady.saturating_add(LEASE);
                if std::mem::take(&mut lease.silent) {
                    self.silences.heard(token);
                }
                if !trusted {
                    return Verdict::Unknown;
                }
                let go_on = Verdict::Continue(wall.saturating_add(LEASE));
                lease.cancelled.clone().map_or(go_on, Verdict::Cancel)
            }
        }
    }

    /// A lease was stored and its worker is gone before it heard of it: nothing has begun, so it is given out again.
    pub fn unheard(&mut self, token: &LeaseToken) {
        let Some(lease) = self.leases.remove(token) else { return };
        if planted(Bug::UnheardForgotten) {
            return;
        }
        let subject = lease.subject;
        let command = given_back(subject.task, subject.attempt);
        if let Ok(effects) = self.decide(subject.execution, command, true) {
            metrics::unheard();
            self.release_later(subject.execution, effects);
        }
    }

    /// A lease ended without a report.
    pub(super) fn lose(&mut self, token: &LeaseToken, reason: &str) {
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
            tracing::warn!(execution.id = %id, %task, attempt, reason, "an attempt was lost");
            metrics::lost();
            self.release_later(id, effects);
        }
    }
}

/// An attempt of which its worker never heard: it has not begun.
pub(super) fn given_back(task: TaskKey, attempt: u32) -> Command {
    let outcome = Outcome::Released {
        reason: "the task never reached the worker".to_owned(),
        not_started: true,
    };
    Command::Report { task, attempt, outcome }
}

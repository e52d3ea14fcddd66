//! Readiness: each role of a process says whether it can serve, and why not. From it come the gRPC health service,
//! per service and for the whole (`""`), and the page `/readyz`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

/// A reason that stays for so long is told in the log.
const LASTING: Duration = Duration::from_secs(2);

/// What the roles of a process say.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// What the gRPC health service answers for the whole.
    answers: watch::Sender<bool>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            answers: watch::Sender::new(false),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    roles: BTreeMap<&'static str, Role>,
    draining: bool,
}

#[derive(Debug)]
struct Role {
    services: &'static [&'static str],
    /// Why it is not ready.
    reason: Option<String>,
    /// What is wrong although it is ready.
    remark: Option<String>,
}

/// What a process says at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// True when every role is ready and the process does not end.
    pub ready: bool,
    /// Each role, and why it is not ready.
    pub roles: Vec<(&'static str, Option<String>)>,
    /// Roles that are ready, and what is wrong all the same.
    pub remarks: Vec<(&'static str, String)>,
}

impl Readiness {
    /// Adds a role, which is not ready at first, and the gRPC services that it answers for.
    #[must_use]
    pub fn role(&self, name: &'static str, services: &'static [&'static str]) -> RoleReadiness {
        let role = Role {
            services,
            reason: Some("it is starting".to_owned()),
            remark: None,
        };
        self.inner.state.lock().roles.insert(name, role);
        self.inner.changed.send_replace(());
        RoleReadiness {
            readiness: self.clone(),
            name,
        }
    }

    /// From now on nothing is ready: the process ends.
    pub fn drain(&self) {
        self.inner.state.lock().draining = true;
        self.inner.changed.send_replace(());
    }

    /// What is said now.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.inner.state.lock();
        let said = |role: &Role| match state.draining {
            true => Some("the process is shutting down".to_owned()),
            false => role.reason.clone(),
        };
        let roles: Vec<_> = state.roles.iter().map(|(name, role)| (*name, said(role))).collect();
        let remark = |(name, role): (&&'static str, &Role)| Some((*name, role.remark.clone()?));
        let remarks = state.roles.iter().filter(|(_, role)| said(role).is_none());
        Report {
            remarks: remarks.filter_map(remark).collect(),
            ready: !state.draining && roles.iter().all(|(_, reason)| reason.is_none()),
            roles,
        }
    }

    /// Waits until every role is ready and the gRPC health service answers so: whoever is told of it then and asks is
    /// not told otherwise.
    pub async fn ready(&self) {
        let mut answers = self.inner.answers.subscribe();
        // The sender lives as long as this does.
        drop(answers.wait_for(|ready| *ready).await);
    }

    /// The gRPC health service, which follows the roles until `stop`.
    pub fn service(&self, stop: CancellationToken) -> HealthServer<impl Health> {
        let (reporter, service) = tonic_health::server::health_reporter();
        let readiness = self.clone();
        tokio::spawn(async move {
            let mut changed = readiness.inner.changed.subscribe();
            let mut complaints = Complaints::default();
            let mut looks = tokio::time::interval(LASTING);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                readiness.tell(&reporter).await;
                tokio::select! {
                    _ = changed.changed() => {}
                    _ = looks.tick() => {
                        for (role, reason) in complaints.look(&readiness.report()) {
                            tracing::warn!(role, reason, "the role is not ready");
                        }
                    }
                    () = stop.cancelled() => return,
                }
            }
        });
        service
    }

    async fn tell(&self, reporter: &HealthReporter) {
        let status = |ready: bool| {
            if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            }
        };
        let report = self.report();
        reporter.set_service_status("", status(report.ready)).await;
        for (name, reason) in report.roles {
            let services = self
                .inner
                .state
                .lock()
                .roles
                .get(name)
                .map_or(&[][..], |role| role.services);
            for service in services {
                reporter.set_service_status(*service, status(reason.is_none())).await;
            }
        }
        self.inner.answers.send_replace(report.ready);
    }
}

/// Reasons that go to the log because they last: at the start, and while a role is not ready, they come and go.
#[derive(Debug, Default)]
struct Complaints {
    seen: BTreeMap<&'static str, String>,
    told: BTreeMap<&'static str, String>,
}

impl Complaints {
    /// What has stayed the same since the last look and was not told yet.
    fn look(&mut self, report: &Report) -> Vec<(&'static str, String)> {
        let mut fresh = Vec::new();
        for (role, reason) in &report.roles {
            let Some(reason) = reason else {
                self.seen.remove(role);
                self.told.remove(role);
                continue;
            };
            let lasts = self.seen.insert(role, reason.clone()).as_ref() == Some(reason);
            if lasts && self.told.get(role) != Some(reason) {
                self.told.insert(role, reason.clone());
                fresh.push((*role, reason.clone()));
            }
        }
        fresh
    }
}

/// The word of one role.
#[derive(Debug, Clone)]
pub struct RoleReadiness {
    readiness: Readiness,
    name: &'static str,
}

impl RoleReadiness {
    /// It can serve.
    pub fn ready(&self) {
        self.say(None);
    }

    /// It cannot, for a reason that people read on `/readyz`.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.say(Some(reason.into()));
    }

    /// Says what is wrong while the role can serve all the same, for `/readyz`; nothing when nothing is.
    pub fn remark(&self, remark: Option<String>) {
        let mut state = self.readiness.inner.state.lock();
        let Some(role) = state.roles.get_mut(self.name) else {
            return;
        };
        if role.remark == remark {
            return;
        }
        match &remark {
            Some(remark) => tracing::warn!(role = self.name, remark, "the role is ready, and something is wrong"),
            None => tracing::info!(role = self.name, "nothing is wrong any more"),
        }
        role.remark = remark;
    }

    fn say(&self, reason: Option<String>) {
        let inner = &self.readiness.inner;
        let before = match inner.state.lock().roles.get_mut(self.name) {
            Some(role) if role.reason != reason => std::mem::replace(&mut role.reason, reason.clone()),
            _ => return,
        };
        match &reason {
            None => tracing::info!(role = self.name, "the role is ready"),
            Some(reason) if before.is_none() => tracing::warn!(role = self.name, reason, "the role is not ready"),
            Some(reason) => tracing::debug!(role = self.name, reason, "the role is still not ready"),
        }
        inner.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_role_is_and_never_again_once_it_drains() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready, "nothing to wait for");
        let worker = readiness.role("worker", &[]);
        let execution = readiness.role("execution", &["nexus.execution.v1.ExecutionService"]);
        worker.ready();
        assert!(!readiness.report().ready);
        execution.ready();
        assert!(readiness.report().ready);
        execution.not_ready("the database is away");
        let report = readiness.report();
        assert_eq!(report.roles[0], ("execution", Some("the database is away".to_owned())));
        assert_eq!(report.roles[1], ("worker", None));
        execution.ready();
        execution.remark(Some("definitions cannot be reached".to_owned()));
        let report = readiness.report();
        assert!(report.ready, "it can do without");
        assert_eq!(
            report.remarks,
            [("execution", "definitions cannot be reached".to_owned())]
        );
        execution.remark(None);
        assert!(readiness.report().remarks.is_empty());
        readiness.drain();
        assert!(!readiness.report().ready);
    }

    #[tokio::test]
    async fn ready_is_waited_for_until_the_health_service_says_so() {
        let readiness = Readiness::default();
        let role = readiness.role("worker", &[]);
        role.ready();
        let soon = |readiness: Readiness| async move {
            tokio::time::timeout(Duration::from_millis(50), readiness.ready()).await
        };
        assert!(soon(readiness.clone()).await.is_err(), "nothing answers yet");
        let stop = CancellationToken::new();
        let _service = readiness.service(stop.clone());
        let answered = tokio::time::timeout(Duration::from_secs(10), readiness.ready()).await;
        assert!(answered.is_ok());
        stop.cancel();
    }

    #[test]
    fn a_reason_that_lasts_is_told_once() {
        let readiness = Readiness::default();
        let role = readiness.role("execution", &[]);
        let mut complaints = Complaints::default();
        let mut look = || complaints.look(&readiness.report()).len();
        assert_eq!(look(), 0, "it may pass in a moment");
        role.not_ready("a wrong address");
        assert_eq!([look(), look(), look()], [0, 1, 0]);
        role.not_ready("another mesh");
        assert_eq!([look(), look(), look()], [0, 1, 0]);
        role.ready();
        assert_eq!(look(), 0);
        role.not_ready("another mesh");
        assert_eq!([look(), look()], [0, 1]);
    }
}

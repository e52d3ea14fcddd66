//! Services of other processes that a role cannot work without. At the start the role is not ready before they have
//! answered once: a wrong address is found then. Later the role stays ready while they are away, since what it has begun
//! goes on (reports are taken, shards are owned); that they are away is said on `/readyz`, in the log and in a metric.

use std::time::Duration;

use nexus_mesh::Transport;
use nexus_mesh::health::RoleReadiness;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const UP: &str = "nexus_dependency_up";
/// How often it is asked while it is well, and while it is not; how long an answer may take.
const EVERY: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(2);
/// Questions that must fail one after the other before it counts as away.
const TIMES: u32 = 3;

/// Describes the metric.
pub fn describe() {
    metrics::describe_gauge!(UP, "Whether a service that this process needs answers: 1 or 0.");
}

/// A service that is asked whether it serves.
pub struct Dependency {
    /// Its name in metrics and messages.
    pub name: &'static str,
    /// Where it is, for people.
    pub address: String,
    /// The way there.
    pub transport: Transport,
}

impl Dependency {
    /// Asks until the shutdown. `answered` becomes true with the first answer.
    pub async fn watch(self, readiness: RoleReadiness, answered: watch::Sender<bool>, shutdown: CancellationToken) {
        let mut failures = 0;
        loop {
            let problem = self.ask().await;
            failures = if problem.is_some() { failures + 1 } else { 0 };
            metrics::gauge!(UP, "dependency" => self.name).set(f64::from(u8::from(problem.is_none())));
            match problem {
                None => {
                    answered.send_if_modified(|known| !std::mem::replace(known, true));
                    readiness.remark(None);
                }
                Some(problem) if *answered.borrow() => {
                    if failures >= TIMES {
                        readiness.remark(Some(problem));
                    }
                }
                Some(problem) => readiness.not_ready(problem),
            }
            let pause = if failures == 0 { EVERY } else { SOON };
            tokio::select! {
                () = sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn ask(&self) -> Option<String> {
        let asked = HealthClient::new(self.transport.clone());
        let request = HealthCheckRequest { service: String::new() };
        let why = match timeout(ANSWER, asked.clone().check(request)).await {
            Ok(Ok(_)) => return None,
            // It answers, and that is the question.
            Ok(Err(status)) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => return None,
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        Some(format!("{} at {} cannot be reached: {why}", self.name, self.address))
    }
}

//! One attempt from its lease to its report: secrets in, task run, log delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_api::Namespace;
use nexus_api::worker::v1::{LeasedTask, TaskReport};
use nexus_failpoint::kill_here;
use nexus_tasks::{
    Failure, Gate, KindName, LogSink, Outcome, Redactor, RunContext, SecretStore, TaskInput, TaskRunner,
};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::secrets::{Filling, Problem};
use crate::shipper::{FLUSH_LIMIT, Shipper};
use crate::vault::Vault;
use crate::{convert, metrics};

/// Lines between the task and the shipper; a full one makes the task wait.
const LOG_LINES: usize = 1_024;
/// For a server that names no time limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Why an attempt does not begin.
enum Unready {
    /// It has ended.
    Over(Outcome),
    /// What it needs cannot be had at present.
    Away(String),
}

impl From<Problem> for Unready {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Failed(failure) => Self::Over(Outcome::Failed(failure)),
            Problem::Away(why) => Self::Away(why),
        }
    }
}

/// What every attempt of a worker needs.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) namespace: Namespace,
    pub(crate) runner: TaskRunner,
    pub(crate) secrets: Arc<SecretStore>,
    pub(crate) vault: Vault,
    pub(crate) shipper: Shipper,
}

impl Bench {
    /// Runs a leased attempt and gives its report. Every line of its log is stored by then, or given up on.
    pub(crate) async fn run(self, leased: LeasedTask, cancel: CancellationToken, gate: Gate) -> TaskReport {
        let span = tracing::info_span!(
            "attempt",
            otel.name = %format!("{} {}", leased.kind, leased.task),
            workflow = %leased.workflow,
            execution = %leased.execution,
            task = %leased.task,
            attempt = leased.attempt,
            outcome = tracing::field::Empty,
        );
        nexus_mesh::trace::continue_trace(&span, &leased.traceparent);
        self.measured(leased, cancel, gate).instrument(span).await
    }

    async fn measured(self, leased: LeasedTask, cancel: CancellationToken, gate: Gate) -> TaskReport {
        let started = Instant::now();
        let token = leased.token.clone();
        let kind = known_kind(&leased.kind);
        kill_here("worker::spawn");
        let outcome = match self.prepared(&leased, &cancel).await {
            Ok((input, redactor)) => self.outcome(leased, input, redactor, cancel, gate).await,
            Err(Unready::Over(outcome)) => outcome,
            Err(Unready::Away(why)) => {
                tracing::warn!(error = %why, "an attempt cannot have its secrets at present, and is given back");
                metrics::attempt(kind, "given_back", started.elapsed());
                return convert::released(&token, &format!("its secrets cannot be had at present: {why}"), true);
            }
        };
        kill_here("worker::ended");
        let name = match &outcome {
            Outcome::Succeeded(_) => "succeeded",
            Outcome::Failed(_) => "failed",
            Outcome::Cancelled => "cancelled",
        };
        tracing::Span::current().record("outcome", name);
        metrics::attempt(kind, name, started.elapsed());
        convert::report(&token, outcome)
    }

    /// The attempt's input with its secrets in it, and what takes them out of all that it says.
    async fn prepared(&self, leased: &LeasedTask, cancel: &CancellationToken) -> Result<(Value, Redactor), Unready> {
        let looking = Filling::look_up(&leased.secrets, &self.secrets, &self.vault, &leased.token);
        let filling = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Unready::Over(Outcome::Cancelled)),
            filling = looking => filling?,
        };
        let input = serde_json::from_str(&leased.input);
        let mut input: Value = input.map_err(|error| {
            let failure = Failure::invalid(format!("the task's input is not valid JSON: {error}"));
            Unready::Over(Outcome::Failed(failure))
        })?;
        filling.fill(&mut input);
        Ok((input, Redactor::new(filling.values())))
    }

    async fn outcome(
        &self,
        leased: LeasedTask,
        input: Value,
        redactor: Redactor,
        cancel: CancellationToken,
        gate: Gate,
    ) -> Outcome {
        let (logs, lines) = LogSink::new(LOG_LINES);
        let traceparent = nexus_mesh::trace::current_traceparent();
        let context = RunContext {
            execution: leased.execution,
            task: leased.task,
            attempt: leased.attempt,
            idempotency_key: leased.idempotency_key,
            namespace: self.namespace.shared(),
            // Without a recorded span the server's own is passed on.
            traceparent: if traceparent.is_empty() {
                leased.traceparent
            } else {
                traceparent
            },
            timeout: convert::span(leased.timeout.as_ref(), DEFAULT_TIMEOUT),
            cancel,
            gate,
            logs,
            redactor: Arc::new(redactor),
        };
        let task = TaskInput {
            kind: leased.kind,
            input,
        };
        let mut shipping = std::pin::pin!(self.shipper.forward(&leased.token, lines));
        let mut running = std::pin::pin!(self.runner.run(task, context));
        let mut shipped = false;
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                () = &mut shipping, if !shipped => shipped = true,
            }
        };
        if !shipped && timeout(FLUSH_LIMIT, shipping).await.is_err() {
            tracing::warn!("the end of the log could not be delivered");
        }
        outcome
    }
}

/// The kind as a label; a kind from a newer server must not grow the number of time series without bound.
fn known_kind(kind: &str) -> &'static str {
    KindName::of(kind).map_or("other", KindName::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_figures_of_its_own() {
        for kind in KindName::ALL {
            assert_eq!(known_kind(kind.as_str()), kind.as_str());
        }
        assert_eq!(known_kind("from a newer server"), "other");
    }
}

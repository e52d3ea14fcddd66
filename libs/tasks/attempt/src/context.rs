//! What surrounds one attempt, of whatever kind its task is, and how it is bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::logs::LogSink;
use crate::outcome::Failure;
use crate::redact::Redactor;

/// What surrounds one attempt.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The execution's id.
    pub execution: String,
    /// The task's id.
    pub task: String,
    /// The attempt's number.
    pub attempt: u32,
    /// Stable over all attempts of the task.
    pub idempotency_key: String,
    /// The namespace of the execution.
    pub namespace: Arc<str>,
    /// W3C trace context; empty when there is none.
    pub traceparent: String,
    /// Stop the attempt after this long.
    pub timeout: Duration,
    /// Stops the attempt when cancelled.
    pub cancel: CancellationToken,
    /// Passed right before its code begins.
    pub gate: Gate,
    /// Takes its log.
    pub logs: LogSink,
    /// Takes the attempt's secrets out of everything that leaves it.
    pub redactor: Arc<Redactor>,
}

/// Why an attempt gave no output.
#[derive(Debug)]
pub enum End {
    /// It failed.
    Failed(Failure),
    /// It was stopped because somebody asked for it.
    Cancelled,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl RunContext {
    /// Passes the gate, or hears that there is nothing to begin any more.
    ///
    /// # Errors
    /// When the attempt is to be stopped.
    pub async fn passed(&self) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(End::Cancelled),
            () = self.gate.pass() => Ok(()),
        }
    }

    /// Bounds a kind that runs inside the worker: dropping its future stops it.
    ///
    /// # Errors
    /// What the work fails with; when the attempt is to be stopped; when its time is over.
    pub async fn bounded(&self, work: impl Future<Output = Result<String, Failure>>) -> Result<String, End> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(End::Cancelled),
            ended = tokio::time::timeout(self.timeout, work) => match ended {
                Ok(ended) => ended.map_err(End::Failed),
                Err(_) => Err(Failure::timeout(self.timeout).into()),
            },
        }
    }
}

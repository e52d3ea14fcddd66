//! The one door: takes a task, picks its kind, enforces time and size, and seals what comes out.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use nexus_spec::KindName;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::grpc::Callers;
use crate::http::Egress;
use crate::logs::LogSink;
use crate::options::Options;
use crate::outcome::{Failure, Outcome};
use crate::process::{Exit, Finished, Limits, Stop};
use crate::python::Keepers;
use crate::redact::Redactor;
use crate::{bash, grpc, http, input, python, sql};

/// A task to run: every expression evaluated, every secret filled in.
#[derive(Debug, Clone)]
pub struct TaskInput {
    /// Kind key of the file, such as `python`.
    pub kind: String,
    /// The kind's fields.
    pub input: Value,
}

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
pub(crate) enum End {
    Failed(Failure),
    Cancelled,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs tasks. Cheap to clone; the clones share warm interpreters and connections.
#[derive(Clone)]
pub struct TaskRunner {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    keepers: Keepers,
    egress: Egress,
    callers: Arc<Callers>,
}

impl TaskRunner {
    /// A runner. Nothing is started yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let keepers = Keepers::new(&options);
        let egress = Egress::new(options.allow_private);
        let callers = Arc::new(Callers::new(options.allow_private));
        Self {
            shared: Arc::new(Shared {
                options,
                keepers,
                egress,
                callers,
            }),
        }
    }

    /// The same runner with the largest output and log that the server takes.
    #[must_use]
    pub fn with_limits(&self, max_output_bytes: usize, max_log_bytes: usize) -> Self {
        let mut options = self.shared.options.clone();
        options.max_output_bytes = options.max_output_bytes.min(max_output_bytes);
        options.max_log_bytes = options.max_log_bytes.min(max_log_bytes);
        Self::new(options)
    }

    /// Starts the Python interpreter ahead of the first task that needs it; a missing one is no error here.
    pub async fn warm_up(&self) {
        if let Err(failure) = self.shared.keepers.ensure().await {
            tracing::debug!(reason = %failure.message, "python is not available");
        }
    }

    /// Runs one attempt to its end. Always answers within the timeout plus the grace plus the few seconds that killing
    /// may take, and leaves no process behind; dropping the future stops the attempt at once.
    pub async fn run(&self, task: TaskInput, ctx: RunContext) -> Outcome {
        let ended = Box::pin(contained(self.dispatch(task, &ctx))).await;
        match ended.and_then(|output| self.seal(&output, &ctx.redactor)) {
            Ok(output) => Outcome::Succeeded(output),
            Err(End::Failed(failure)) => Outcome::Failed(failure.sealed(&ctx.redactor)),
            Err(End::Cancelled) => Outcome::Cancelled,
        }
    }

    async fn dispatch(&self, task: TaskInput, ctx: &RunContext) -> Result<String, End> {
        if ctx.cancel.is_cancelled() {
            return Err(End::Cancelled);
        }
        let shared = &self.shared;
        let Some(kind) = KindName::of(&task.kind) else {
            let message = format!("this worker does not know the task kind `{}`", task.kind);
            return Err(Failure::invalid(message).into());
        };
        match kind {
            KindName::Python => {
                let fields = input::read(kind, task.input)?;
                python::run(fields, ctx, &shared.options, &shared.keepers).await
            }
            KindName::Bash => bash::run(input::read(kind, task.input)?, ctx, &shared.options).await,
            KindName::Http => {
                let fields = input::read(kind, task.input)?;
                bounded(ctx, http::run(fields, ctx, &shared.egress)).await
            }
            KindName::Sql => {
                let fields = input::read(kind, task.input)?;
                bounded(ctx, sql::run(fields, ctx, &shared.options)).await
            }
            KindName::Grpc => {
                let fields = input::read(kind, task.input)?;
                bounded(ctx, grpc::run(fields, ctx, &shared.callers, &shared.options)).await
            }
            KindName::Noop => {
                let fields: input::Noop = input::read(kind, task.input)?;
                passed(ctx).await?;
                Ok(fields.output.to_string())
            }
        }
    }

    /// Redacts an output and checks that it is JSON of an allowed size.
    fn seal(&self, output: &str, redactor: &Redactor) -> Result<String, End> {
        let limit = self.shared.options.max_output_bytes;
        let output = redactor.json(output).into_owned();
        if output.len() > limit {
            let size = output.len();
            let message = format!("the output has {size} bytes of JSON, more than the {limit} allowed");
            return Err(Failure::new("OutputTooLarge", message).final_().into());
        }
        if let Err(error) = serde_json::from_str::<Value>(&output) {
            let message = format!("the result is no JSON that can be stored: {error}");
            return Err(Failure::new("ResultNotJson", message).into());
        }
        Ok(output)
    }
}

/// Passes the gate, or hears that there is nothing to begin any more.
pub(crate) async fn passed(ctx: &RunContext) -> Result<(), End> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(End::Cancelled),
        () = ctx.gate.pass() => Ok(()),
    }
}

/// Makes a failure of a panic.
async fn contained(work: impl Future<Output = Result<String, End>>) -> Result<String, End> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(ended) => ended,
        Err(panic) => Err(Failure::broken(&said(panic.as_ref())).into()),
    }
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason was given".to_owned())
}

/// Bounds a kind that runs inside the worker: dropping its future stops it.
async fn bounded(ctx: &RunContext, work: impl Future<Output = Result<String, Failure>>) -> Result<String, End> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(End::Cancelled),
        ended = tokio::time::timeout(ctx.timeout, work) => match ended {
            Ok(ended) => ended.map_err(End::Failed),
            Err(_) => Err(Failure::timeout(ctx.timeout).into()),
        },
    }
}

/// What the worker's own stop or loss makes of a finished process; otherwise how the process itself ended.
pub(crate) fn exit_of(finished: Finished, ctx: &RunContext) -> Result<Finished, End> {
    match (&finished.exit, finished.stopped) {
        (_, Some(Stop::Cancel)) => Err(End::Cancelled),
        (_, Some(Stop::Timeout)) => Err(Failure {
            stack_trace: finished.stderr.text().to_owned(),
            ..Failure::timeout(ctx.timeout)
        }
        .into()),
        (Exit::Lost(problem), None) => Err(Failure::lost(problem.clone()).into()),
        _ => Ok(finished),
    }
}

/// The limits of a process.
pub(crate) fn limits(options: &Options) -> Limits {
    Limits {
        grace: options.kill_grace,
        log_bytes: options.max_log_bytes,
        // The task's own check comes first; a little more lets its failure through.
        result_bytes: options.max_output_bytes + (256 << 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_is_not_tried_again() {
        let End::Failed(failure) = contained(async { panic!("no {}", "way") }).await.expect_err("broken") else {
            panic!("a failure")
        };
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            ("WorkerBroken", true)
        );
        assert_eq!(failure.kind, crate::FailureKind::User);
        assert!(failure.message.contains("no way") && failure.message.contains("may have had effects"));
    }
}

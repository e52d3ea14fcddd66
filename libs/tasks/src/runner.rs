//! The one door: takes a task, picks its kind, enforces time and size, and seals what comes out.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use nexus_attempt::{End, Failure, Outcome, Redactor, RunContext, read};
use nexus_spec::KindName;
use nexus_tasks_grpc::Callers;
use serde_json::Value;

use crate::http::Egress;
use crate::options::Options;
use crate::python::Keepers;
use crate::{bash, http, input, python};

/// A task to run: every expression evaluated, every secret filled in.
#[derive(Debug, Clone)]
pub struct TaskInput {
    /// Kind key of the file, such as `python`.
    pub kind: String,
    /// The kind's fields.
    pub input: Value,
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
                let fields = read(kind, task.input)?;
                python::run(fields, ctx, &shared.options, &shared.keepers).await
            }
            KindName::Bash => bash::run(read(kind, task.input)?, ctx, &shared.options).await,
            KindName::Http => {
                let fields = read(kind, task.input)?;
                ctx.bounded(http::run(fields, ctx, &shared.egress)).await
            }
            KindName::Sql => {
                let fields = read(kind, task.input)?;
                ctx.bounded(nexus_tasks_sql::run(fields, ctx, &shared.options.databases()))
                    .await
            }
            KindName::Grpc => {
                let fields = read(kind, task.input)?;
                ctx.bounded(nexus_tasks_grpc::run(
                    fields,
                    ctx,
                    &shared.callers,
                    shared.options.max_output_bytes,
                ))
                .await
            }
            KindName::Noop => {
                let fields: input::Noop = read(kind, task.input)?;
                ctx.passed().await?;
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
            let message = format!("the result is not JSON that can be stored: {error}");
            return Err(Failure::new("ResultNotJson", message).into());
        }
        Ok(output)
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
        assert_eq!(failure.kind, nexus_attempt::FailureKind::User);
        assert!(failure.message.contains("no way") && failure.message.contains("may have had effects"));
    }
}

//! Runs a Python function: in a process forked from a warm interpreter, in an interpreter that has run the same code
//! before, or in one of its own.

mod keepers;
mod zygote;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::input;
use crate::options::Options;
use crate::process::env::{Scratch, variables};
use crate::process::{self, Exit, Finished, Limits, Streams, channel};
use nexus_attempt::{End, Failure, RunContext};

pub(crate) use keepers::Keepers;
use keepers::Source;

/// How often an attempt may meet a keeper that has just ended.
const TRIES: u32 = 3;

pub(crate) async fn run(
    fields: input::Python,
    ctx: &RunContext,
    options: &Options,
    keepers: &Keepers,
) -> Result<String, End> {
    check(&fields)?;
    let memory = input::memory(fields.memory.as_deref())?.unwrap_or(options.python_memory);
    let scratch = Scratch::new(options.scratch.as_deref(), options.user.as_ref()).await?;
    let env = variables(ctx, scratch.path(), options.user.as_ref(), &fields.env, |name| {
        std::env::var(name).ok()
    })?;
    let request = framed(&json!({
        "task": ctx.task,
        "code": fields.code,
        "function": fields.function,
        "args": fields.args,
        "env": env,
        "memory": memory,
        "cwd": scratch.path().join("work"),
        "path": keepers.module_path(),
        "max_output": options.max_output_bytes,
    }));
    let source = Source {
        code: fields.code,
        function: fields.function,
        memory,
    };
    let finished = attempt(&source, fields.isolation, &request, ctx, options, keepers).await?;
    let finished = finished.judged(ctx)?;
    match finished.exit {
        Exit::Code(0) => answer(&finished.result),
        Exit::Code(code) => Err(process::exit_failure(code, &finished.stderr).into()),
        Exit::Signal(number) => Err(process::signal_failure(number, &finished.stderr).into()),
        Exit::Lost(problem) => Err(Failure::lost(problem).into()),
    }
}

/// Has a keeper run the attempt. One that ended before it began is replaced: no code of the user's has run by then.
async fn attempt(
    source: &Source,
    isolation: input::Isolation,
    request: &[u8],
    ctx: &RunContext,
    options: &Options,
    keepers: &Keepers,
) -> Result<Finished, Failure> {
    let mut problem = String::new();
    for _ in 0..TRIES {
        let hold = keepers.take(source, isolation).await?;
        let (attempt, ends) = channel::open()
            .map_err(|error| Failure::lost(format!("the worker cannot open descriptors for the task: {error}")))?;
        if let Err(error) = hold.link.hand_over(hold.mode, &ends).await {
            problem = error.to_string();
            continue;
        }
        drop(ends);
        let streams = Streams {
            stdout: attempt.stdout,
            stderr: attempt.stderr,
            data: Some(attempt.socket),
        };
        let mut finished = process::supervise(hold.link, streams, request, ctx, Limits::of(options)).await;
        if let (Exit::Lost(why), false, None) = (&finished.exit, finished.begun, finished.stopped) {
            problem.clone_from(why);
            continue;
        }
        drop(hold.busy);
        if let Some(link) = finished.link.take() {
            keepers.give_back(link, finished.warm.then_some(source));
        }
        return Ok(finished);
    }
    Err(Failure::lost(format!("no process for the task stays alive: {problem}")))
}

fn check(fields: &input::Python) -> Result<(), Failure> {
    match (&fields.code, &fields.function) {
        (Some(_), None) => Ok(()),
        (None, Some(function)) => match function.split_once(':') {
            Some((module, name)) if !module.is_empty() && !name.is_empty() => Ok(()),
            _ => Err(Failure::invalid(format!(
                "`function` must be `module:name`, not `{function}`"
            ))),
        },
        _ => Err(Failure::invalid("exactly one of `code` and `function` must be set")),
    }
}

/// A request with its length in front.
fn framed(request: &Value) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(request.to_string().as_bytes());
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// A failure as the interpreter writes it.
#[derive(Deserialize)]
struct PythonFailure {
    r#type: String,
    message: String,
    stack_trace: String,
    non_retryable: bool,
    details: Option<Value>,
}

/// What the task answered before it ended with code 0.
fn answer(result: &[u8]) -> Result<String, End> {
    let unreadable = || Failure::new("ResultNotJson", "the task's result cannot be read");
    match result.split_first() {
        Some((b'+', output)) => Ok(String::from_utf8(output.to_vec()).map_err(|_| unreadable())?),
        Some((b'-', failure)) => {
            let failure: PythonFailure = serde_json::from_slice(failure).map_err(|_| unreadable())?;
            Err(Failure {
                stack_trace: failure.stack_trace,
                non_retryable: failure.non_retryable,
                details: failure.details,
                ..Failure::new(failure.r#type, failure.message)
            }
            .into())
        }
        _ => {
            let message = "the process ended with exit code 0 before the function returned";
            Err(Failure::new("ExitCode", message)
                .with_details(json!({"exit_code": 0}))
                .into())
        }
    }
}

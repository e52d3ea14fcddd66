//! An attempt that is a process: feeds it, reads its streams, stops it in time, and learns how it ended. The same for
//! python and bash, since both stand behind a keeper that speaks the protocol of [`frames`].

pub(crate) mod channel;
pub(crate) mod env;
pub(crate) mod frames;
pub(crate) mod program;

use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::logs::{LogBudget, LogStream, Pump, Tail};
use crate::outcome::Failure;
use crate::runner::RunContext;
use frames::{Frame, FrameReader};

/// How long a keeper may take to kill everything before it counts as lost.
const KILL_LIMIT: Duration = Duration::from_secs(15);
/// How long the log may take to be read after the last process has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a keeper may take to read the request.
const FEED_LIMIT: Duration = Duration::from_secs(20);

/// A started attempt: the keeper's socket and the task's streams.
pub(crate) struct Attempt {
    pub(crate) socket: UnixStream,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
}

/// Limits that the operator set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) grace: Duration,
    pub(crate) log_bytes: usize,
    pub(crate) result_bytes: usize,
}

/// Why the worker stopped an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Timeout,
    Cancel,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    Lost(String),
}

/// What is known when everything is over.
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) stopped: Option<Stop>,
    pub(crate) result: Vec<u8>,
    pub(crate) stderr: Tail,
}

#[derive(Deserialize)]
struct ExitStatus {
    code: Option<i32>,
    signal: Option<i32>,
}

/// Sees an attempt through. Dropping the future closes the socket, which makes the keeper kill everything.
pub(crate) async fn supervise(attempt: Attempt, request: &[u8], ctx: &RunContext, limits: Limits) -> Finished {
    let budget = LogBudget::new(limits.log_bytes);
    let tail = Mutex::new(Tail::default());
    let pump = |stream| Pump {
        stream,
        sink: &ctx.logs,
        redactor: &ctx.redactor,
        budget: &budget,
    };
    let (out, err) = (pump(LogStream::Stdout), pump(LogStream::Stderr));
    let mut pumps = std::pin::pin!(async {
        tokio::join!(out.run(attempt.stdout, &tail), err.run(attempt.stderr, &tail));
    });
    let mut drained = false;
    let mut talk = std::pin::pin!(converse(attempt.socket, request, ctx, limits));
    let (exit, stopped, result) = loop {
        tokio::select! {
            ended = &mut talk => break ended,
            () = &mut pumps, if !drained => drained = true,
        }
    };
    if !drained {
        let _late = timeout(DRAIN_LIMIT, pumps).await;
    }
    let stderr = std::mem::take(&mut *tail.lock());
    Finished {
        exit,
        stopped,
        result,
        stderr,
    }
}

/// The conversation with the keeper, from the request to the exit status.
async fn converse(
    socket: UnixStream,
    request: &[u8],
    ctx: &RunContext,
    limits: Limits,
) -> (Exit, Option<Stop>, Vec<u8>) {
    let mut result = Vec::new();
    let mut stopped = None;
    let mut group = None;
    let mut deadline = Instant::now() + ctx.timeout;
    let (read, mut write) = socket.into_split();
    match timeout(FEED_LIMIT, write.write_all(request)).await {
        Ok(Ok(())) => {}
        // A keeper that is gone says why in its last frame, if it could.
        Ok(Err(_)) => {}
        Err(_) => {
            return (
                Exit::Lost("the task's keeper did not take its input".to_owned()),
                None,
                result,
            );
        }
    }
    let mut frames = FrameReader::new(read);
    let mut phase = Phase::Running;
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(Frame::Started(pid)) => group = Some(Pid::from_raw(pid)),
                Some(Frame::Result(piece)) => {
                    // The keeper's task checks its own size; this bounds one that does not.
                    if result.len() + piece.len() <= limits.result_bytes {
                        result.extend_from_slice(&piece);
                    }
                }
                Some(Frame::Exit(status)) => return (exit_of(&status), stopped, result),
                Some(Frame::Lost(problem)) => return (Exit::Lost(problem), stopped, result),
                None => {
                    // Nobody is left to kill the task but the worker.
                    if let Some(group) = group {
                        let _gone = killpg(group, Signal::SIGKILL);
                    }
                    return (Exit::Lost("the task's keeper ended without a word".to_owned()), stopped, result);
                }
            },
            () = ctx.cancel.cancelled(), if phase == Phase::Running => {
                stopped = Some(Stop::Cancel);
                phase = Phase::Terminating;
                deadline = Instant::now() + limits.grace;
                tell(&mut write, b"T").await;
            }
            () = sleep_until(deadline) => match phase {
                Phase::Running => {
                    stopped = Some(Stop::Timeout);
                    phase = Phase::Terminating;
                    deadline = Instant::now() + limits.grace;
                    tell(&mut write, b"T").await;
                }
                Phase::Terminating => {
                    phase = Phase::Killing;
                    deadline = Instant::now() + KILL_LIMIT;
                    tell(&mut write, b"K").await;
                }
                Phase::Killing => {
                    return (Exit::Lost("the task's processes could not be killed".to_owned()), stopped, result);
                }
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Terminating,
    Killing,
}

/// One byte into a socket that is otherwise idle: it fits, or the keeper is gone and its end is read next.
async fn tell(write: &mut OwnedWriteHalf, command: &[u8]) {
    let _gone = timeout(Duration::from_secs(1), write.write_all(command)).await;
}

fn exit_of(status: &str) -> Exit {
    match serde_json::from_str(status) {
        Ok(ExitStatus {
            signal: Some(number), ..
        }) => Exit::Signal(number),
        Ok(ExitStatus { code: Some(code), .. }) => Exit::Code(code),
        _ => Exit::Lost(format!("the task's keeper sent a status that cannot be read: {status}")),
    }
}

/// The failure for a process that ended by a signal that the worker did not send.
pub(crate) fn signal_failure(number: i32, stderr: &Tail) -> Failure {
    let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
    let hint = match Signal::try_from(number) {
        Ok(Signal::SIGKILL) => " (often the kernel, out of memory)",
        Ok(Signal::SIGSEGV | Signal::SIGBUS) => " (a crash in native code)",
        _ => "",
    };
    Failure {
        stack_trace: stderr.text().to_owned(),
        details: Some(serde_json::json!({"signal": number, "signal_name": name})),
        ..Failure::new("Signal", format!("the process was ended by {name} ({number}){hint}"))
    }
}

/// The failure for a process that ended with a code.
pub(crate) fn exit_failure(code: i32, stderr: &Tail) -> Failure {
    let mut message = format!("the process ended with exit code {code}");
    if let Some(line) = stderr.last_line() {
        message.push_str(": ");
        message.push_str(line);
    }
    Failure {
        stack_trace: stderr.text().to_owned(),
        details: Some(serde_json::json!({"exit_code": code})),
        ..Failure::new("ExitCode", message)
    }
}

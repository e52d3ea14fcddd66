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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::options::Options;
use channel::Link;
use frames::Frame;
use nexus_attempt::logs::{LogBudget, LogStream, Pump, Tail};
use nexus_attempt::{End, Failure, RunContext};

/// How long a keeper may take to kill everything before it counts as lost.
const KILL_LIMIT: Duration = Duration::from_secs(15);
/// How long the log may take to be read after the last process has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long what a task leaves behind may still write after the task itself has ended: a `tee` that its output goes
/// through needs milliseconds, a daemon would write for ever. A machine under load may need a moment.
const LATE_OUTPUT: Duration = Duration::from_secs(2);
/// The same for a process that serves another attempt afterwards, if it closed its streams as it should.
const WARM_DRAIN_LIMIT: Duration = Duration::from_millis(250);

/// What a task writes to, and where it gets its request from when its keeper does not have it.
pub(crate) struct Streams {
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
    pub(crate) data: Option<UnixStream>,
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
    /// False when nothing of the task has run.
    pub(crate) begun: bool,
    /// The keeper, when it can serve another attempt.
    pub(crate) link: Option<Link>,
    /// True when that keeper's process has served this attempt and can serve another one of the same code.
    pub(crate) warm: bool,
    pub(crate) result: Vec<u8>,
    pub(crate) stderr: Tail,
}

#[derive(Deserialize)]
struct ExitStatus {
    code: Option<i32>,
    signal: Option<i32>,
}

/// Sees an attempt through. Dropping the future closes the way to the keeper, which then kills everything.
pub(crate) async fn supervise(
    mut link: Link,
    streams: Streams,
    request: &[u8],
    ctx: &RunContext,
    limits: Limits,
) -> Finished {
    let budget = LogBudget::new(limits.log_bytes);
    let (tail, result) = (Mutex::new(Tail::default()), Mutex::new(Vec::new()));
    let pump = |stream| Pump {
        stream,
        sink: &ctx.logs,
        redactor: &ctx.redactor,
        budget: &budget,
    };
    let (out, err) = (pump(LogStream::Stdout), pump(LogStream::Stderr));
    let mut pumps = std::pin::pin!(async {
        tokio::join!(
            out.run(streams.stdout, &tail),
            err.run(streams.stderr, &tail),
            exchange(streams.data, request, ctx, limits.result_bytes, &result),
        );
    });
    let mut drained = false;
    let silence = CancellationToken::new();
    let mut talk = Talk::default();
    let exit = {
        let mut conversation = std::pin::pin!(converse(&mut link, &mut talk, &silence, ctx, limits));
        loop {
            tokio::select! {
                ended = &mut conversation => break ended,
                () = &mut pumps, if !drained => {
                    drained = true;
                    silence.cancel();
                }
            }
        }
    };
    // Whoever still holds a stream of an attempt that has ended is no process that should serve another one.
    let grace = if talk.warm { WARM_DRAIN_LIMIT } else { DRAIN_LIMIT };
    drained = drained || timeout(grace, &mut pumps).await.is_ok();
    let kept = drained && talk.stopped.is_none() && !matches!(exit, Exit::Lost(_));
    let link = kept.then_some(link);
    if !drained {
        let _late = timeout(DRAIN_LIMIT, pumps).await;
    }
    let (stderr, result) = (std::mem::take(&mut *tail.lock()), std::mem::take(&mut *result.lock()));
    Finished {
        exit,
        stopped: talk.stopped,
        begun: talk.group.is_some(),
        warm: talk.warm,
        link,
        result,
        stderr,
    }
}

/// Gives the task its request and takes its answer. A task that is gone is told of by its keeper.
async fn exchange(data: Option<UnixStream>, request: &[u8], ctx: &RunContext, limit: usize, result: &Mutex<Vec<u8>>) {
    let Some(mut data) = data else { return };
    // The task begins with the last byte.
    if let Some((last, most)) = request.split_last() {
        let _gone = data.write_all(most).await;
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => {}
            () = ctx.gate.pass() => {
                let _gone = data.write_all(&[*last]).await;
            }
        }
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match data.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            // The task checks its own size; this bounds one that does not.
            Ok(read) => {
                let mut result = result.lock();
                if result.len() + read <= limit {
                    result.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }
}

/// What is known while an attempt goes on.
#[derive(Default)]
struct Talk {
    stopped: Option<Stop>,
    group: Option<Pid>,
    warm: bool,
}

/// The conversation with the keeper, to the end of the attempt.
async fn converse(
    link: &mut Link,
    talk: &mut Talk,
    silence: &CancellationToken,
    ctx: &RunContext,
    limits: Limits,
) -> Exit {
    let mut deadline = Instant::now() + ctx.timeout;
    let mut phase = Phase::Running;
    loop {
        tokio::select! {
            frame = link.frames.next() => match frame {
                Some(Frame::Started(pid)) => talk.group = Some(Pid::from_raw(pid)),
                // Killed already: then so is what it left.
                Some(Frame::Ended(_)) if phase == Phase::Killing => tell(&mut link.write, b"K").await,
                Some(Frame::Ended(_)) => {
                    phase = Phase::Ended;
                    deadline = Instant::now() + LATE_OUTPUT;
                }
                Some(Frame::Exit(status)) => return exit_of(&status),
                Some(Frame::Done) => {
                    talk.warm = true;
                    return Exit::Code(0);
                }
                Some(Frame::NotBegun) => {
                    talk.group = None;
                    return Exit::Lost("the task's process ended before the task began".to_owned());
                }
                Some(Frame::Lost(problem)) => return Exit::Lost(problem),
                None => {
                    // Nobody is left to kill the task but the worker.
                    if let Some(group) = talk.group {
                        let _gone = killpg(group, Signal::SIGKILL);
                    }
                    return Exit::Lost("the task's keeper ended without a word".to_owned());
                }
            },
            () = ctx.cancel.cancelled(), if phase == Phase::Running => {
                talk.stopped = Some(Stop::Cancel);
                phase = Phase::Terminating;
                deadline = Instant::now() + limits.grace;
                tell(&mut link.write, b"T").await;
            }
            // Nobody holds the streams any more, or somebody does not want to wait.
            () = either(silence, &ctx.cancel), if phase == Phase::Ended => {
                phase = Phase::Killing;
                deadline = Instant::now() + KILL_LIMIT;
                tell(&mut link.write, b"K").await;
            }
            () = sleep_until(deadline) => match phase {
                Phase::Ended => {
                    let line = format!(
                        "something that the task started still held its output {} s after the end; it is stopped, and \
                         what it would still write is not kept",
                        LATE_OUTPUT.as_secs()
                    );
                    ctx.logs.system(&ctx.redactor, &line).await;
                    phase = Phase::Killing;
                    deadline = Instant::now() + KILL_LIMIT;
                    tell(&mut link.write, b"K").await;
                }
                Phase::Running => {
                    talk.stopped = Some(Stop::Timeout);
                    phase = Phase::Terminating;
                    deadline = Instant::now() + limits.grace;
                    tell(&mut link.write, b"T").await;
                }
                Phase::Terminating => {
                    phase = Phase::Killing;
                    deadline = Instant::now() + KILL_LIMIT;
                    tell(&mut link.write, b"K").await;
                }
                Phase::Killing => return Exit::Lost("the task's processes could not be killed".to_owned()),
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Terminating,
    /// The task itself has ended, and what it left may still write.
    Ended,
    Killing,
}

async fn either(one: &CancellationToken, other: &CancellationToken) {
    tokio::select! {
        () = one.cancelled() => {}
        () = other.cancelled() => {}
    }
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

impl Finished {
    /// What the worker's own stop or loss makes of a finished process; otherwise how the process itself ended.
    pub(crate) fn judged(self, ctx: &RunContext) -> Result<Self, End> {
        match (&self.exit, self.stopped) {
            (_, Some(Stop::Cancel)) => Err(End::Cancelled),
            (_, Some(Stop::Timeout)) => Err(Failure {
                stack_trace: self.stderr.text().to_owned(),
                ..Failure::timeout(ctx.timeout)
            }
            .into()),
            (Exit::Lost(problem), None) => Err(Failure::lost(problem.clone()).into()),
            _ => Ok(self),
        }
    }
}

impl Limits {
    /// The limits of a process.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            grace: options.kill_grace,
            log_bytes: options.max_log_bytes,
            // The task's own check comes first; a little more lets its failure through.
            result_bytes: options.max_output_bytes + (256 << 10),
        }
    }
}

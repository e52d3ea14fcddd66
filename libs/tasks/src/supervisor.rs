//! The small process between the worker and a bash task. It makes sure that the task ends with its attempt: it adopts
//! whatever the task leaves behind, kills it, and does so too when the worker itself dies.
//!
//! It talks over its standard input, a socket: `T` asks it to send SIGTERM to the task's process group, `K` or the end
//! of the socket to kill everything; it answers with frames (see `process::frames`). When the task itself has ended it
//! says so and waits for `K`: what the task left may still have something to write. It is a process of its own because
//! adoption (`PR_SET_CHILD_SUBREAPER`), sessions and limits belong to a process, and the worker's must stay as they are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use crate::priority;

/// First argument that makes a program act as the supervisor.
pub const SUBCOMMAND: &str = "__supervise";

/// After so many tries the session is let be: the task runs all the same.
const LOWERING_TRIES: u32 = 50;

/// How long killing what a task left may take; a process in the kernel's hands cannot be waited for.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// Command that runs [`main`]: the parent of each bash task.
#[derive(Debug, Clone)]
pub struct Supervisor {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Supervisor {
    /// The running program itself, which calls [`intercept`] first thing in `main`.
    #[must_use]
    pub fn this_program() -> Self {
        Self {
            // The link keeps working when the file is replaced by an upgrade.
            program: PathBuf::from("/proc/self/exe"),
            args: vec![OsString::from(SUBCOMMAND)],
        }
    }

    /// Another program.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
        }
    }
}

/// Acts as the supervisor when the process was started as one. Call it first thing in `main`, before any thread exists.
#[must_use]
pub fn intercept() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == SUBCOMMAND).then(|| main(args))
}

/// Supervises one command: `MEMORY-BYTES NICENESS PROGRAM ARG…`, memory 0 for no limit.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let Ok(socket) = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned() else {
        return ExitCode::from(2);
    };
    let mut socket = UnixStream::from(socket);
    match supervise(&args, &socket) {
        Ok(status) => send(&mut socket, b'X', &status),
        Err(problem) => send(&mut socket, b'L', &problem),
    }
    ExitCode::SUCCESS
}

fn supervise(args: &[OsString], socket: &UnixStream) -> Result<String, String> {
    let [memory, niceness, program, rest @ ..] = args else {
        return Err("usage: MEMORY-BYTES NICENESS PROGRAM ARG…".to_owned());
    };
    let niceness: u8 = niceness.to_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    let memory: u64 = memory.to_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    // A terminal's Ctrl-C goes to the worker alone, which then decides.
    let own_session = priority::leave_the_terminal();
    let session = own_session.then(|| priority::Session::to_lower(niceness)).flatten();
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| format!("cannot adopt processes: {error}"))?;
    let commands = socket.try_clone().map_err(|error| error.to_string())?;
    let _kept = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if memory > 0 {
        setrlimit(Resource::RLIMIT_AS, memory, memory).map_err(|error| format!("cannot limit memory: {error}"))?;
    }
    // This process too: lowered after its start, the task might have started others by then.
    priority::lower(niceness);
    // Before there is a second thread: what is set aside for that one would count against the limit, and leave too little
    // to start anything.
    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(|error| error.to_string())?);
    let state = Arc::new(State::default());
    let listener = Arc::clone(&state);
    let listening = std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || listen(commands, &listener, session.as_ref()));
    if let Err(error) = listening {
        let _gone = killpg(pid, Signal::SIGKILL);
        kill_descendants();
        return Err(format!("cannot start a thread: {error}"));
    }
    // The streams are the task's: held here too, they would never end.
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
    if let Ok(null) = null {
        let _kept = (nix::unistd::dup2_stdout(&null), nix::unistd::dup2_stderr(&null));
    }
    let mut told = socket;
    let _gone = told.write_all(&frame(b'P', &pid.to_string()));
    state.started(pid);
    let status = wait_for(pid)?;
    state.main_ended.store(true, Ordering::SeqCst);
    let _gone = told.write_all(&frame(b'E', &status));
    state.wait_for_kill();
    kill_descendants();
    Ok(status)
}

/// What the two threads share.
#[derive(Default)]
struct State {
    child: std::sync::OnceLock<Pid>,
    kill_wanted: AtomicBool,
    killing: (Mutex<()>, Condvar),
    term_wanted: AtomicBool,
    main_ended: AtomicBool,
}

impl State {
    /// Notes the child, and does what was asked for before it existed.
    fn started(&self, pid: Pid) {
        let _first = self.child.set(pid);
        if self.term_wanted.load(Ordering::SeqCst) {
            let _gone = killpg(pid, Signal::SIGTERM);
        }
        if self.kill_wanted.load(Ordering::SeqCst) {
            let _gone = killpg(pid, Signal::SIGKILL);
        }
    }

    fn term(&self) {
        self.term_wanted.store(true, Ordering::SeqCst);
        if let Some(pid) = self.child.get()
            && !self.main_ended.load(Ordering::SeqCst)
        {
            let _gone = killpg(*pid, Signal::SIGTERM);
        }
    }

    fn kill(&self) {
        {
            let _held = self.killing.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.kill_wanted.store(true, Ordering::SeqCst);
            self.killing.1.notify_all();
        }
        if let Some(pid) = self.child.get()
            && !self.main_ended.load(Ordering::SeqCst)
        {
            let _gone = killpg(*pid, Signal::SIGKILL);
        }
    }
}

impl State {
    /// Waits until the worker wants everything killed, or is gone.
    fn wait_for_kill(&self) {
        let mut held = self.killing.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.kill_wanted.load(Ordering::SeqCst) {
            held = self.killing.1.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Obeys the worker; between its words lowers this process's session, if it has one of its own.
fn listen(mut commands: UnixStream, state: &State, mut session: Option<&priority::Session>) {
    let mut tries = LOWERING_TRIES;
    let mut byte = [0];
    loop {
        if let Some(group) = session {
            tries -= 1;
            if tries == 0 || group.lower() {
                session = None;
            }
            let _never = commands.set_read_timeout(session.map(|_| priority::AGAIN));
        }
        match commands.read(&mut byte) {
            Ok(1) if byte[0] == b'T' => state.term(),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            _ => return state.kill(),
        }
    }
}

/// Waits for the child, reaping whatever else was adopted meanwhile.
fn wait_for(child: Pid) -> Result<String, String> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(format!(r#"{{"code":{code}}}"#)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(format!(r#"{{"signal":{}}}"#, signal as i32));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("cannot wait for the task: {error}")),
        }
    }
}

/// Kills and reaps every descendant until none is left.
fn kill_descendants() {
    let until = Instant::now() + REAP_LIMIT;
    while Instant::now() < until {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                for pid in descendants(getpid()) {
                    let _gone = kill(pid, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => {}
        }
    }
}

/// Every process below `root`, as far as the kernel tells.
fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root.as_raw()];
    while let Some(pid) = open.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(Pid::from_raw(child));
            open.push(child);
        }
    }
    found
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself hold brackets and spaces.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn send(socket: &mut UnixStream, tag: u8, payload: &str) {
    // When nobody listens any more there is nobody to tell.
    let _gone = socket.write_all(&frame(tag, payload));
}

fn frame(tag: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(payload.as_bytes());
    frame
}

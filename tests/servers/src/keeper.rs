//! Starts servers, and other processes that a test needs, so that they die with this process.
//!
//! Linux sends a child the signal that it asked for when the *thread* that started it ends, not the process. Tests come
//! and go on threads of their own, so every server is started by one thread that lives as long as the process does.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::PAUSE;

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a command on the thread that stays, in a process group of its own: Ctrl-C is for the one who started it, who
/// ends everything in order.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    static KEEPER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, incoming) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in incoming {
                drop(answer.send(command.spawn()));
            }
        });
        Mutex::new(jobs)
    });
    let gone = || io::Error::other("the thread that starts servers is gone");
    let (answer, answered) = mpsc::sync_channel(1);
    let sent = keeper
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer));
    sent.map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// A command that runs a program as another user, where one is given, and has it killed by `signal` when this process
/// dies. Where `setpriv` is missing (it comes with Linux's util-linux) the program outlives a killed test.
#[must_use]
pub fn command(program: &str, user: Option<(u32, u32)>, signal: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let Some(setpriv) = find("setpriv") else {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        return command;
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", signal]);
    if let Some((uid, gid)) = user {
        command.args([
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".to_owned(),
        ]);
    }
    command.arg("--").arg(program);
    command
}

/// A program on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Sends a signal to a child that has not been waited for.
pub fn signal(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may be dead already.
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
    }
}

/// Asks a child to end, waits for it, and kills it when it does not.
pub(crate) fn end(child: &mut Child, how: Signal, patience: Duration) {
    signal(child, how);
    let deadline = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            drop(child.kill());
            drop(child.wait());
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

//! Tasks yield to the engine: their processes run at a lower priority, so that on one host the engine, the database and
//! heartbeats keep breathing while every core computes.
//!
//! Linux may group processes by session and then share the processor between the groups, whatever the niceness of their
//! members is (autogroup, sched(7)). So what would have a session of its own has a group of its own, which is lowered too.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use nix::unistd::{Pid, setpgid, setsid};

/// When to try again to lower a session: the kernel lets others than root change one group in 100 ms, on the whole machine.
pub(crate) const AGAIN: Duration = Duration::from_millis(110);

/// Lowers the calling thread, and what it starts from now on.
pub(crate) fn lower(niceness: u8) {
    // What may not be lowered runs as it is.
    let _as_before = rustix::process::nice(i32::from(niceness));
}

/// Makes this process one that a terminal's Ctrl-C does not reach. A session of its own is needed only where there is a
/// terminal: without one it stays in the worker's, where its niceness counts. True when it has one of its own.
pub(crate) fn leave_the_terminal() -> bool {
    let has_terminal = fs::File::open("/dev/tty").is_ok();
    if has_terminal {
        return setsid().is_ok();
    }
    // It may be a leader already.
    let _as_it_is = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    false
}

/// Lowers the group of this process's session. False when the kernel wants to be asked again; see [`AGAIN`].
pub(crate) fn lower_session(niceness: u8) -> bool {
    match fs::write("/proc/self/autogroup", niceness.to_string()) {
        Err(error) => error.kind() != ErrorKind::WouldBlock,
        Ok(()) => true,
    }
}

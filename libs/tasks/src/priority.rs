//! Tasks yield to the engine: their processes run at a lower priority, so that on one host the engine, the database and
//! heartbeats keep breathing while every core computes.
//!
//! Linux may group processes by session and then share the processor between the groups, whatever the niceness of their
//! members is (autogroup, sched(7)). So what would have a session of its own has a group of its own, which is lowered too.

use std::fs;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use nix::unistd::{Pid, setpgid, setsid};

/// When to try again to lower a session: the kernel lets others than root change one group in 100 ms, on the whole machine.
pub(crate) const AGAIN: Duration = Duration::from_millis(110);

/// Lowers this process, which has one thread only, and what it starts from now on.
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
    let own = Pid::from_raw(0);
    let _as_it_is = setpgid(own, own);
    false
}

/// The group of this process's session, ready to be lowered. Lowering takes no memory: that of a thread which allocates
/// for the first time counts many times over against the limit that the task's memory has.
pub(crate) struct Session {
    group: fs::File,
    niceness: String,
}

impl Session {
    /// Nothing where the kernel knows no such groups.
    pub(crate) fn to_lower(niceness: u8) -> Option<Self> {
        let group = fs::OpenOptions::new().write(true).open("/proc/self/autogroup");
        Some(Self {
            group: group.ok()?,
            niceness: niceness.to_string(),
        })
    }

    /// False when the kernel wants to be asked again; see [`AGAIN`].
    pub(crate) fn lower(&self) -> bool {
        let mut group = &self.group;
        match group.write_all(self.niceness.as_bytes()) {
            Err(error) => error.kind() != ErrorKind::WouldBlock,
            Ok(()) => true,
        }
    }
}

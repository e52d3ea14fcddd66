//! The failpoints: where NEXUS can be killed between two steps that must not tear. The names stand in the code.

/// What has to happen for a point to be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    /// The load passes it.
    Load,
    /// A start over open executions passes it.
    Recovery,
}

/// One failpoint.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Its name in the code.
    pub name: &'static str,
    /// When it is passed.
    pub during: During,
    /// At which hits the process is killed.
    pub hits: &'static [u32],
}

const fn load(name: &'static str) -> Point {
    Point {
        name,
        during: During::Load,
        hits: &[1, 3],
    }
}

const fn recovery(name: &'static str, hits: &'static [u32]) -> Point {
    Point {
        name,
        during: During::Recovery,
        hits,
    }
}

/// Points outside of the owner's loop.
pub const POINTS: &[Point] = &[
    // In the transaction, nothing written yet.
    load("execution::commit::begin"),
    // Everything written, not committed.
    load("execution::commit::written"),
    // Committed; nobody knows.
    load("execution::commit::done"),
    // A new epoch, nothing loaded. A process claims once, so there is no third hit.
    recovery("execution::claim", &[1]),
    // In the middle of loading what is open.
    recovery("execution::recover", &[1, 3]),
    // The first commit after a recovery: it gives back what was running.
    recovery("execution::commit::begin", &[1]),
    recovery("execution::commit::written", &[1]),
    recovery("execution::commit::done", &[1]),
    // A start that nobody has decided on.
    load("execution::start::received"),
    // A start that is stored, and whose caller waits for the answer.
    load("execution::start::committed"),
    load("execution::cancel::committed"),
    // Leases that their worker does not know of. Those of `at_most_once` are stored by then.
    load("execution::grant"),
    load("execution::heartbeat"),
    load("execution::logs"),
    load("execution::report::received"),
    // Results that are stored, and whose worker waits for the acknowledgement.
    load("execution::report::committed"),
    load("definitions::commit::written"),
    load("definitions::commit::done"),
    // A task that its worker has and has not begun.
    load("worker::spawn"),
    // A task that has ended, and nobody but its worker knows.
    load("worker::ended"),
    // An acknowledgement that has arrived and was not looked at.
    load("worker::reported"),
];

/// Points in the owner's loop.
pub const OWNER_POINTS: &[Point] = &[
    // Stored; no effect is brought about and nobody is told.
    load("execution::owner::committed"),
    // Answers are sent and effects are on their way.
    load("execution::owner::released"),
    recovery("execution::owner::committed", &[1]),
    recovery("execution::owner::released", &[1]),
];

//! Failpoints: places where a test lets the process die, the way a power cut would, between two steps that must not
//! tear. Compiled in with the feature `failpoints` alone, which no release build has; otherwise [`kill_here`] is nothing.
//!
//! `FAILPOINTS="execution::commit::written=2*off->return"` kills the process with SIGKILL at the third hit: the syntax is
//! that of the crate `fail`, and `return` is the action that kills.

/// Whether failpoints are compiled in.
pub const COMPILED_IN: bool = cfg!(feature = "failpoints");

/// Takes the points to arm from the environment variable `FAILPOINTS`. To be called once, when the process starts.
#[inline]
pub fn arm() {
    #[cfg(feature = "failpoints")]
    {
        let scenario = fail::FailScenario::setup();
        if std::env::var_os("FAILPOINTS").is_some() {
            eprintln!("  ! failpoints are armed: this process is meant to die");
        }
        // Armed until the process ends.
        std::mem::forget(scenario);
    }
}

/// Dies here when a test has armed the point.
#[inline]
pub fn kill_here(point: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(point, |_| die());
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}

/// SIGKILL to itself: nothing is flushed, closed or unwound.
#[cfg(feature = "failpoints")]
fn die() {
    // The signal of the own process is delivered before the call returns; if it is refused, the test sees no death.
    let refused = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    eprintln!("  ! a failpoint could not kill this process: {refused:?}");
}

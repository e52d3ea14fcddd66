//! What the fault tests share: a `nexus dev` that is started again and again on the same data, a witness beside it, a
//! load whose every call is in a ledger, and the verdict of `nexus-verify` over all of it. The same for a mesh of many
//! processes.

mod arena;
mod chance;
mod load;
mod mesh;
mod points;
mod process;
mod report;
pub mod sandbox;
mod workflows;

pub use arena::Arena;
pub use chance::Chance;
pub use load::{Load, Mix};
pub use mesh::{MeshArena, chaos_seconds, one_of_few, whole_set};
pub use points::{During, OWNER_POINTS, POINTS, Point};
pub use process::{Nexus, Outside, binary, signal};
pub use report::{MeshTally, Recovery, Tally};
pub use workflows::{CHAIN, DATA, FAN, FAR, FAR_ONCE, NOTHING, ONCE, PAY_FIRST, RETRY, SLOW, STOPPED, WEB, Workflow};

use std::time::{Duration, Instant};

/// Longest wait for anything; reached only by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Now, in nanoseconds since the epoch.
#[must_use]
pub fn now_ns() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Waits until something holds.
///
/// # Panics
/// When it does not in time.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, within: Duration, mut holds: F) {
    let deadline = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come true within {within:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

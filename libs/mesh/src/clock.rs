//! Time as a parameter.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives the time in microseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A clock that only grows, from the moment it is made: setting the machine's clock does not move it.
#[must_use]
pub fn steady_clock() -> Clock {
    let begun = std::time::Instant::now();
    Arc::new(move || i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX))
}

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

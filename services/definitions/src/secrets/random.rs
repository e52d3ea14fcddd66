//! Where keys and nonces come from.

use std::sync::Arc;

/// Fills bytes at random.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), NoRandomness> + Send + Sync>;

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoRandomness(pub String);

/// The system's random numbers.
#[must_use]
pub fn system_random() -> Random {
    Arc::new(|bytes| getrandom::fill(bytes).map_err(|error| NoRandomness(error.to_string())))
}

//! Waiting with a limit that a frozen process does not use up: after a SIGSTOP or a suspended machine the clock has gone
//! on, and what was waited for may have come and was not looked at.

use std::future::Future;
use std::time::Duration;

/// The limit is counted in pieces of this length; a freeze costs one.
const PIECE: Duration = Duration::from_secs(1);

/// Waits for a future as long as `limit`, in whole seconds, of time in which this process ran. `None` when it was over
/// first.
pub(crate) async fn patiently<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..limit.as_secs().max(1) {
        if let Ok(done) = tokio::time::timeout(PIECE, future.as_mut()).await {
            return Some(done);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_freeze_costs_one_piece() {
        let limit = Duration::from_secs(20);
        let answer = async {
            // The process is frozen for a minute: the clock jumps, and the answer is there a moment later.
            tokio::time::advance(Duration::from_secs(60)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            7
        };
        assert_eq!(patiently(limit, answer).await, Some(7));
        let begun = tokio::time::Instant::now();
        assert_eq!(patiently(limit, std::future::pending::<()>()).await, None);
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}

//! Waking the keeper of the membership before its time.

use std::sync::Arc;

use tokio::sync::Notify;

/// Makes the keeper look at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nudge(Arc<Notify>);

impl Nudge {
    /// Lets it look now.
    pub(crate) fn nudge(&self) {
        self.0.notify_one();
    }

    /// Waits for that.
    pub(crate) async fn nudged(&self) {
        self.0.notified().await;
    }
}

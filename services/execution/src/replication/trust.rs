//! Whether the membership was renewed lately enough to be sure of it. Watched apart from the renewing, which may hang on
//! the database for several seconds: trust ends at its moment whatever the renewing is waiting for.

use nexus_execution_owner::control::Control;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Tells the owner's loop, and readiness, when trust ends and when there is some again.
pub(crate) struct Trust {
    /// Until when the membership is fresh, as of its last renewal.
    pub(crate) until: watch::Receiver<Instant>,
    /// Readiness.
    pub(crate) standing: watch::Sender<bool>,
    /// The owner's loop.
    pub(crate) control: mpsc::Sender<Control>,
}

impl Trust {
    /// Watches until nobody renews any more.
    pub(crate) async fn watch(mut self) {
        let mut told = true;
        loop {
            let until = *self.until.borrow_and_update();
            let fresh = Instant::now() < until;
            if fresh != told {
                if !fresh {
                    tracing::warn!(
                        "the membership could not be renewed in time; workers are not told to go on until it is"
                    );
                }
                told = fresh;
                self.standing.send_replace(fresh);
                // Refused only when the loop has ended.
                let _ended = self.control.send(Control::Trust(fresh)).await;
            }
            tokio::select! {
                changed = self.until.changed() => if changed.is_err() { return },
                () = sleep_until(until), if fresh => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trust_ends_at_its_moment_and_comes_back_with_a_renewal() {
        let begun = Instant::now();
        let in_seconds = |seconds| begun + Duration::from_secs(seconds);
        let (renewed, until) = watch::channel(in_seconds(6));
        let (standing, mut stands) = watch::channel(true);
        let (control, mut told) = mpsc::channel(8);
        let watched = tokio::spawn(
            Trust {
                until,
                standing,
                control,
            }
            .watch(),
        );
        renewed.send_replace(in_seconds(8));
        stands.wait_for(|stands| !stands).await.expect("it ends");
        assert_eq!(
            begun.elapsed(),
            Duration::from_secs(8),
            "not when the first renewal was for"
        );
        assert!(matches!(told.recv().await, Some(Control::Trust(false))));
        renewed.send_replace(in_seconds(20));
        stands.wait_for(|stands| *stands).await.expect("it is back");
        assert!(matches!(told.recv().await, Some(Control::Trust(true))));
        drop(renewed);
        watched.await.expect("it ends with whoever renews");
    }
}

//! Whether this replica can do what callers ask of it, for readiness. It is told from what is the case now, and from
//! nothing that was.

use std::sync::Arc;
use std::time::Duration;

use nexus_execution_owner::trouble::Trouble;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a write may fail before the replica says that it cannot store anything.
const LASTING: Duration = Duration::from_secs(2);

/// What the condition is told from.
pub(crate) struct Signs {
    /// Whether the membership is fresh.
    pub(crate) standing: watch::Receiver<bool>,
    /// The database that it is kept in, for people.
    pub(crate) database: Arc<str>,
    /// The trouble of the write under way.
    pub(crate) trouble: watch::Receiver<Option<Trouble>>,
    /// What is wrong with the advertised address.
    pub(crate) address: watch::Receiver<Option<String>>,
}

impl Signs {
    /// Why the replica cannot do its work; nothing when it can.
    fn told(&mut self) -> Option<String> {
        if !*self.standing.borrow_and_update() {
            return Some(format!(
                "its membership cannot be renewed: {} does not answer",
                self.database
            ));
        }
        let trouble = self.trouble.borrow_and_update().clone();
        if let Some(trouble) = trouble.filter(|trouble| trouble.since.elapsed() >= LASTING) {
            return Some(format!("nothing can be stored: {}", trouble.reason));
        }
        self.address.borrow_and_update().clone()
    }

    /// Keeps telling until the shutdown.
    pub(crate) async fn watch(mut self, condition: watch::Sender<Option<String>>, shutdown: CancellationToken) {
        loop {
            let told = self.told();
            condition.send_if_modified(|known| {
                let new = *known != told;
                known.clone_from(&told);
                new
            });
            let lasts = self.trouble.borrow().as_ref().map(|trouble| trouble.since + LASTING);
            let until_lasting = async {
                match lasts {
                    Some(at) if at > tokio::time::Instant::now() => sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                // A sign that says no more never changes again.
                Ok(()) = self.standing.changed() => {}
                Ok(()) = self.trouble.changed() => {}
                Ok(()) = self.address.changed() => {}
                () = until_lasting => {}
                () = shutdown.cancelled() => return,
                else => sleep(LASTING).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_execution_owner::trouble::Troubles;

    #[tokio::test(start_paused = true)]
    async fn what_stands_in_the_way_is_told_while_it_does() {
        let (standing, stands) = watch::channel(true);
        let (address, addressed) = watch::channel(None);
        let troubles = Troubles::default();
        let signs = Signs {
            standing: stands,
            database: Arc::from("execution at db:5432"),
            trouble: troubles.watch(),
            address: addressed,
        };
        let (condition, mut told) = watch::channel(Some("it is starting".to_owned()));
        let shutdown = CancellationToken::new();
        tokio::spawn(signs.watch(condition, shutdown.clone()));
        let mut next = async |part: &str| {
            let fits = |told: &Option<String>| match part {
                "" => told.is_none(),
                part => told.as_ref().is_some_and(|told| told.contains(part)),
            };
            let waited = tokio::time::timeout(Duration::from_secs(60), told.wait_for(fits)).await;
            assert!(waited.is_ok(), "{part:?} is not told");
        };
        next("").await;
        standing.send_replace(false);
        next("membership cannot be renewed: execution at db:5432").await;
        standing.send_replace(true);
        next("").await;
        let writing = troubles.of_a_write();
        writing.failed("read-only".into());
        next("nothing can be stored: read-only").await;
        drop(writing);
        next("").await;
        address.send_replace(Some("wrong address".into()));
        next("wrong address").await;
        address.send_replace(None);
        next("").await;
    }
}

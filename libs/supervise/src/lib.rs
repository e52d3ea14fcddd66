//! Background tasks of a service. A task that panics, or ends before it was told to, leaves its service half alive: it still
//! answers, and something that it promises is not done any more. Here such an end is noticed, counted, and told to whoever
//! runs the service, who takes the replica out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const BROKEN: &str = "nexus_background_tasks_broken_total";

/// Describes the metric.
pub fn describe() {
    metrics::describe_counter!(
        BROKEN,
        "Background tasks that panicked or ended too early; the replica ends with them."
    );
}

/// The background tasks of one service. Clones are the same set.
#[derive(Debug, Clone)]
pub struct Background {
    shutdown: CancellationToken,
    broken: Arc<watch::Sender<Option<String>>>,
}

impl Background {
    /// No tasks yet; `shutdown` is when they may end.
    #[must_use]
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            shutdown,
            broken: Arc::new(watch::Sender::new(None)),
        }
    }

    /// When the tasks may end.
    #[must_use]
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs a task that looks to its own end, at the shutdown or after it. The handle tells when that was; it never fails.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.spawn_until(name, self.shutdown.clone(), task)
    }

    /// Runs a task that is dropped at the shutdown, wherever it is.
    pub fn spawn_dropped(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let shutdown = self.shutdown.clone();
        self.spawn(name, async move {
            tokio::select! {
                () = task => {}
                () = shutdown.cancelled() => {}
            }
        })
    }

    /// Runs a task that may end whenever its work is done; of such a one only a panic is told.
    pub fn spawn_job(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let any_time = CancellationToken::new();
        any_time.cancel();
        self.spawn_until(name, any_time, task)
    }

    /// Runs a task that may end once `until` is cancelled.
    pub fn spawn_until(
        &self,
        name: &'static str,
        until: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move {
            // What it shared may be half changed: nobody looks at it any more, since the service ends.
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            match ended {
                Ok(()) if until.is_cancelled() => {}
                Ok(()) => this.broke(name, "ended by itself"),
                Err(panic) => this.broke(name, &format!("panicked: {}", message(panic.as_ref()))),
            }
        })
    }

    fn broke(&self, name: &'static str, how: &str) {
        tracing::error!(task = name, how, "a background task broke");
        metrics::counter!(BROKEN, "task" => name).increment(1);
        // The first one is the cause of the others, as a rule.
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert_with(|| format!("its task {name:?} {how}"));
            first
        });
    }

    /// Waits until one of them has broken, and says which and how. Waits for ever while all is well.
    pub async fn broken(&self) -> String {
        let mut broken = self.broken.subscribe();
        match broken.wait_for(Option::is_some).await.map(|broken| broken.clone()) {
            Ok(Some(problem)) => problem,
            // The sender lives as long as this does.
            _ => std::future::pending().await,
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the log has the details".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_end_before_its_time_is_told_and_one_after_it_is_not() {
        let background = Background::new(CancellationToken::new());
        let shutdown = background.shutdown().clone();
        let orderly = background.spawn("orderly", async move { shutdown.cancelled().await });
        background.spawn_dropped("endless", std::future::pending());
        background.spawn_job("a job", async {});
        assert!(timeout(Duration::from_millis(20), background.broken()).await.is_err());
        background
            .spawn("early", async {})
            .await
            .expect("the handle never fails");
        assert_eq!(background.broken().await, "its task \"early\" ended by itself");
        background.shutdown().cancel();
        orderly.await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_with_its_words_and_the_first_one_stays() {
        let background = Background::new(CancellationToken::new());
        let told = background.clone();
        let told = tokio::spawn(async move { told.broken().await });
        let panics = background.spawn("keeper", async { panic!("a number") });
        panics.await.expect("the handle never fails");
        background
            .spawn("another", async {})
            .await
            .expect("the handle never fails");
        assert_eq!(told.await.expect("told"), "its task \"keeper\" panicked: a number");
        assert_eq!(background.broken().await, "its task \"keeper\" panicked: a number");
    }
}

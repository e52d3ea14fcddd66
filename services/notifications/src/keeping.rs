//! What is looked at now and then: executions that run for long, and messages that are over and grow old.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{GetExecutionRequest, execution};
use nexus_api::notifications::v1::Rule;
use nexus_mesh::{Clock, Transport};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::objects::{Object, namespace};
use crate::rules::Ready;
use crate::store::{Kind, NewDelivery, Store, StoreError, Watch};

/// The lease of whoever looks.
const LEASE: &str = "keeping";
const LEASE_TIME: i64 = 60_000_000;
/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Looks between two removals of old messages.
const SWEEPS: u32 = 30;
/// Executions of one look.
const WATCHES: u32 = 100;
/// Messages that one statement removes, and statements of one look.
const BATCH: u32 = 500;
const BATCHES: usize = 20;

/// Looks.
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) executions: Transport,
    pub(crate) clock: Clock,
    pub(crate) holder: String,
    pub(crate) retention: Duration,
    /// Comes when there are new messages.
    pub(crate) made: Arc<Notify>,
}

impl Keeper {
    /// Looks until the shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut looks = 0_u32;
        loop {
            tokio::select! {
                () = sleep(EVERY.mul_f64(0.8 + 0.4 * fastrand::f64())) => {}
                () = shutdown.cancelled() => break,
            }
            looks = looks.wrapping_add(1);
            if let Err(error) = self.look(looks % SWEEPS == 1).await {
                tracing::warn!(%error, "long executions and old messages cannot be looked at; it is tried again");
            }
        }
        if let Err(error) = self.store.release(LEASE, &self.holder).await {
            tracing::debug!(%error, "the lease is left to run out");
        }
    }

    async fn look(&self, sweeps: bool) -> Result<(), StoreError> {
        if !self.store.lease(LEASE, &self.holder, LEASE_TIME).await? {
            return Ok(());
        }
        for watch in self.store.due_watches(WATCHES).await? {
            self.end(watch).await?;
        }
        let older = i64::try_from(self.retention.as_micros()).unwrap_or(i64::MAX);
        for _ in 0..BATCHES {
            if !sweeps || older == 0 || self.store.sweep(older, BATCH).await? < u64::from(BATCH) {
                break;
            }
        }
        Ok(())
    }

    /// Tells of an execution that still runs.
    async fn end(&self, watch: Watch) -> Result<(), StoreError> {
        let messages = match self.runs(&watch).await? {
            None => return Ok(()),
            Some(false) => Vec::new(),
            Some(true) => self.messages(&watch).await?,
        };
        if self.store.end_watch(&watch.id, &messages).await? && !messages.is_empty() {
            self.made.notify_one();
        }
        Ok(())
    }

    /// Whether it still runs; nothing when that cannot be found out at present.
    async fn runs(&self, watch: &Watch) -> Result<Option<bool>, StoreError> {
        use execution::State;
        let request = GetExecutionRequest {
            execution: watch.execution.clone(),
            ..GetExecutionRequest::default()
        };
        let request = namespace(&watch.namespace)?.request(request);
        Ok(
            match ExecutionServiceClient::new(self.executions.clone())
                .get_execution(request)
                .await
            {
                Ok(answer) => {
                    let state = answer.into_inner().execution.unwrap_or_default().state();
                    let over = [State::Succeeded, State::Failed, State::Cancelled, State::TimedOut];
                    Some(!over.contains(&state))
                }
                Err(status) if reason_of(&status) == Some(ErrorReason::ExecutionNotFound) => Some(false),
                Err(status) => {
                    tracing::debug!(status = status.message(), "an execution cannot be asked for at present");
                    None
                }
            },
        )
    }

    /// By what the rule is by now; none when it is gone.
    async fn messages(&self, watch: &Watch) -> Result<Vec<NewDelivery>, StoreError> {
        let space = namespace(&watch.namespace)?;
        let Some(kept) = self.store.kept(Kind::Rule, &space, &watch.rule).await? else {
            return Ok(Vec::new());
        };
        match Ready::read(Rule::of(&kept)?) {
            Ok(ready) => Ok(ready.messages(&watch.notice, (self.clock)())),
            Err(error) => {
                tracing::error!(rule = watch.rule, %error, "a rule cannot be used; nobody is told by it");
                Ok(Vec::new())
            }
        }
    }
}

//! Reads the feed of committed events: what follows from a page is written together with the positions, at once or not at
//! all, so that each event has its messages once. One replica reads at a time; if two do, one of them writes nothing.

mod follow;
mod known;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_api::feed::v1::{AcknowledgeFeedRequest, ReadFeedRequest, RegisterReaderRequest, ShardPosition};
use nexus_mesh::{Clock, Transport};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt;

use crate::store::Store;
use known::Known;
use trouble::Trouble;

/// What the reader is called.
const READER: &str = "notifications";
/// The lease of whoever reads, and how long it holds without a word.
const LEASE: &str = "feed";
const LEASE_TIME: i64 = 30_000_000;
/// How long a page is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether there is anything to read for, and whether the lease is free.
const LOOK: Duration = Duration::from_secs(5);
/// Pauses after trouble: the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Largest page that is taken.
const MAX_PAGE: usize = 64 << 20;

/// The way to the feed, and whether it is read.
#[derive(Clone)]
pub(crate) struct Feed {
    store: Arc<dyn Store>,
    client: FeedServiceClient<Transport>,
    /// Comes when there is something to read for.
    begun: Arc<Notify>,
}

impl Feed {
    pub(crate) fn new(store: Arc<dyn Store>, executions: Transport) -> Self {
        Self {
            store,
            client: FeedServiceClient::new(executions).max_decoding_message_size(MAX_PAGE),
            begun: Arc::default(),
        }
    }

    /// Sees to it that what is committed from now on will be read, by this replica or another one.
    pub(crate) async fn ensure(&self) -> Result<(), Status> {
        if !self.store.positions().await.map_err(crate::error::storage)?.is_empty() {
            return Ok(());
        }
        self.register().await.map_err(|trouble| match trouble {
            Trouble::Store(error) => crate::error::storage(error),
            Trouble::Call(status) => status,
        })?;
        self.begun.notify_one();
        Ok(())
    }

    /// Registers, and begins where nothing was read so far.
    async fn register(&self) -> Result<(), Trouble> {
        let request = RegisterReaderRequest {
            reader: READER.to_owned(),
            ..RegisterReaderRequest::default()
        };
        let reader = self
            .client
            .clone()
            .register_reader(request)
            .await?
            .into_inner()
            .reader
            .unwrap_or_default();
        let positions: Vec<(u32, u64)> = reader.acknowledged.iter().map(|at| (at.shard, at.position)).collect();
        Ok(self.store.begin(&positions).await?)
    }
}

/// Reads.
pub(crate) struct Reader {
    pub(crate) feed: Feed,
    pub(crate) definitions: Transport,
    pub(crate) clock: Clock,
    pub(crate) holder: String,
    pub(crate) public_url: Option<String>,
    /// Comes when there are new messages.
    pub(crate) made: Arc<Notify>,
}

impl Reader {
    /// Reads until the shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut known = Known::new(self.feed.store.clone(), self.definitions.clone());
        let mut pause = FIRST_PAUSE;
        let mut registered = false;
        while !shutdown.is_cancelled() {
            let turn = tokio::select! {
                turn = self.turn(&mut known, &mut registered) => turn,
                () = shutdown.cancelled() => break,
            };
            let wait = match turn {
                Ok(true) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Ok(false) => LOOK,
                Err(trouble) => {
                    tracing::warn!(%trouble, "the feed cannot be read at present; it is read on from where it stands");
                    let wait = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.feed.begun.notified() => {}
                () = shutdown.cancelled() => break,
            }
        }
        // Another replica need not wait until it runs out.
        if let Err(error) = self.feed.store.release(LEASE, &self.holder).await {
            tracing::debug!(%error, "the lease of the feed is left to run out");
        }
    }

    /// Reads one page, if it is this replica's turn and there is something to read for.
    async fn turn(&self, known: &mut Known, registered: &mut bool) -> Result<bool, Trouble> {
        let store = &self.feed.store;
        let positions = store.positions().await?;
        if positions.is_empty() || !store.lease(LEASE, &self.holder, LEASE_TIME).await? {
            *registered = false;
            return Ok(false);
        }
        if !*registered {
            self.feed.register().await?;
            *registered = true;
        }
        let request = ReadFeedRequest {
            reader: READER.to_owned(),
            after: positions
                .iter()
                .map(|(shard, position)| place(*shard, *position))
                .collect(),
            page_size: 0,
            wait: Some(nexus_api::time::duration(
                i64::try_from(WAIT.as_micros()).unwrap_or_default(),
            )),
        };
        let page = match self.feed.client.clone().read_feed(request).await {
            Ok(page) => page.into_inner(),
            Err(status) => return self.recover(status, registered).await,
        };
        crate::metrics::lag(page.entries.first(), (self.clock)());
        if page.entries.is_empty() {
            return Ok(true);
        }
        // After the page: whoever was answered before something was committed is heard.
        known.refresh().await?;
        let record = follow::follow(
            &page.entries,
            &positions,
            known,
            self.public_url.as_deref(),
            (self.clock)(),
        )
        .await?;
        if !store.record(&record).await? {
            tracing::debug!("another replica has read this page of the feed");
            return Ok(true);
        }
        if !record.deliveries.is_empty() {
            self.made.notify_one();
        }
        let request = AcknowledgeFeedRequest {
            reader: READER.to_owned(),
            positions: record
                .positions
                .iter()
                .map(|(shard, _, next)| place(*shard, *next))
                .collect(),
        };
        if let Err(status) = self.feed.client.clone().acknowledge_feed(request).await {
            // What is read is stored; the next one says it too.
            tracing::debug!(status = status.message(), "the feed was not told what is read");
        }
        Ok(true)
    }

    /// Goes on after what the feed says of itself.
    async fn recover(&self, status: Status, registered: &mut bool) -> Result<bool, Trouble> {
        let facts = status
            .get_details_error_info()
            .map(|info| info.metadata)
            .unwrap_or_default();
        let number = |key: &str| facts.get(key).and_then(|text| text.parse::<u64>().ok());
        let shard = number("shard").and_then(|shard| u32::try_from(shard).ok());
        match (reason_of(&status), shard) {
            (Some(ErrorReason::ReaderNotFound), _) => {
                *registered = false;
                self.feed.register().await?;
                Ok(true)
            }
            (Some(ErrorReason::FeedEntriesLost), Some(shard)) => {
                let Some(after) = number("resume_after") else {
                    return Err(status.into());
                };
                tracing::error!(
                    shard,
                    after,
                    "events were removed before they were read, since nobody read for execution.feed_retention: nobody is \
                     told of them"
                );
                self.feed.store.jump(shard, after).await?;
                Ok(true)
            }
            (Some(ErrorReason::FeedPositionAhead), Some(shard)) => {
                let Some(end) = number("end") else {
                    return Err(status.into());
                };
                tracing::warn!(
                    shard,
                    end,
                    "the database of the executions has gone back in time; it is read on from there"
                );
                self.feed.store.jump(shard, end).await?;
                Ok(true)
            }
            _ => Err(status.into()),
        }
    }
}

fn place(shard: u32, position: u64) -> ShardPosition {
    ShardPosition { shard, position }
}

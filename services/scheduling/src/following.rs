//! How the service hears that executions end: one replica reads the feed of committed events for all of them. What is not
//! heard (the feed has a bound) is asked for, after a while.

use std::time::Duration;

use futures::StreamExt;
use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::feed::v1 as api;
use nexus_schedule::SECOND;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Context;
use crate::executions::{LABEL_FIRE, ended};
use crate::record::{News, What, record};
use crate::store::{FireKey, Reading, Start, StoreError};

/// The name of the reader.
const READER: &str = "scheduling";
/// For how long one replica reads, and how long others wait before they look whether it still does.
const LEASE: i64 = 20 * SECOND;
const OTHERS: Duration = Duration::from_secs(8);
/// How long a read waits for events, and how long it may take in all.
const WAIT: i64 = 8;
const CALL: Duration = Duration::from_secs(15);
const AFTER_ERROR: Duration = Duration::from_secs(2);
/// Executions that are asked after at a time; how often; and when they are asked after again.
const ASKED: u32 = 200;
const ASKS: Duration = Duration::from_secs(15);
const AGAIN: i64 = 60 * SECOND;
const CALLS: usize = 16;

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{}", .0.message())]
    Feed(Box<Status>),
    #[error("the feed gave no answer in time")]
    Late,
}

impl From<Status> for FollowError {
    fn from(status: Status) -> Self {
        Self::Feed(Box::new(status))
    }
}

/// Follows until the shutdown.
pub(crate) async fn run(context: Context, shutdown: CancellationToken) {
    let holder = uuid::Uuid::new_v4().to_string();
    loop {
        let wait = match page(&context, &holder).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => OTHERS,
            Err(error) => {
                tracing::debug!(%error, "the feed could not be read; trying again");
                AFTER_ERROR.mul_f64(0.5 + fastrand::f64())
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = context.wake.following.notified() => {}
            () = shutdown.cancelled() => return,
        }
        if shutdown.is_cancelled() {
            return;
        }
    }
}

/// Reads a page, if it is this replica's turn.
async fn page(context: &Context, holder: &str) -> Result<bool, FollowError> {
    let Some(mut reading) = context.store.take_reading(holder, LEASE).await? else {
        return Ok(false);
    };
    let mut feed = context.executions.feed();
    if reading.positions.is_empty() {
        // A reader makes every commit dearer. What is started before this one is known is asked after.
        if !context.store.has_schedules().await? {
            return Ok(false);
        }
        let request = api::RegisterReaderRequest {
            reader: READER.to_owned(),
            ..api::RegisterReaderRequest::default()
        };
        let answer = in_time(feed.register_reader(request)).await?.into_inner();
        let acknowledged = answer.reader.unwrap_or_default().acknowledged;
        reading.positions = acknowledged.iter().map(|place| (place.shard, place.position)).collect();
        record(&*context.store, &[], Some(&reading)).await?;
    }
    let request = api::ReadFeedRequest {
        reader: READER.to_owned(),
        after: places(&reading),
        page_size: 500,
        wait: Some(prost_types::Duration {
            seconds: WAIT,
            nanos: 0,
        }),
    };
    let answer = match in_time(feed.read_feed(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(FollowError::Feed(status)) => return begin_anew(context, reading, *status).await,
        Err(error) => return Err(error),
    };
    if answer.entries.is_empty() {
        return Ok(true);
    }
    let news: Vec<News> = answer.entries.iter().filter_map(heard).collect();
    for entry in &answer.entries {
        let place = reading.positions.iter_mut().find(|(shard, _)| *shard == entry.shard);
        if let Some((_, position)) = place {
            *position = entry.position.max(*position);
        }
    }
    if record(&*context.store, &news, Some(&reading)).await? {
        context.wake.starting.notify_one();
        context.wake.firing.notify_one();
    }
    let request = api::AcknowledgeFeedRequest {
        reader: READER.to_owned(),
        positions: places(&reading),
    };
    in_time(feed.acknowledge_feed(request)).await?;
    Ok(true)
}

/// Where the feed is not any more what it was, what was missed is asked for instead.
async fn begin_anew(context: &Context, mut reading: Reading, status: Status) -> Result<bool, FollowError> {
    let gone = [
        ErrorReason::ReaderNotFound,
        ErrorReason::FeedEntriesLost,
        ErrorReason::FeedPositionAhead,
    ];
    let reason = reason_of(&status);
    if !reason.is_some_and(|reason| gone.contains(&reason)) {
        return Err(status.into());
    }
    tracing::warn!(
        error = status.message(),
        "events were missed; executions that run are asked after instead"
    );
    let request = api::DeleteReaderRequest {
        reader: READER.to_owned(),
    };
    in_time(context.executions.feed().delete_reader(request)).await?;
    reading.positions.clear();
    record(&*context.store, &[], Some(&reading)).await?;
    Ok(true)
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, FollowError> {
    Ok(timeout(CALL, call).await.map_err(|_| FollowError::Late)??)
}

fn places(reading: &Reading) -> Vec<api::ShardPosition> {
    let place = |(shard, position): &(u32, u64)| api::ShardPosition {
        shard: *shard,
        position: *position,
    };
    reading.positions.iter().map(place).collect()
}

/// What an entry says of a fire.
fn heard(entry: &api::FeedEntry) -> Option<News> {
    let execution = entry.execution.as_ref()?;
    let key = FireKey::read(execution.labels.get(LABEL_FIRE)?)?;
    let what = What::Ended {
        execution: execution.id.clone(),
        state: ended(execution)?.to_owned(),
    };
    Some(News { key, what })
}

/// Asks after executions that have run for a while, until the shutdown.
pub(crate) async fn ask(context: Context, shutdown: CancellationToken) {
    loop {
        match ask_once(&context).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "executions could not be asked after; trying again"),
        }
        tokio::select! {
            () = sleep(ASKS.mul_f64(0.8 + 0.4 * fastrand::f64())) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn ask_once(context: &Context) -> Result<(), StoreError> {
    let unseen = context.store.claim_unseen(ASKED, AGAIN).await?;
    let asked = futures::stream::iter(unseen).map(|start| async move {
        let Start { fire, schedule } = start;
        let namespace = schedule.map(|schedule| schedule.space()).unwrap_or_default();
        let what = context.executions.ask(&namespace, &fire.execution).await.ok()??;
        Some(News { key: fire.key, what })
    });
    let news: Vec<Option<News>> = asked.buffer_unordered(CALLS).collect().await;
    let news: Vec<News> = news.into_iter().flatten().collect();
    if !news.is_empty() && record(&*context.store, &news, None).await? {
        context.wake.starting.notify_one();
        context.wake.firing.notify_one();
    }
    Ok(())
}

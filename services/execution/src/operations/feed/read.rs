//! Gives what stands in the feed after some positions, and waits for it.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::feed::v1::{FeedEntry, ReadFeedRequest, ReadFeedResponse};
use nexus_api::time::duration_micros;
use nexus_engine::Event;
use nexus_execution_owner::OwnerError;
use nexus_execution_store::feed::{Entry, Page, Position, Refused, cut, judge};
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use super::{ahead, find, name, positions, unknown};
use crate::error::status;
use crate::{Context, convert, metrics};

const ENTRIES: u32 = 500;
const MOST_ENTRIES: u32 = 1_000;
/// Events of an answer, and bytes: it ends with the entry that reaches one of them.
const MOST_EVENTS: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;

const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After a wake-up, so that under load a reader takes many commits at a time instead of asking after each.
const GATHER: Duration = Duration::from_millis(20);
/// Where shards have other owners too, it is looked this often without a wake-up: one may be missed while a replica comes or
/// goes.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) async fn read(context: &Context, request: ReadFeedRequest) -> Result<ReadFeedResponse, Status> {
    let name = name(&request.reader)?;
    let size = size(request.page_size)?;
    let deadline = Instant::now() + wait(&request)?;
    let mut after = positions("after", &request.after)?;
    if after.is_empty() {
        after = find(context, name).await?.acknowledged;
    }
    let share = size.div_ceil(u32::try_from(after.len()).unwrap_or(u32::MAX));
    // Listening begins before looking, so nothing can come unseen in between.
    let mut changes = (deadline > Instant::now()).then(|| context.events.everything());
    loop {
        if let Some(changes) = &mut changes {
            changes.borrow_and_update();
        }
        let page = context.feed.read(name, &after, share).await.map_err(status)?;
        judge(&page, &after).map_err(|refused| told(name, refused))?;
        if !page.entries.is_empty() {
            let answer = answer(context, page, &after, size).await?;
            metrics::feed_read(name, answer.entries.len());
            return Ok(answer);
        }
        match &mut changes {
            Some(changes) if Instant::now() < deadline => more(context, changes, deadline).await?,
            _ => return Ok(ReadFeedResponse::default()),
        }
    }
}

/// Waits until it is worth to look again.
async fn more(context: &Context, changes: &mut watch::Receiver<u64>, deadline: Instant) -> Result<(), Status> {
    let look = async {
        match &context.nudge {
            Some(_) => sleep(LOOK).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        changed = changes.changed() => {
            // Whoever tells of changes lives as long as the service.
            if changed.is_err() {
                return Err(status(OwnerError::ShuttingDown));
            }
            sleep_until(deadline.min(Instant::now() + GATHER)).await;
        }
        () = look => {}
        () = sleep_until(deadline) => {}
        () = context.leaving.cancelled() => return Err(status(OwnerError::ShuttingDown)),
    }
    Ok(())
}

fn size(wished: i32) -> Result<u32, Status> {
    match u32::try_from(wished) {
        Ok(0) => Ok(ENTRIES),
        Ok(wished) => Ok(wished.min(MOST_ENTRIES)),
        Err(_) => Err(ApiError::field("page_size", "must not be negative").into()),
    }
}

fn wait(request: &ReadFeedRequest) -> Result<Duration, Status> {
    let wished = request.wait.as_ref().map_or(0, duration_micros);
    match u64::try_from(wished) {
        Ok(micros) => Ok(Duration::from_micros(micros).min(LONGEST_WAIT)),
        Err(_) => Err(ApiError::field("wait", "must not be negative").into()),
    }
}

fn told(name: &str, refused: Refused) -> Status {
    match refused {
        Refused::Unknown => unknown(name),
        Refused::Ahead(position, extent) => ahead(Some(position), extent),
        Refused::Lost(position, extent) => {
            let message = format!(
                "reader {name} has missed what stood in shard {} after position {} and up to {}: it grew too old before \
                 it was acknowledged; note that, and read on after {}",
                extent.shard, position.number, extent.removed, extent.removed
            );
            ApiError::new(ErrorReason::FeedEntriesLost, message)
                .with("reader", name)
                .with("shard", extent.shard.to_string())
                .with("resume_after", extent.removed.to_string())
                .into()
        }
    }
}

/// As much of a page as fits into an answer.
async fn answer(context: &Context, page: Page, after: &[Position], size: u32) -> Result<ReadFeedResponse, Status> {
    let Page { extents, entries, .. } = page;
    let entries = cut(entries, size as usize, MOST_EVENTS);
    let events = context.feed.events(&entries).await.map_err(status)?;
    let mut told = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for (entry, events) in entries.iter().zip(events) {
        let entry = shown(context, entry, &events).await?;
        bytes += entry.encoded_len();
        told.push(entry);
        if bytes >= MOST_BYTES {
            break;
        }
    }
    let reached = |shard: u16| {
        let last = told.iter().rev().find(|entry| entry.shard == u32::from(shard));
        let asked = after.iter().find(|position| position.shard == shard);
        let asked = asked.map_or(0, |position| position.number);
        last.map_or(asked, |entry| entry.position)
    };
    let more = extents.iter().any(|extent| reached(extent.shard) < extent.end);
    Ok(ReadFeedResponse { entries: told, more })
}

async fn shown(context: &Context, entry: &Entry, events: &[Event]) -> Result<FeedEntry, Status> {
    let mut shown = FeedEntry {
        shard: u32::from(entry.position.shard),
        position: entry.position.number,
        first_event: entry.first,
        last_event: entry.last,
        ..FeedEntry::default()
    };
    // It may also be removed between the looks at the entry and at its events.
    match entry.row.as_ref().filter(|_| events.len() == entry.events()) {
        Some(row) => {
            let loaded = context
                .plans
                .revision(&row.namespace, &row.workflow, row.revision)
                .await?;
            shown.events = events.iter().map(|event| convert::event(&loaded.plan, event)).collect();
            shown.execution = Some(convert::execution(row));
        }
        None => {
            shown.gone = true;
            shown.execution = Some(nexus_api::execution::v1::Execution {
                id: entry.execution.to_string(),
                ..Default::default()
            });
        }
    }
    Ok(shown)
}

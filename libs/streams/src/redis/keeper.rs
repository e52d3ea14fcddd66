//! What goes on in the background: settling, offering anew what found no taker, looking whether Redis is back, and
//! whether its data is still the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::link::{Trouble, trouble};
use super::local::entry;
use super::metrics;
use super::scripts::{GIVE_BACK, GROUP, SETTLE, encode};
use crate::{Delivered, Lane, Receipt};

/// Receipts that wait to be sent at most.
const MAX_RECEIPTS: usize = 100_000;
/// Entries of one script at most.
pub(super) const CHUNK: usize = 500;
/// Receipts that come within this are sent together.
const GATHER: Duration = Duration::from_millis(5);
/// What has found no taker for so long is offered to other processes.
const STALE: Duration = Duration::from_millis(300);
/// Between two looks for what found no taker.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Between two looks at the data's generation while entries come and go, and otherwise.
const LOOK_BUSY: Duration = Duration::from_secs(1);
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// Entries come and go when some were published within this.
const BUSY: Duration = Duration::from_secs(10);
/// Between two looks whether Redis is back.
const PROBE_FIRST: Duration = Duration::from_millis(50);
const PROBE_LONGEST: Duration = Duration::from_secs(1);
/// A Redis that was there for less goes on being looked at rarely: it may take a probe and nothing else.
const STEADY: Duration = Duration::from_secs(5);

/// Receipts on their way.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: Mutex<Vec<Delivered>>,
    came: Notify,
}

impl Receipts {
    pub(super) fn add(&self, receipts: Vec<Receipt>) {
        let mut waiting = self.waiting.lock();
        let room = MAX_RECEIPTS.saturating_sub(waiting.len());
        waiting.extend(receipts.into_iter().filter_map(|receipt| receipt.0).take(room));
        if !waiting.is_empty() {
            self.came.notify_one();
        }
    }

    fn drain(&self, max: usize) -> Vec<Delivered> {
        let mut waiting = self.waiting.lock();
        let some = waiting.len().min(max);
        waiting.drain(..some).collect()
    }
}

/// Starts everything that goes on in the background; it ends with the shutdown.
pub(super) fn start(shared: &Arc<Shared>) {
    let background = &shared.background;
    background.spawn_dropped("settling of entries", settle(Arc::clone(shared)));
    background.spawn_dropped("sweeping of entries", sweep(Arc::clone(shared)));
    background.spawn_dropped("probe of Redis", probe(Arc::clone(shared)));
    background.spawn_dropped("look for wiped streams", look(Arc::clone(shared)));
}

async fn settle(shared: Arc<Shared>) {
    loop {
        shared.receipts.came.notified().await;
        tokio::time::sleep(GATHER).await;
        while shared.settle_some().await {}
    }
}

/// Entries in order of their streams.
type Streams = HashMap<(Arc<str>, Lane), Vec<(Box<str>, [u8; 24])>>;

impl Shared {
    /// Settles some of what waits; false when nothing did, or Redis is away: then it is tried again when it is back.
    pub(super) async fn settle_some(&self) -> bool {
        if self.is_away() {
            return false;
        }
        let batch = self.receipts.drain(8 * CHUNK);
        let number = batch.len();
        if batch.is_empty() {
            return false;
        }
        let mut streams = Streams::new();
        for delivered in &batch {
            let stream = streams
                .entry((Arc::clone(&delivered.queue), delivered.lane))
                .or_default();
            stream.push((delivered.id.clone(), encode(&delivered.pointer)));
        }
        if let Err(error) = self.for_each_stream(&SETTLE, streams).await {
            // To settle twice does no harm. What is broken is mended by its reader, and is gone as a rule.
            self.leave_if_away(&error);
            if self.is_away() {
                self.receipts
                    .add(batch.into_iter().map(|delivered| Receipt(Some(delivered))).collect());
            }
            return false;
        }
        metrics::settled(number);
        true
    }

    async fn for_each_stream(&self, script: &::redis::Script, streams: Streams) -> Result<(), ::redis::RedisError> {
        let mut calls = Vec::new();
        for ((queue, lane), entries) in streams {
            for chunk in entries.chunks(CHUNK) {
                let mut call = script.prepare_invoke();
                call.key(self.keys.stream(&queue, lane))
                    .key(self.keys.index(&queue, lane))
                    .arg(GROUP);
                for (id, pointer) in chunk {
                    call.arg(&**id).arg(&pointer[..]);
                }
                calls.push(call);
            }
        }
        let answers = futures::future::try_join_all(calls.iter().map(|call| self.link.invoke::<i64>(call)));
        answers.await.map(drop)
    }

    /// Offers to everybody what has found no taker here; false when there was nothing.
    pub(super) async fn sweep_some(&self, age: Duration) -> bool {
        let aged = self.local.aged(2 * CHUNK, age);
        if aged.is_empty() {
            return false;
        }
        let mut streams = Streams::new();
        let mut only_here = Vec::new();
        for popped in aged {
            match &popped.item.id {
                Some(id) => {
                    let stream = streams.entry((Arc::clone(&popped.queue), popped.lane)).or_default();
                    stream.push((id.clone(), encode(&popped.pointer)));
                }
                None => only_here.push(entry(popped)),
            }
        }
        // What cannot be given back stays with this consumer, and is claimed from it in a few seconds.
        if let Err(error) = self.for_each_stream(&GIVE_BACK, streams).await {
            self.leave_if_away(&error);
        }
        let failed = self.offer(only_here).await;
        if !failed.is_empty() {
            // They fitted before.
            drop(self.local.keep(failed));
            return false;
        }
        true
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        if shared.local.len() == 0 {
            shared.local.filled.notified().await;
        }
        tokio::time::sleep(SWEEP_EVERY).await;
        while !shared.is_away() && shared.sweep_some(STALE).await {}
    }
}

/// Looks whether Redis is back whenever it is away.
async fn probe(shared: Arc<Shared>) {
    let mut away = shared.away.subscribe();
    let mut pause = PROBE_FIRST;
    loop {
        let back_at = Instant::now();
        if away.wait_for(|away| *away).await.is_err() {
            return;
        }
        if back_at.elapsed() > STEADY {
            pause = PROBE_FIRST;
        }
        loop {
            tokio::time::sleep(shared.jittered(pause)).await;
            pause = (pause * 2).min(PROBE_LONGEST);
            // A full or read-only Redis answers to pings; only a write shows that it can be written.
            let mut command = ::redis::cmd("SET");
            command
                .arg(shared.keys.probe())
                .arg(&shared.consumer)
                .arg("PX")
                .arg(10_000);
            let probed = match shared.link.run::<()>(&command).await {
                Ok(()) => shared.observe().await,
                failed => failed,
            };
            match probed {
                Ok(()) => break,
                Err(error) if error.is_timeout() => shared.link.reset(),
                Err(_) => {}
            }
        }
        if let Err(error) = shared.link.check_policy().await {
            tracing::error!(%error, "Redis is back and set up wrongly");
        }
        shared.come_back();
        // Settling has waited for this.
        shared.receipts.came.notify_one();
    }
}

/// Looks from time to time whether Redis still has the data that it had.
async fn look(shared: Arc<Shared>) {
    loop {
        let busy = shared.published_at.lock().is_some_and(|at| at.elapsed() < BUSY);
        tokio::time::sleep(shared.jittered(if busy { LOOK_BUSY } else { LOOK_IDLE })).await;
        if shared.is_away() {
            continue;
        }
        if let Err(error) = shared.observe().await {
            shared.leave(&error);
        }
    }
}

impl Shared {
    /// Reads the data's generation, giving it one where it has none.
    pub(super) async fn observe(&self) -> Result<(), ::redis::RedisError> {
        let fresh = uuid::Uuid::new_v4().simple().to_string();
        let mut command = ::redis::cmd("SET");
        command.arg(self.keys.generation()).arg(&fresh).arg("NX").arg("GET");
        let found: Option<String> = match self.link.run(&command).await {
            Err(error) if trouble(&error) == Trouble::Broken => {
                // Somebody has put something else there. The name is this program's own.
                let delete = ::redis::cmd("DEL").arg(self.keys.generation()).to_owned();
                self.link.run::<i64>(&delete).await?;
                self.link.run(&command).await?
            }
            answer => answer?,
        };
        let now = found.unwrap_or(fresh);
        let before = self.generation.lock().replace(now.clone());
        if before.is_some_and(|before| before != now) {
            self.lose();
        }
        Ok(())
    }

    pub(super) fn note_published(&self) {
        *self.published_at.lock() = Some(Instant::now());
    }
}

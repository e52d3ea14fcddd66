//! The adapter over Redis Streams: replicas offer attempts to each other's workers.
//!
//! ```text
//! nexus:{<namespace>:<queue>}:<high|normal|low>         a stream with one consumer group; an entry is a pointer
//! nexus:{<namespace>:<queue>}:<high|normal|low>:index   hash: pointer → entry, so that none is offered twice
//! nexus:<namespace>:generation                          a random word: another one means that the data was lost
//! ```
//!
//! - **Nothing is promised.** Redis may be wiped, restarted, cut or filled at any moment. The store is the truth, and
//!   [`Dispatch::losses`] tells the owner when to offer everything again.
//! - **Entries go when they are settled**, never by length: a stream that is trimmed loses what waits.
//! - **Nothing is read ahead.** A process reads what its takers would take at this moment. What finds no taker is given
//!   back after 300 ms. What a process has read and not settled for 5 s is claimed by another.
//! - **The way through Redis is skipped** when takers of this process wait: then the queue was empty, so nothing is
//!   overtaken, and the two round trips are most of the latency.
//! - **Redis away is no error.** Entries stay in this process's memory (bounded), takers here are served from it, and
//!   replicas lend each other what they have ([`RedisDispatch::lend`], [`RedisDispatch::wanted`],
//!   [`RedisDispatch::borrow_in`]). When it is back everything goes there, and `losses` grows, because what it had
//!   before may be gone.
//!
//! Commands that block have a connection for each queue; all others share one. Redis 7.0 is needed.

pub mod cache;
mod keeper;
mod link;
mod local;
pub mod lock;
pub mod mark;
mod metrics;
mod reader;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use ::redis::RedisError;
use async_trait::async_trait;
use futures::StreamExt;
use nexus_supervise::Background;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use link::{Link, RedisSetupError, RedisTls};

use self::keeper::{CHUNK, Receipts};
use self::link::{Trouble, trouble};
use self::local::Local;
use self::scripts::{GROUP, Keys, PUBLISH, REPAIR, encode};
use crate::fair::LANES;
use crate::{Dispatch, DispatchError, Entry, Lane, Lend, Receipt, Taken};

/// Scripts that one call has under way at most.
const AT_ONCE: usize = 8;
/// Time for what is done at the end.
const CLOSING: Duration = Duration::from_secs(3);

/// How the adapter is set up.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Address: `redis://:PASSWORD@HOST:6379/0`, or `rediss://` for TLS.
    pub url: String,
    /// Certificates for TLS that are not the public ones.
    pub tls: RedisTls,
    /// Keeps deployments apart that share a Redis.
    pub namespace: String,
    /// Pointers that this process holds at most while Redis is away.
    pub capacity: usize,
    /// Different queues that takers of this process wait for at most; each has a connection.
    pub queues: usize,
}

impl RedisOptions {
    /// The usual set-up for an address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: RedisTls::default(),
            namespace: "default".to_owned(),
            capacity: 1_000_000,
            queues: 256,
        }
    }
}

/// Offers attempts to the workers of all replicas over Redis.
#[derive(Debug)]
pub struct RedisDispatch {
    shared: Arc<Shared>,
}

/// What the readers and the background work with.
#[derive(Debug)]
struct Shared {
    link: Link,
    keys: Keys,
    /// This process's name in the group, never used before.
    consumer: String,
    local: Local,
    receipts: Receipts,
    away: watch::Sender<bool>,
    losses: watch::Sender<u64>,
    generation: Mutex<Option<String>>,
    published_at: Mutex<Option<Instant>>,
    complained_at: Mutex<Option<Instant>>,
    background: Background,
}

impl RedisDispatch {
    /// Starts. A Redis that is away is no error: it is waited for in the background.
    ///
    /// # Errors
    /// When the address or a certificate cannot be read, the credentials are refused, or Redis would throw entries away.
    pub async fn start(options: RedisOptions, shutdown: &CancellationToken) -> Result<Self, RedisSetupError> {
        let link = Link::open_with(&options.url, &options.tls)?;
        link.check_policy().await?;
        let shared = Arc::new(Shared {
            link,
            keys: Keys::new(&options.namespace),
            consumer: uuid::Uuid::new_v4().simple().to_string(),
            local: Local::new(options.capacity, options.queues),
            receipts: Receipts::default(),
            away: watch::Sender::new(false),
            losses: watch::Sender::new(0),
            generation: Mutex::default(),
            published_at: Mutex::default(),
            complained_at: Mutex::default(),
            background: Background::new(shutdown.child_token()),
        });
        metrics::describe();
        metrics::away(false);
        if let Err(error) = shared.observe().await {
            shared.leave(&error);
        }
        keeper::start(&shared);
        Ok(Self { shared })
    }

    /// The connection, for [`lock::Lock`] and [`cache::Cache`].
    #[must_use]
    pub fn link(&self) -> Link {
        self.shared.link.clone()
    }

    /// Waits until something of its background work has broken, and says what.
    pub async fn broken(&self) -> String {
        self.shared.background.broken().await
    }

    /// How many entries lie in this process's memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.local.len()
    }

    /// Stops, after settling what waits to be settled and giving everything in this process's memory to Redis, as far
    /// as a few seconds suffice.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.background.shutdown().cancel();
        let flush = async {
            while shared.settle_some().await {}
            while !shared.is_away() && shared.sweep_some(Duration::ZERO).await {}
        };
        if tokio::time::timeout(CLOSING, flush).await.is_err() {
            tracing::warn!(held = self.held(), "entries could not all be given to Redis in time");
        }
    }
}

impl Drop for RedisDispatch {
    fn drop(&mut self) {
        self.shared.background.shutdown().cancel();
    }
}

impl Lend for RedisDispatch {
    fn away(&self) -> watch::Receiver<bool> {
        self.shared.away.subscribe()
    }

    fn wanted(&self) -> Vec<(String, usize)> {
        self.shared.local.wanted()
    }

    fn lend(&self, queue: &str, max: usize) -> Vec<Entry> {
        self.shared.local.lend(queue, max)
    }

    fn borrow_in(&self, entries: Vec<Entry>) -> Result<(), DispatchError> {
        self.shared.local.keep(entries)
    }
}

#[async_trait]
impl Dispatch for RedisDispatch {
    async fn publish(&self, entries: Vec<Entry>) -> Result<(), DispatchError> {
        let shared = &self.shared;
        let number = entries.len();
        let rest = shared.local.hand_over(entries);
        let failed = if shared.is_away() {
            rest
        } else {
            shared.offer(rest).await
        };
        if !failed.is_empty() {
            shared.local.keep(failed)?;
        }
        metrics::published(number);
        Ok(())
    }

    async fn take(&self, queues: &[String], max: usize, wait: Duration) -> Result<Vec<Taken>, DispatchError> {
        let shared = &self.shared;
        let deadline = Instant::now() + wait;
        let taken = shared.local.pop(queues, max);
        if !taken.is_empty() || max == 0 || wait.is_zero() {
            return Ok(taken);
        }
        // Dropped with this future: then nobody waits any more.
        let _wanting = shared.local.want(queues, max, |(queue, changed)| {
            shared
                .background
                .spawn_job("reader of a queue", reader::run(Arc::clone(shared), queue, changed));
        })?;
        loop {
            // Listening begins before looking, so nothing that arrives in between is missed. Between the look and the
            // answer nothing is waited for, so a future that is dropped has taken nothing.
            let arrived = shared.local.arrival();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let taken = shared.local.pop(queues, max);
            if !taken.is_empty() {
                return Ok(taken);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    fn settle(&self, receipts: Vec<Receipt>) {
        self.shared.receipts.add(receipts);
    }

    fn losses(&self) -> watch::Receiver<u64> {
        self.shared.losses.subscribe()
    }
}

impl Shared {
    fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Redis cannot be used: does without it until it is back.
    fn leave(&self, error: &RedisError) {
        if !self.away.send_replace(true) {
            metrics::away(true);
        }
        self.complain(error);
    }

    fn leave_if_away(&self, error: &RedisError) {
        match trouble(error) {
            Trouble::Away => self.leave(error),
            Trouble::Broken => self.complain(error),
        }
    }

    fn come_back(&self) {
        tracing::info!(held = self.local.len(), redis = self.link.place(), "Redis is back");
        metrics::away(false);
        self.away.send_replace(false);
        // What it had may be gone, also when its data has the same name: a replica that lagged behind has it too.
        self.lose();
    }

    fn lose(&self) {
        metrics::losses(1);
        self.losses.send_modify(|losses| *losses += 1);
    }

    /// At most one line a second: troubles come in swarms.
    fn complain(&self, error: &RedisError) {
        let mut last = self.complained_at.lock();
        if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            *last = Some(Instant::now());
            let error = self.link.told(error);
            tracing::warn!(
                error,
                away = self.is_away(),
                "Redis is in trouble; tasks are dispatched with delay"
            );
        }
    }

    /// Between half and one and a half times as long, so that replicas do not act together.
    fn jittered(&self, time: Duration) -> Duration {
        time.mul_f64(0.5 + fastrand::f64())
    }

    /// Offers entries to everybody, and looks at the data's generation; answers those that could not be offered.
    async fn offer(&self, entries: Vec<Entry>) -> Vec<Entry> {
        if entries.is_empty() {
            return entries;
        }
        self.note_published();
        let (failed, observed) = tokio::join!(self.offer_once(entries), self.observe());
        if let Err(error) = observed {
            self.leave(&error);
        }
        let (failed, Some(error)) = failed else {
            return Vec::new();
        };
        if trouble(&error) == Trouble::Away {
            self.leave(&error);
            return failed;
        }
        // What has the wrong type is mended, once.
        self.complain(&error);
        let mut queues: Vec<&str> = failed.iter().map(|entry| entry.queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            if let Err(error) = self.repair(queue).await {
                self.leave(&error);
                return failed;
            }
        }
        self.lose();
        let (failed, error) = self.offer_once(failed).await;
        if let Some(error) = error {
            self.leave(&error);
        }
        failed
    }

    /// One try; answers what failed, and why.
    async fn offer_once(&self, entries: Vec<Entry>) -> (Vec<Entry>, Option<RedisError>) {
        let mut streams: std::collections::HashMap<(String, Lane), Vec<Entry>> = std::collections::HashMap::new();
        for entry in entries {
            streams
                .entry((entry.queue.clone(), entry.lane))
                .or_default()
                .push(entry);
        }
        let mut chunks = Vec::new();
        for ((queue, lane), mut entries) in streams {
            let (stream, index) = (self.keys.stream(&queue, lane), self.keys.index(&queue, lane));
            while !entries.is_empty() {
                let rest = entries.split_off(entries.len().min(CHUNK));
                chunks.push((stream.clone(), index.clone(), entries));
                entries = rest;
            }
        }
        let offering = chunks.into_iter().map(|(stream, index, entries)| async move {
            let mut call = PUBLISH.prepare_invoke();
            call.key(stream).key(index);
            for entry in &entries {
                call.arg(&encode(&entry.pointer)[..]);
            }
            let answer = self.link.invoke::<i64>(&call).await;
            (entries, answer)
        });
        let mut offering = futures::stream::iter(offering).buffered(AT_ONCE);
        let (mut failed, mut why) = (Vec::new(), None);
        while let Some((entries, answer)) = offering.next().await {
            if let Err(error) = answer {
                failed.extend(entries);
                // That Redis is away is more important than that something in it is broken.
                if why.as_ref().is_none_or(|why| trouble(why) == Trouble::Broken) {
                    why = Some(error);
                }
            }
        }
        (failed, why)
    }

    /// Makes a queue's keys be what they should.
    async fn repair(&self, queue: &str) -> Result<(), RedisError> {
        let mut call = REPAIR.prepare_invoke();
        for lane in LANES {
            call.key(self.keys.stream(queue, lane))
                .key(self.keys.index(queue, lane));
        }
        call.arg(GROUP);
        self.link.invoke::<i64>(&call).await.map(drop)
    }
}

//! Reads one queue while takers of this process wait for it.
//!
//! Nothing is read ahead of what takers would take: what one process holds, the others' workers cannot have. A reader
//! looks at all lanes in their turns first, and when they are empty waits for whichever gets an entry, on a connection
//! of its own, because a wait would hold up everybody else's commands.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamReadReply;
use ::redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::link::{DEADLINE, Trouble, count, trouble, within};
use super::metrics;
use super::scripts::{CLAIM, GROUP, READ, Row, TIDY, delivered};
use crate::Delivered;
use crate::fair::{LANES, TURNS};

/// Entries read at once at most.
const BATCH: usize = 256;
/// How long Redis lets a reader wait for an entry.
const BLOCK: Duration = Duration::from_secs(2);
/// A wait that nobody wants any more is ended after this; takers often come back at once.
const LINGER: Duration = Duration::from_millis(50);
/// A reader whose queue nobody has asked for ends.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks for entries that dead readers have left; jittered.
const CLAIM_EVERY: Duration = Duration::from_secs(2);
/// What was read and not settled for so long belongs to a dead reader.
const CLAIM_IDLE: Duration = Duration::from_secs(5);
/// Between two looks for consumers that are gone; jittered.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// A consumer that has done nothing for so long, and has nothing, is gone.
const TIDY_IDLE: Duration = Duration::from_secs(600);
/// Between two tries while Redis is away or broken, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Reads a queue until nobody asks for it any longer.
pub(super) async fn run(shared: Arc<Shared>, queue: Arc<str>, changed: Arc<Notify>) {
    let mut reader = Reader {
        streams: shared.keys.streams(&queue),
        shared: Arc::clone(&shared),
        queue,
        changed,
        connection: None,
        turn: 0,
        known: false,
        quiet: false,
        cursors: std::array::from_fn(|_| "0-0".to_owned()),
        claim_at: Instant::now(),
        tidy_at: Instant::now() + shared.jittered(TIDY_EVERY),
        pause: Duration::ZERO,
    };
    tokio::select! {
        () = reader.read() => {}
        () = shared.background.shutdown().cancelled() => {}
    }
}

struct Reader {
    shared: Arc<Shared>,
    queue: Arc<str>,
    changed: Arc<Notify>,
    streams: [String; 3],
    /// For waits only, with the number that Redis knows it by, where it tells.
    connection: Option<(MultiplexedConnection, Option<i64>)>,
    /// Where the lanes' turns are.
    turn: usize,
    /// The streams and the group were there once: when they are gone, entries are lost.
    known: bool,
    /// The last wait was in vain, so the lanes are empty.
    quiet: bool,
    cursors: [String; 3],
    claim_at: Instant,
    tidy_at: Instant,
    pause: Duration,
}

impl Reader {
    async fn read(&mut self) {
        loop {
            let want = self.shared.local.wants(&self.queue).min(BATCH);
            if want == 0 {
                let woken = tokio::time::timeout(IDLE, self.changed.notified()).await;
                if woken.is_err() && self.shared.local.forget(&self.queue) {
                    return;
                }
                continue;
            }
            let mut away = self.shared.away.subscribe();
            // The sender lives as long as this reader.
            drop(away.wait_for(|away| !away).await);
            match self.fill(want).await {
                Ok(entries) => {
                    self.known = true;
                    self.pause = Duration::ZERO;
                    self.shared.local.arrive(entries);
                }
                Err(error) => self.recover(&error).await,
            }
        }
    }

    /// Reads at least one entry, or waits for a while in vain.
    async fn fill(&mut self, want: usize) -> Result<Vec<Delivered>, RedisError> {
        let now = Instant::now();
        if now >= self.tidy_at {
            self.tidy_at = now + self.shared.jittered(TIDY_EVERY);
            // Whatever is wrong, reading finds out and mends it; tidying can wait.
            if let Err(error) = self.tidy().await {
                tracing::debug!(
                    error = self.shared.link.told(&error),
                    "consumers that are gone were not removed"
                );
            }
        }
        if now >= self.claim_at {
            self.claim_at = now + self.shared.jittered(CLAIM_EVERY);
            let claimed = self.claim(want).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        if !self.quiet {
            let read = self.look(want).await?;
            if !read.is_empty() {
                return Ok(read);
            }
        }
        let read = self.wait(want).await?;
        self.quiet = read.is_empty();
        Ok(read)
    }

    /// Reads what is there, lanes in their turns.
    async fn look(&mut self, want: usize) -> Result<Vec<Delivered>, RedisError> {
        let mut counts = [0_usize; 3];
        for _ in 0..want {
            counts[TURNS[self.turn % TURNS.len()] as usize] += 1;
            self.turn = (self.turn + 1) % TURNS.len();
        }
        let mut script = READ.prepare_invoke();
        for stream in &self.streams {
            script.key(stream);
        }
        script.arg(GROUP).arg(&self.shared.consumer);
        for count in counts {
            script.arg(count);
        }
        let rows: Vec<Row> = self.shared.link.invoke(&script).await?;
        Ok(self.entries(rows))
    }

    /// Waits until a lane has an entry, or nobody wants one any longer, or it was long enough.
    async fn wait(&mut self, want: usize) -> Result<Vec<Delivered>, RedisError> {
        let (mut connection, number) = match &self.connection {
            Some(connected) => connected.clone(),
            None => self.connect().await?,
        };
        let mut command = ::redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.shared.consumer);
        command
            .arg("COUNT")
            .arg(want)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS");
        command.arg(&self.streams).arg(&[">"; 3]);
        count();
        let reading = within(BLOCK + DEADLINE, command.query_async(&mut connection));
        tokio::pin!(reading);
        let shared = Arc::clone(&self.shared);
        let reply: Option<StreamReadReply> = tokio::select! {
            reply = &mut reading => reply?,
            () = unwanted(&shared, &self.queue, &self.changed) => {
                if let Some(number) = number {
                    let unblock = ::redis::cmd("CLIENT").arg("UNBLOCK").arg(number).to_owned();
                    drop(shared.link.run::<Value>(&unblock).await);
                }
                reading.await?
            }
        };
        let mut rows = Vec::new();
        for key in reply.into_iter().flat_map(|reply| reply.keys) {
            let at = self.streams.iter().position(|stream| *stream == key.key);
            for entry in key.ids {
                if let (Some(at), Some(pointer)) = (at, entry.get::<Vec<u8>>("p")) {
                    rows.push((at + 1, entry.id, pointer));
                }
            }
        }
        Ok(self.entries(rows))
    }

    async fn connect(&mut self) -> Result<(MultiplexedConnection, Option<i64>), RedisError> {
        let mut connection = self.shared.link.blocking().await?;
        count();
        let command = ::redis::cmd("CLIENT").arg("ID").to_owned();
        // It may be forbidden to ask; then waits that nobody wants any more run to their end.
        let number = within(DEADLINE, command.query_async(&mut connection)).await.ok();
        Ok(self.connection.insert((connection, number)).clone())
    }

    /// Takes over what dead readers have left.
    async fn claim(&mut self, want: usize) -> Result<Vec<Delivered>, RedisError> {
        let mut script = CLAIM.prepare_invoke();
        for stream in &self.streams {
            script.key(stream);
        }
        script.arg(GROUP).arg(&self.shared.consumer);
        script.arg(CLAIM_IDLE.as_millis() as u64).arg(want);
        for cursor in &self.cursors {
            script.arg(cursor);
        }
        let (cursors, rows): (Vec<String>, Vec<Row>) = self.shared.link.invoke(&script).await?;
        if let Ok(cursors) = cursors.try_into() {
            self.cursors = cursors;
        }
        metrics::claimed(rows.len());
        Ok(self.entries(rows))
    }

    async fn tidy(&self) -> Result<(), RedisError> {
        let mut script = TIDY.prepare_invoke();
        for stream in &self.streams {
            script.key(stream);
        }
        script
            .arg(GROUP)
            .arg(&self.shared.consumer)
            .arg(TIDY_IDLE.as_millis() as u64);
        self.shared.link.invoke::<i64>(&script).await.map(drop)
    }

    fn entries(&self, rows: Vec<Row>) -> Vec<Delivered> {
        debug_assert_eq!(LANES.len(), self.streams.len());
        rows.into_iter().filter_map(|row| delivered(&self.queue, row)).collect()
    }

    /// Does what an error asks for. What breaks over and over is mended more and more rarely.
    async fn recover(&mut self, error: &RedisError) {
        self.quiet = false;
        match trouble(error) {
            Trouble::Broken => {
                if self.known {
                    // Streams, or what the group knew of them, are gone.
                    self.shared.complain(error);
                    self.shared.lose();
                }
                match self.shared.repair(&self.queue).await {
                    Ok(()) => self.known = true,
                    Err(error) => self.shared.leave(&error),
                }
            }
            Trouble::Away => {
                self.connection = None;
                self.shared.leave(error);
            }
        }
        tokio::time::sleep(self.shared.jittered(self.pause)).await;
        self.pause = (self.pause * 2).clamp(Duration::from_millis(10), LONGEST_PAUSE);
    }
}

/// Waits until nobody has wanted entries of a queue for a moment.
async fn unwanted(shared: &Shared, queue: &str, changed: &Notify) {
    loop {
        if shared.local.wants(queue) > 0 {
            changed.notified().await;
            continue;
        }
        tokio::time::sleep(LINGER).await;
        if shared.local.wants(queue) == 0 {
            return;
        }
    }
}

//! What a worker keeps over its sessions: running attempts, and results that are not yet told.

use std::sync::Arc;
use std::time::Duration;

use nexus_supervise::Background;
use nexus_tasks::TaskRunner;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::attempt::Bench;
use crate::link::{Client, Resumption};
use crate::options::Options;
use crate::pool::{Ended as AttemptEnded, Pool, Stop};
use crate::shipper::Shipper;
use crate::slots::Slots;
use crate::vault::Vault;
use crate::{metrics, standing};

/// A heartbeat that comes so much later than the last one tells that the worker was frozen: one is due every 3 s.
pub(crate) const FROZEN: Duration = Duration::from_secs(6);
/// How long the answer is waited for after such a freeze before leases count as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last results may take to be told at the shutdown, after everything was stopped.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// What outlives a session: running attempts and results that are not yet told.
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) client: Client,
    pub(crate) pool: Pool,
    pub(crate) bench: Bench,
    pub(crate) session_name: watch::Sender<String>,
    /// How often it was asked to go on with this session.
    resumptions: u64,
    pub(crate) lease: Duration,
    /// When it last looked after its leases, and until when none is dropped.
    looked: Instant,
    patience: Instant,
    /// An attempt waits for the server's word on its lease.
    pub(crate) ask: Arc<Notify>,
    slots: Slots,
    ended: mpsc::Receiver<AttemptEnded>,
    ended_sender: mpsc::Sender<AttemptEnded>,
}

impl State {
    pub(crate) fn new(options: Options, client: Client, background: &Background) -> Self {
        let (session_name, session_seen) = watch::channel(String::new());
        let (ended_sender, ended) = mpsc::channel(options.slots.max(1) as usize);
        let vault = Vault::new(client.clone(), session_seen.clone(), options.namespace.clone());
        let bench = Bench {
            vault,
            namespace: options.namespace.clone(),
            runner: TaskRunner::new(options.tasks.clone()),
            secrets: Arc::clone(&options.tasks.secrets),
            shipper: Shipper::start(client.clone(), session_seen, background),
        };
        Self {
            pool: Pool::new(options.slots),
            slots: Slots::new(options.slots as usize),
            options,
            client,
            bench,
            session_name,
            resumptions: 0,
            lease: Duration::from_secs(12),
            looked: Instant::now(),
            patience: Instant::now(),
            ask: Arc::default(),
            ended,
            ended_sender,
        }
    }

    /// The session to go on with: the last one, unless it was ended in order. Also an idle worker goes on: a lease may have
    /// been lost on its way, and only what the worker says it has received tells of that.
    pub(crate) fn resumption(&mut self) -> Resumption {
        let session = self.session_name.borrow().clone();
        if session.is_empty() {
            self.resumptions = 0;
            self.pool.begins_anew();
            return Resumption::default();
        }
        self.resumptions += 1;
        Resumption {
            session,
            number: self.resumptions,
            received: self.pool.received(),
        }
    }

    /// Starts an attempt whose lease was surely this worker's at `sure`. Its code begins when that is not too long ago, or
    /// the server has been asked.
    pub(crate) fn start(&mut self, leased: nexus_api::worker::v1::LeasedTask, sure: Instant) {
        let Some((cancel, seen)) = self.pool.take(&leased.token, sure) else {
            if !self.pool.knows(&leased.token) {
                tracing::warn!(task = %leased.task, "more tasks came than were asked for; one is given back");
                self.pool.refuse(&leased.token, "the worker holds too many tasks");
            }
            return;
        };
        let now = Instant::now();
        if now.duration_since(sure) >= self.lease {
            self.pool.keep(&leased.token, now + self.lease);
        }
        let (bench, slots, sender) = (self.bench.clone(), self.slots.clone(), self.ended_sender.clone());
        let token = leased.token.clone();
        let gate = standing::gate(seen, self.lease, Arc::clone(&self.ask));
        let work = tokio::spawn(async move {
            let slot = slots.take(&cancel).await;
            match slot {
                Some(_slot) => AttemptEnded::Report(bench.run(leased, cancel, gate).await),
                None => AttemptEnded::NotStarted { token: leased.token },
            }
        });
        tokio::spawn(async move {
            let ended = work.await.unwrap_or_else(|error| {
                tracing::error!(error = %error, "an attempt's runner failed");
                let failure = nexus_tasks::Failure::broken("a part of the worker panicked");
                AttemptEnded::Report(crate::convert::report(&token, nexus_tasks::Outcome::Failed(failure)))
            });
            // Nobody listens only when the worker is gone.
            let _gone = sender.send(ended).await;
        });
        self.measure();
    }

    /// Tells the figures of the slots.
    pub(crate) fn measure(&self) {
        metrics::slots(self.options.slots, self.slots.used());
    }

    /// The next attempt that ends.
    pub(crate) async fn next_ended(&mut self) -> AttemptEnded {
        match self.ended.recv().await {
            Some(ended) => ended,
            // The state holds a sender itself, so the channel never closes.
            None => std::future::pending().await,
        }
    }

    /// Notes the end of an attempt, and of others that have ended meanwhile: their reports go out together.
    pub(crate) fn note_ended(&mut self, ended: AttemptEnded) {
        let now = Instant::now();
        self.pool.ended(ended, now);
        while let Ok(another) = self.ended.try_recv() {
            self.pool.ended(another, now);
        }
        self.measure();
    }

    /// Notes that the worker looks after its leases, and whether it was frozen since it last did: it may have lost them or
    /// not, and none is dropped before there was time to ask, whatever it was doing when it was frozen.
    pub(crate) fn look(&mut self, now: Instant) {
        if now.duration_since(std::mem::replace(&mut self.looked, now)) > FROZEN {
            self.patience = now + PATIENCE;
        }
    }

    /// Stops the attempts whose lease has run out.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        self.look(now);
        if now < self.patience {
            return;
        }
        for _ in 0..self.pool.expire(self.lease, now) {
            tracing::warn!("a lease could not be extended; its attempt is stopped");
            metrics::expired();
        }
    }

    /// Waits before the next connection, while attempts go on as long as their leases may.
    pub(crate) async fn wait(&mut self, delay: Duration, shutdown: &CancellationToken) {
        let until = Instant::now() + delay;
        loop {
            let look = until.min(Instant::now() + Duration::from_millis(250));
            tokio::select! {
                () = sleep_until(look) => {}
                () = shutdown.cancelled() => return,
                ended = self.next_ended() => self.note_ended(ended),
            }
            self.expire();
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// The shutdown without a server: there is nobody to give anything back to, so everything is stopped.
    pub(crate) async fn abandon(&mut self) {
        self.pool.stop_all(Stop::Lost);
        let limit = self.options.tasks.kill_grace + FAREWELL;
        let all = async {
            while self.pool.busy() > 0 {
                let ended = self.next_ended().await;
                self.note_ended(ended);
            }
        };
        if timeout(limit, all).await.is_err() {
            tracing::warn!("some attempts did not stop in time");
        }
        // One turn for the runtime to reap what was killed.
        sleep(Duration::from_millis(1)).await;
    }
}

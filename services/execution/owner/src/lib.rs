//! The owner of the shards: the one place where executions change.
//!
//! The [`core`] keeps the live executions in memory, lets the engine decide, and gathers what was decided. While one
//! commit is in flight the next batch gathers; when the commit is done its effects are released and the next one begins.
//! So a lone step pays one commit, and under load one commit carries many steps, without any timer. The core does no
//! I/O: the [`actor`] is the loop that runs it in a process, and the simulation runs it under virtual time.

mod actor;
mod admission;
mod aside;
mod backlog;
pub mod balance;
mod base;
mod broken;
pub mod commit;
mod commits;
pub mod control;
pub mod core;
mod executions;
mod keys;
mod leases;
mod live;
mod load;
mod messages;
pub mod metrics;
pub mod notify;
mod outputs;
mod page;
pub mod plans;
mod reconcile;
pub mod seats;
mod sessions;
pub mod shards;
mod silences;
mod timers;
pub mod trouble;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use base::Now;
use control::{Control, Stays};
use nexus_execution_store::{ExecutionId, Fence, Ids, Journal, LeaseToken, Note, SessionId};
use nexus_mesh::Clock;
use nexus_streams::{Dispatch, Pointer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use seats::Workers;
use trouble::Troubles;

pub use admission::Limits;
pub use core::MAX_LOG;
pub use core::Recovered;
pub use leases::LEASE;
pub use messages::Message;
pub use messages::{
    Acceptance, Begun, Cacheable, Granted, Grants, NewExecution, OwnerError, Received, Reported, SessionRef, Started,
    Subject, TokenSubject, Verdict,
};

use nexus_supervise::Background;

use crate::notify::Notifier;
use crate::plans::Plans;

/// Commands that may wait for the loop; one more is refused with RESOURCE_EXHAUSTED.
const INBOX: usize = 8_192;

/// What the membership may ask for before the loop has obeyed.
const CONTROLS: usize = 64;

/// The loop's name among the tasks in the background.
const LOOP: &str = "the owner's loop";

/// What the owner works with.
#[derive(Clone)]
pub struct Dependencies {
    pub journal: Arc<dyn Journal>,
    pub dispatch: Arc<dyn Dispatch>,
    pub plans: Arc<dyn Plans>,
    pub workers: Arc<dyn Workers>,
    pub events: Notifier,
    pub clock: Clock,
    pub steady: Clock,
    pub ids: Ids,
    pub limits: Limits,
    pub background: Background,
}

impl Dependencies {
    fn now(&self) -> Now {
        Now {
            wall: (self.clock)(),
            steady: (self.steady)(),
        }
    }
}

/// A handle to the owner's loop.
#[derive(Debug, Clone)]
pub struct Owner {
    inbox: mpsc::Sender<Message>,
    stays: Stays,
    troubles: Troubles,
    shutdown: CancellationToken,
}

/// What the membership steers the owner by.
pub struct Steering {
    pub control: mpsc::Sender<Control>,
    /// Grows when the replica was shut out.
    pub lost: watch::Receiver<u64>,
}

impl Owner {
    /// Claims every shard, loads what is live, and starts the loop. It ends at the shutdown, after a last commit.
    ///
    /// # Errors
    /// When the store cannot be claimed or read.
    pub async fn start(dependencies: Dependencies) -> Result<(Self, Recovered, JoinHandle<()>), OwnerError> {
        let background = dependencies.background.clone();
        let (owner, ends, _reins) = Self::new(background.shutdown());
        let (actor, recovered) = actor::Actor::recover(dependencies, ends).await?;
        let task = background.spawn(LOOP, actor.run());
        Ok((owner, recovered, task))
    }

    /// Starts a loop that owns what its reins give it, nothing at first.
    pub fn share(dependencies: Dependencies, fence: Fence) -> (Self, Steering, JoinHandle<()>) {
        let background = dependencies.background.clone();
        let (owner, ends, steering) = Self::new(background.shutdown());
        let task = background.spawn(LOOP, actor::Actor::shared(dependencies, fence, ends).run());
        (owner, steering, task)
    }

    fn new(shutdown: &CancellationToken) -> (Self, actor::Ends, Steering) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (controls, control) = mpsc::channel(CONTROLS);
        let (lost, seen) = watch::channel(0);
        let stays = Stays::new(controls.clone());
        let owner = Self {
            inbox: sender,
            stays: stays.clone(),
            troubles: Troubles::default(),
            shutdown: shutdown.clone(),
        };
        let ends = actor::Ends {
            inbox,
            control,
            stays,
            troubles: owner.troubles.clone(),
            lost,
        };
        let steering = Steering {
            control: controls,
            lost: seen,
        };
        (owner, ends, steering)
    }

    /// In which shards calls are answered here.
    pub fn stays(&self) -> &Stays {
        &self.stays
    }

    /// The trouble of writing what was decided.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, OwnerError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.try_send(message(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OwnerError::Overloaded {
                what: "more calls arrive than can be decided at present",
                delay: Duration::from_secs(1),
            },
            mpsc::error::TrySendError::Closed(_) => OwnerError::ShuttingDown,
        })?;
        answer.await.map_err(|_| match self.shutdown.is_cancelled() {
            true => OwnerError::ShuttingDown,
            false => OwnerError::OwnerChanged,
        })
    }

    /// Starts an execution; answered after it is stored.
    pub async fn begin(&self, new: NewExecution) -> Result<Started, OwnerError> {
        self.ask(|reply| Message::Start {
            new: Box::new(new),
            reply,
        })
        .await?
    }

    /// Cancels an execution; answered after that is stored.
    pub async fn cancel(&self, id: ExecutionId, reason: String, note: Option<Note>) -> Result<(), OwnerError> {
        self.ask(|reply| Message::Cancel {
            id,
            reason,
            note,
            reply,
        })
        .await?
    }

    /// Leases attempts to a session; those that are no longer current are left out.
    pub async fn grant(&self, pointers: Vec<Pointer>, session: SessionRef) -> Result<Grants, OwnerError> {
        self.ask(|reply| Message::Grant {
            pointers,
            session,
            reply,
        })
        .await
    }

    /// Records how attempts ended; answered after that is stored.
    pub async fn report(
        &self,
        reports: Vec<(LeaseToken, nexus_engine::Outcome)>,
        session: SessionRef,
        free_slots: u32,
    ) -> Result<Reported, OwnerError> {
        self.ask(|reply| Message::Report {
            reports,
            session,
            free_slots,
            reply,
        })
        .await
    }

    /// Extends leases.
    pub async fn heartbeat(
        &self,
        session: SessionId,
        generation: u64,
        tokens: Vec<LeaseToken>,
    ) -> Result<Vec<Verdict>, OwnerError> {
        self.ask(|reply| Message::Heartbeat {
            session,
            generation,
            tokens,
            reply,
        })
        .await
    }

    /// What some leases are about, whose logs are to grow by so many bytes.
    pub async fn subjects(
        &self,
        session: SessionId,
        tokens: Vec<(LeaseToken, u64)>,
    ) -> Result<Vec<Subject>, OwnerError> {
        self.ask(|reply| Message::Subjects { session, tokens, reply }).await
    }

    /// A session goes on that may have been given up; `received` has reached its worker, if that said so.
    pub async fn session_lives(&self, session: SessionId, generation: u64, received: Option<Received>) {
        let lives = Message::SessionLives {
            session,
            generation,
            received,
        };
        let _ended = self.inbox.send(lives).await;
    }

    /// Gives out again what a session held. Waits for room in the inbox: this must not get lost.
    pub async fn session_closed(&self, session: SessionId, generation: u64, reason: String) {
        let closed = Message::SessionClosed {
            session,
            generation,
            reason,
        };
        // Closed only when the loop has ended, and then there are no leases.
        let _ended = self.inbox.send(closed).await;
    }
}

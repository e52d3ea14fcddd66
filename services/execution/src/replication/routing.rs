//! Who owns a shard at the moment, for calls that have to be decided by its owner.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::{ApiError, reason_of};
use nexus_execution_owner::control::Stays;
use nexus_execution_store::SHARDS;
use nexus_execution_store::membership::View;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Nudge, PATIENCE, Peer, Peers};

/// The first wait before an owner is looked for again, and the longest; it doubles in between.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Where calls for a shard are decided.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Here, in this stay.
    Local(u64),
    /// At another replica.
    Remote(Peer),
}

/// Finds owners.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    stays: Stays,
    owners: Arc<RwLock<Vec<Option<Uuid>>>>,
    /// The name of this replica among them; none without others.
    me: Arc<RwLock<Option<Uuid>>>,
    changed: Arc<watch::Sender<()>>,
    peers: Peers,
    nudge: Option<Nudge>,
}

impl Router {
    /// Over what is answered here and, with a membership, who else there is.
    pub(crate) fn new(stays: Stays, peers: Peers, nudge: Option<Nudge>) -> Self {
        Self {
            stays,
            owners: Arc::default(),
            me: Arc::default(),
            changed: Arc::new(watch::channel(()).0),
            peers,
            nudge,
        }
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The shards whose calls are answered here; empty when all are, or none.
    pub(crate) fn serving(&self) -> Vec<u16> {
        let serving = self.stays.serving();
        if serving.len() == SHARDS as usize {
            Vec::new()
        } else {
            serving
        }
    }

    /// The name of this replica among those that share.
    pub(crate) fn me(&self) -> Option<Uuid> {
        *self.me.read()
    }

    /// The shards that a replica was seen to own.
    pub(crate) fn shards_of(&self, replica: Uuid) -> Vec<u16> {
        let owners = self.owners.read();
        let numbered = (0..SHARDS).zip(owners.iter());
        let its = numbered.filter(|(_, owner)| **owner == Some(replica));
        its.map(|(shard, _)| shard).collect()
    }

    /// Takes over what the membership says.
    pub(super) fn update(&self, me: Uuid, view: View) {
        self.peers.update(me, &view.replicas);
        *self.me.write() = Some(me);
        let mut owners = self.owners.write();
        if *owners != view.owners {
            *owners = view.owners;
            drop(owners);
            self.changed.send_replace(());
        }
    }

    /// Where calls for a shard are decided, if anybody is known to decide them.
    pub(crate) fn place(&self, shard: u16) -> Option<Place> {
        let stay = self.stays.stay(shard);
        if stay > 0 {
            return Some(Place::Local(stay));
        }
        let owner = self.owners.read().get(shard as usize).copied().flatten()?;
        self.peers.get(owner).map(Place::Remote)
    }

    /// What a replica that seemed to own a shard answers, unless the shard turns out to have gone to another one first:
    /// one that is frozen would not answer before its deadline.
    pub(crate) async fn ask<T>(
        &self,
        shard: u16,
        peer: &Peer,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        tokio::select! {
            biased;
            answer = call => answer,
            () = self.moved(shard, peer.owner) => Err(not_owner(shard)),
        }
    }

    /// Waits until somebody else owns a shard.
    async fn moved(&self, shard: u16, from: Uuid) {
        let (mut here, mut there) = (self.stays.changes(), self.changed.subscribe());
        loop {
            match self.place(shard) {
                Some(Place::Remote(peer)) if peer.owner == from => {}
                Some(_) => return,
                None => {}
            }
            // Neither ends as long as this router lives.
            tokio::select! {
                _ = here.changed() => {}
                _ = there.changed() => {}
            }
        }
    }

    /// Begins to look for the owner of a shard.
    pub(crate) fn route(&self, shard: u16) -> Route {
        self.route_for(shard, PATIENCE)
    }

    /// The same with a patience of the caller's own.
    pub(crate) fn route_for(&self, shard: u16, patience: Duration) -> Route {
        Route {
            router: self.clone(),
            shard,
            deadline: Instant::now() + patience,
            wait: None,
        }
    }
}

/// A search for the owner of a shard. Whoever was found and turns out not to be the owner is left behind by asking for
/// the next one.
pub(crate) struct Route {
    router: Router,
    shard: u16,
    deadline: Instant,
    wait: Option<Duration>,
}

impl Route {
    /// Who decides now. The first answer comes at once where one is known; every further one after a wait.
    ///
    /// # Errors
    /// NOT_OWNER when nobody could be found in time: the call may be repeated.
    pub(crate) async fn next(&mut self) -> Result<Place, Status> {
        loop {
            if let Some(wait) = self.wait {
                self.look_again(wait).await?;
            }
            self.wait = Some(self.wait.map_or(FIRST_WAIT, |wait| (wait * 2).min(LONGEST_WAIT)));
            if let Some(place) = self.router.place(self.shard) {
                return Ok(place);
            }
        }
    }

    /// Waits until something has changed, or for a while.
    async fn look_again(&self, wait: Duration) -> Result<(), Status> {
        let Some(nudge) = &self.router.nudge else {
            // The only owner is one that is shutting down, or is loading everything again.
            return Err(not_owner(self.shard));
        };
        if Instant::now() >= self.deadline {
            return Err(not_owner(self.shard));
        }
        nudge.nudge();
        let (mut here, mut there) = (self.router.stays.changes(), self.router.changed.subscribe());
        tokio::select! {
            () = sleep(wait) => {}
            _ = here.changed() => {}
            _ = there.changed() => {}
        }
        Ok(())
    }
}

/// Nobody who owns the shard could be found.
pub(crate) fn not_owner(shard: u16) -> Status {
    let message = format!("shard {shard} has no owner at the moment: replicas come or go; repeat the call");
    ApiError::new(ErrorReason::NotOwner, message)
        .retry_after(Duration::from_secs(1))
        .into()
}

/// Whether an answer means that another replica has to be asked: the asked one does not own the shard, is not there, or
/// does not answer. What was asked for may have been done in the latter cases.
pub(crate) fn is_not_owner(status: &Status) -> bool {
    match reason_of(status) {
        Some(ErrorReason::NotOwner | ErrorReason::ShuttingDown | ErrorReason::DeadlineExceeded) => true,
        Some(_) => false,
        // A status without a reason is the transport's word. INTERNAL is what HTTP/2 says of a connection that broke.
        None => matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        ),
    }
}

//! Sharing the work with other replicas: keeping the membership, knowing who owns what, and reaching the owner.

mod feeds;
mod idle;
mod lending;
mod membership;
mod nudge;
mod own_address;
mod peers;
mod routing;
mod session_words;
mod trust;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use nexus_execution_store::membership::Membership;
use nexus_mesh::Transport;
use nexus_streams::Lend;

pub(crate) use feeds::{Watched, follow};
pub(crate) use idle::Idle;
pub(crate) use lending::{borrow, lend};
pub(crate) use membership::{Keeper, Ways};
pub(crate) use nudge::Nudge;
pub(crate) use own_address::OwnAddress;
pub(crate) use peers::{DIRECTIVES, Peer, Peers, direct, request};
pub(crate) use routing::{Place, Router, is_not_owner, not_owner};

/// A replica that does not renew its membership for this long is taken out, and its shards go to others.
pub(crate) const MEMBERSHIP: Duration = Duration::from_secs(8);
/// A replica that could not renew for this long after it last began to no longer tells workers to go on. Shorter than the
/// membership by more than clocks run apart in that time.
pub(crate) const TRUST: Duration = Duration::from_millis(6_500);
/// How often the membership is renewed.
pub(crate) const RENEWAL: Duration = Duration::from_millis(2_500);
/// How long calls wait for a shard that has no owner at the moment: longer than the shards of an owner that died are
/// without one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Opens a way to another replica.
pub type Connect = Arc<dyn Fn(&str) -> Result<Transport, String> + Send + Sync>;

/// What sharing stands on.
#[derive(Clone)]
pub struct Replication {
    /// Where the shares are kept.
    pub membership: Arc<dyn Membership>,
    /// Where the other replicas reach this one.
    pub address: String,
    /// How this one reaches the others.
    pub connect: Connect,
    /// How the replicas hand tasks to each other while Redis is away.
    pub lending: Arc<dyn Lend>,
    /// How long leaving may take.
    pub drain: Duration,
}

impl std::fmt::Debug for Replication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replication").field("address", &self.address).finish()
    }
}

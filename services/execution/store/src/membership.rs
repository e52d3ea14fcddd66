//! The port through which replicas share the shards: who is there, who owns what, and how that changes. All times are
//! judged by the database's clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Fence, SessionId, StoreError};

/// A replica, as it makes itself known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name, used for one stay.
    pub owner: Uuid,
    /// Where the other replicas reach it.
    pub address: String,
    /// It is about to leave and takes no shards.
    pub draining: bool,
}

/// Who is there and who owns what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The replicas that are there, the asking one among them, by name.
    pub replicas: Vec<Replica>,
    /// The owner of each shard, by number; `None` for those that nobody owns.
    pub owners: Vec<Option<Uuid>>,
    /// When the first of the other replicas is taken out unless it renews; `None` when there are no others.
    pub next_expiry: Option<Duration>,
}

/// How replicas share the shards.
#[async_trait]
pub trait Membership: Send + Sync + std::fmt::Debug {
    /// Which database it is, for people.
    fn place(&self) -> &Arc<str>;

    /// Makes a replica known for as long as `lease`, under a fresh name, and gives the fence that its commits show.
    async fn join(&self, replica: &Replica, lease: Duration) -> Result<Fence, StoreError>;

    /// Makes it known for another `lease`, takes out replicas whose lease is over (their shards are nobody's from then
    /// on, and their commits are refused), and tells who is there.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the replica itself was taken out.
    async fn renew(&self, replica: &Replica, lease: Duration) -> Result<View, StoreError>;

    /// Takes those of some shards that nobody owns, and gives the ones that it got.
    async fn acquire(&self, owner: Uuid, shards: &[u16]) -> Result<Vec<u16>, StoreError>;

    /// Gives shards up.
    async fn release(&self, owner: Uuid, shards: &[u16]) -> Result<(), StoreError>;

    /// Takes the replica itself out; its shards are nobody's from then on.
    async fn leave(&self, owner: Uuid) -> Result<(), StoreError>;

    /// Begins a new generation of a worker's session, which goes on at another replica than before. Grows with each.
    /// `resumption` says which call of the worker this is, 0 when it does not count them; nothing when a later one has
    /// come before.
    async fn resume_session(&self, session: &SessionId, resumption: u64) -> Result<Option<u64>, StoreError>;

    /// The newest generations of those sessions that went on anywhere in the last days.
    async fn session_generations(&self, sessions: &[SessionId]) -> Result<Vec<(SessionId, u64)>, StoreError>;
}

/// A question with a limit, so that a database that hangs does not stop whoever asks.
pub async fn in_time<T>(
    membership: &dyn Membership,
    limit: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::Database(nexus_storage::Error::timed_out().at(membership.place()));
    timeout(limit, question).await.map_err(late).flatten()
}

//! The sessions that are open, and how many there may be: in all, of one address, and unused.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_api::worker::v1::StreamTasksResponse;
use nexus_execution_store::SessionId;
use tokio::sync::mpsc;

/// Sessions that may be open at a time, those of them that are kept free for workers that go on with one, and those that
/// one address may have.
pub(crate) const MAX_SESSIONS: usize = 10_000;
pub(crate) const KEPT_FREE: usize = 1_000;
pub(crate) const OF_ONE_PEER: usize = 5_000;
/// A session that nobody has used for so many microseconds after it was opened never was one. It holds nothing.
pub(crate) const UNUSED: i64 = 15_000_000;

pub(crate) struct Session {
    pub(crate) namespace: Namespace,
    pub(crate) worker: Arc<str>,
    /// By the names that plans have.
    pub(crate) queues: Arc<[String]>,
    pub(crate) request_id: String,
    pub(crate) heard_of: i64,
    pub(crate) stream: Option<mpsc::Sender<StreamTasksResponse>>,
    /// The number of its newest stream.
    pub(crate) newest: u64,
    /// Grows each time it goes on at another replica.
    pub(crate) generation: u64,
    /// Which call of the worker to go on it was, as the worker counts them.
    pub(crate) resumption: u64,
    /// The address that it was opened from; none within the process.
    pub(crate) peer: Option<IpAddr>,
    /// It was asked for since it was opened.
    pub(crate) used: bool,
}

/// The open sessions.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Those that were not used when they were opened, oldest first; some may have been used or closed since.
    pub(crate) unused: VecDeque<SessionId>,
    pub(crate) of_peers: HashMap<IpAddr, usize>,
}

impl Open {
    pub(crate) fn insert(&mut self, id: SessionId, session: Session) {
        self.remove(&id);
        if let Some(peer) = session.peer {
            *self.of_peers.entry(peer).or_default() += 1;
        }
        self.unused.push_back(id.clone());
        self.sessions.insert(id, session);
    }

    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        if let Some(peer) = session.peer
            && let Some(number) = self.of_peers.get_mut(&peer)
        {
            *number -= 1;
            if *number == 0 {
                self.of_peers.remove(&peer);
            }
        }
        Some(session)
    }

    /// Removes the oldest session of an address that was never used. False when there is none.
    pub(crate) fn make_room_of(&mut self, peer: Option<IpAddr>) -> bool {
        let unused = |id: &&SessionId| {
            let session = self.sessions.get(*id);
            session.is_some_and(|session| !session.used && session.peer == peer)
        };
        let Some(id) = self.unused.iter().find(unused).cloned() else {
            return false;
        };
        self.remove(&id).is_some()
    }

    /// Removes the oldest session that was never used, or only those that were opened before a time. False when there is
    /// none.
    pub(crate) fn make_room(&mut self, before: i64) -> bool {
        while let Some(id) = self.unused.front().cloned() {
            let opened = self
                .sessions
                .get(&id)
                .filter(|session| !session.used)
                .map(|session| session.heard_of);
            if opened.is_some_and(|opened| opened >= before) {
                return false;
            }
            self.unused.pop_front();
            if opened.is_some() {
                self.remove(&id);
                return true;
            }
        }
        false
    }
}

/// Why no session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too many are open.
    #[error("{MAX_SESSIONS} workers are registered, which is the most that a replica takes")]
    All,
    /// Too many of one address are open.
    #[error("{OF_ONE_PEER} workers of this address are registered, which is the most that a replica takes of one")]
    Peer,
}

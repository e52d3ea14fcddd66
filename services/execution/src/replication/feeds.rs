//! Wakes those who watch executions of other replicas: each of those tells what changes, as long as somebody here
//! watches anything.

use std::collections::HashMap;
use std::time::Duration;

use nexus_api::shard::v1::{WatchChangesRequest, WatchChangesResponse};
use nexus_execution_owner::notify::{Notifier, Progress};
use nexus_execution_store::ExecutionId;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Peer, Peers};

/// How long opening a feed may take.
const OPENING: Duration = Duration::from_secs(5);
/// How often it is looked whether every replica is listened to.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked whether anybody still watches; a feed ends when that was not so twice in a row.
const IDLE: Duration = Duration::from_secs(5);

/// What is told further.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) events: Notifier,
    pub(crate) logs: Notifier,
}

impl Watched {
    async fn watching(&self) {
        tokio::select! {
            () = self.events.watching() => {}
            () = self.logs.watching() => {}
        }
    }

    fn is_watched(&self) -> bool {
        self.events.is_watched() || self.logs.is_watched()
    }

    fn tell(&self, changes: WatchChangesResponse) {
        if changes.missed {
            self.events.wake_all();
            self.logs.wake_all();
            return;
        }
        let ids = |ids: Vec<Vec<u8>>| {
            let known = ids.into_iter().filter_map(|id| id.try_into().ok());
            known.map(ExecutionId::from_bytes)
        };
        // An older replica does not tell ends apart.
        let over = !changes.tells_ends;
        let told = |over| Progress { sequence: 0, over };
        ids(changes.executions).for_each(|id| self.events.wake(id, told(over)));
        ids(changes.ended).for_each(|id| self.events.wake(id, told(true)));
        ids(changes.logs).for_each(|id| self.logs.wake(id, told(false)));
    }
}

/// Listens to every other replica while somebody watches, until the shutdown.
pub(crate) async fn follow(peers: Peers, watched: Watched, shutdown: CancellationToken) {
    let mut followed: HashMap<Uuid, JoinHandle<()>> = HashMap::new();
    loop {
        tokio::select! {
            () = watched.watching() => {}
            () = shutdown.cancelled() => break,
        }
        followed.retain(|_, task| !task.is_finished());
        for peer in peers.all() {
            let follow = || tokio::spawn(follow_one(peer.clone(), watched.clone()));
            followed.entry(peer.owner).or_insert_with(follow);
        }
        sleep(LOOK).await;
    }
    followed.into_values().for_each(|task| task.abort());
}

/// Listens to one replica until it goes or nobody watches any more.
async fn follow_one(peer: Peer, watched: Watched) {
    let mut client = peer.client();
    let opened = timeout(OPENING, client.watch_changes(WatchChangesRequest {})).await;
    let Ok(Ok(stream)) = opened else {
        tracing::debug!(peer = %peer.address, "a replica tells nothing of its changes");
        return;
    };
    let mut stream = stream.into_inner();
    // What came before the beginning was not told either.
    watched.events.wake_all();
    watched.logs.wake_all();
    let mut look = interval(IDLE);
    let mut idle = 0;
    loop {
        tokio::select! {
            message = stream.message() => match message {
                Ok(Some(changes)) => watched.tell(changes),
                Ok(None) | Err(_) => break,
            },
            _ = look.tick() => {
                idle = if watched.is_watched() { 0 } else { idle + 1 };
                if idle == 2 {
                    return;
                }
            }
        }
    }
    // What came between the end and the next beginning was not told.
    watched.events.wake_all();
    watched.logs.wake_all();
}

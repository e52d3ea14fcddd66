//! The other replicas: who they are, and open ways to them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use nexus_api::shard::v1::shard_service_client::ShardServiceClient;
use nexus_api::shard::v1::{CloseSessionRequest, DirectLeasesRequest, NudgeRequest, SessionDirective};
use nexus_execution_store::membership::Replica;
use nexus_mesh::Transport;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::{Request, Status};
use uuid::Uuid;

use super::Connect;
use super::session_words::SessionWords;
use crate::MAX_REQUEST;

/// A client of another replica.
pub(crate) type Client = ShardServiceClient<Transport>;

/// How long a word to another replica may take that nobody waits for.
const WORD: Duration = Duration::from_secs(2);
/// The longest wait before a word that did not reach a replica is said again, and half of it the shortest. It is said until the
/// replica has heard it or is taken out, which is a matter of seconds.
const AGAIN: Duration = Duration::from_millis(500);
/// Directives that wait to be passed on at most; also those of one message.
pub(crate) const DIRECTIVES: usize = 1_000;

/// Another replica.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) owner: Uuid,
    pub(crate) address: Arc<str>,
    client: Client,
}

impl Peer {
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish()
    }
}

/// The other replicas that are there.
#[derive(Clone)]
pub(crate) struct Peers {
    known: Arc<Mutex<HashMap<Uuid, Peer>>>,
    /// What they are to hear of sessions.
    words: Arc<Mutex<SessionWords>>,
    /// Those that are being told.
    telling: Arc<Mutex<HashSet<Uuid>>>,
    connect: Option<Connect>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.known.lock().values()).finish()
    }
}

impl Peers {
    /// Nobody yet; nobody ever without a way to reach them.
    pub(crate) fn new(connect: Option<Connect>) -> Self {
        Self {
            known: Arc::default(),
            words: Arc::default(),
            telling: Arc::default(),
            connect,
        }
    }

    /// Takes over who is there: new ones are connected when they are first asked, gone ones are forgotten.
    pub(super) fn update(&self, me: Uuid, replicas: &[Replica]) {
        let Some(connect) = &self.connect else { return };
        let mut new = Vec::new();
        let mut known = self.known.lock();
        known.retain(|owner, _| {
            let stays = replicas.iter().any(|replica| replica.owner == *owner);
            if !stays {
                self.words.lock().forget(*owner);
            }
            stays
        });
        for replica in replicas.iter().filter(|replica| replica.owner != me) {
            if known.contains_key(&replica.owner) {
                continue;
            }
            match connect(&replica.address) {
                Ok(transport) => {
                    let client = ShardServiceClient::new(transport)
                        .max_decoding_message_size(MAX_REQUEST)
                        .max_encoding_message_size(MAX_REQUEST);
                    let peer = Peer {
                        owner: replica.owner,
                        address: Arc::from(replica.address.as_str()),
                        client,
                    };
                    known.insert(replica.owner, peer.clone());
                    new.push(peer);
                }
                Err(error) => tracing::error!(address = replica.address, %error, "a replica's address is unusable"),
            }
        }
        drop(known);
        for peer in new {
            self.tell(peer);
        }
    }

    pub(crate) fn get(&self, owner: Uuid) -> Option<Peer> {
        self.known.lock().get(&owner).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Peer> {
        self.known.lock().values().cloned().collect()
    }

    /// Asks the others to look who owns what. Nobody waits for it: they also look by themselves.
    pub(crate) fn nudge(&self) {
        for peer in self.all() {
            tokio::spawn(async move {
                drop(in_time(peer.client().nudge(request(NudgeRequest {}, WORD))).await);
            });
        }
    }

    /// Tells the others that a session is over, or goes on here. Nobody waits for it; whom it does not reach now hears it
    /// as soon as it can be reached.
    pub(crate) fn tell_of_session(&self, word: CloseSessionRequest) {
        if self.connect.is_none() {
            return;
        }
        self.words.lock().add(word, Instant::now());
        for peer in self.all() {
            self.tell(peer);
        }
    }

    /// Tells one replica what it has not heard of sessions, until it has heard everything or is gone. At most one task
    /// does so for each.
    fn tell(&self, peer: Peer) {
        if !self.telling.lock().insert(peer.owner) {
            return;
        }
        let peers = self.clone();
        tokio::spawn(async move {
            loop {
                let owed = peers.words.lock().owed(peer.owner, Instant::now()).cloned();
                let (Some(word), Some(_)) = (owed, peers.get(peer.owner)) else {
                    break;
                };
                let (session, generation) = (word.session.clone(), word.generation);
                match in_time(peer.client().close_session(request(word, WORD))).await {
                    Ok(_) => peers.words.lock().heard(peer.owner, &session, generation),
                    Err(error) => {
                        tracing::warn!(peer = %peer.address, error = %error.message(), "a replica did not hear of a session; it is told again");
                        sleep(AGAIN.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    }
                }
            }
            peers.telling.lock().remove(&peer.owner);
            // Something may have come up after the last look.
            let now = Instant::now();
            if peers.get(peer.owner).is_some() && peers.words.lock().owed(peer.owner, now).is_some() {
                peers.tell(peer);
            }
        });
    }
}

/// Passes directives on to the other replicas, one of which has the session, until the end.
pub(crate) async fn direct(peers: Peers, mut directives: mpsc::Receiver<SessionDirective>) {
    let mut some = Vec::new();
    while directives.recv_many(&mut some, DIRECTIVES).await > 0 {
        let message = DirectLeasesRequest {
            directives: std::mem::take(&mut some),
        };
        let told = peers.all().into_iter().map(|peer| {
            let message = message.clone();
            async move {
                let told = in_time(peer.client().direct_leases(request(message, WORD))).await;
                if let Err(error) = told {
                    // The workers' heartbeats tell them.
                    tracing::debug!(peer = %peer.address, error = %error.message(), "directives were not passed on");
                }
            }
        });
        join_all(told).await;
    }
}

/// A request with a deadline.
pub(crate) fn request<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("no answer in time");
    timeout(WORD, call).await.map_err(late)?
}

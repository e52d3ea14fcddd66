//! Workers that are here: what they take, when they were last heard of, and how to tell them something at once.

mod open;
pub mod speaker;

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nexus_api::shard::v1::SessionDirective;
use nexus_api::worker::v1::{
    Directive, HeartbeatTasksResponse, RegisterWorkerRequest, StreamTasksResponse, directive, stream_tasks_response,
};
use nexus_execution_owner::{LEASE, SessionRef, Verdict};
use nexus_execution_store::{Ids, LeaseToken, SessionId};
use nexus_mesh::Clock;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::speaker::Speaker;

pub use open::Full;
use open::{KEPT_FREE, MAX_SESSIONS, OF_ONE_PEER, Open, Session, UNUSED};

/// Workers are asked to send a heartbeat this often.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// A worker that was not heard of for this many microseconds is gone: as long as its leases are.
const SILENCE: i64 = LEASE;
/// Whoever looks for silent workers so much later than the last time, in microseconds, was frozen meanwhile: workers may
/// have spoken and were not heard.
const FROZEN: i64 = 8_000_000;
/// Characters of a session's name.
const SESSION_LENGTH: usize = 32;

/// A session that is to be closed, and in which of its generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The session.
    pub session: SessionId,
    /// The generation.
    pub generation: u64,
}

impl Session {
    /// Whether somebody may speak in it: it is theirs, and they may take from its queues still.
    fn is_of(&self, speaker: &Speaker, id: &SessionId) -> bool {
        speaker.is_of(id) && self.namespace == *speaker.namespace() && speaker.may_take_from(&self.queues)
    }

    fn closing(&self, id: &SessionId) -> Closing {
        Closing {
            session: id.clone(),
            generation: self.generation,
        }
    }
}

/// The session that a worker wants to go on with, if it names one.
pub fn resumed(request: &RegisterWorkerRequest) -> Option<SessionId> {
    let name = request.resume_session.as_str();
    let is_name = name.len() == SESSION_LENGTH && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| name.into())
}

/// The sessions of workers.
#[derive(Clone)]
pub struct Sessions {
    open: Arc<Mutex<Open>>,
    /// How many streams there have been. A session may leave and come back under its name: were streams counted in the
    /// session, the end of one from before would be taken for the end of the one from after.
    streams: Arc<AtomicU64>,
    /// How often sessions were resumed here, where there are no other replicas.
    generations: Arc<AtomicU64>,
    /// When it was last looked for silent ones.
    looked_at: Arc<AtomicI64>,
    /// When the replica was last found to be, or to have been, without its database.
    away_at: Arc<AtomicI64>,
    /// Where directives go for sessions that are not here.
    elsewhere: Arc<OnceLock<mpsc::Sender<SessionDirective>>>,
    steady: Clock,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("open", &self.open.lock().sessions.len())
            .finish()
    }
}

impl Sessions {
    /// No sessions yet; `steady` tells how long workers have been silent.
    #[must_use]
    pub fn new(steady: Clock) -> Self {
        Self {
            open: Arc::default(),
            streams: Arc::default(),
            generations: Arc::default(),
            looked_at: Arc::new(AtomicI64::new(steady())),
            away_at: Arc::new(AtomicI64::new(i64::MIN)),
            elsewhere: Arc::default(),
            steady,
        }
    }

    /// Opens a session of whoever speaks; a request id of theirs that came before gives the session that it opened. One that
    /// goes on does so in `generation`. Sessions that were never used make room for new ones.
    ///
    /// # Errors
    /// When too many are open.
    pub fn register(
        &self,
        speaker: &Speaker,
        request: RegisterWorkerRequest,
        generation: u64,
        peer: Option<IpAddr>,
        ids: &Ids,
    ) -> Result<SessionId, Full> {
        let mut open = self.open.lock();
        let asked_before = |(id, session): &(&SessionId, &Session)| {
            !request.request_id.is_empty() && session.request_id == request.request_id && session.is_of(speaker, id)
        };
        let known = open.sessions.iter().find(asked_before);
        if let Some((id, _)) = known {
            return Ok(id.clone());
        }
        // Whoever knows a session's name holds its right; it goes on wherever the worker comes to.
        let resumed = resumed(&request);
        let most = if resumed.is_some() {
            MAX_SESSIONS
        } else {
            MAX_SESSIONS - KEPT_FREE
        };
        if open.sessions.len() >= most && !open.make_room(i64::MAX) {
            return Err(Full::All);
        }
        let of_peer = peer
            .and_then(|peer| open.of_peers.get(&peer))
            .copied()
            .unwrap_or_default();
        if of_peer >= OF_ONE_PEER && !open.make_room_of(peer) {
            return Err(Full::Peer);
        }
        let id = resumed.unwrap_or_else(|| ids.session(speaker.mark()));
        let namespace = speaker.namespace();
        let queues: Vec<String> = request
            .queues
            .iter()
            .map(|queue| namespace.qualify(queue).into_owned())
            .collect();
        let session = Session {
            namespace: namespace.clone(),
            worker: Arc::from(request.name),
            queues: Arc::from(queues),
            request_id: request.request_id,
            heard_of: (self.steady)(),
            stream: None,
            // None yet: the end of a stream from before it came back is not its end.
            newest: 0,
            generation,
            resumption: request.resume_number,
            peer,
            // What goes on has been used elsewhere, and holds leases.
            used: generation > 0,
        };
        open.insert(id.clone(), session);
        Ok(id)
    }

    /// A session of whoever speaks, if it is open; being asked for counts as being heard of.
    #[must_use]
    pub fn touch(&self, speaker: &Speaker, id: &SessionId) -> Option<SessionRef> {
        let mut open = self.open.lock();
        let session = open.sessions.get_mut(id).filter(|session| session.is_of(speaker, id))?;
        session.heard_of = (self.steady)();
        session.used = true;
        Some(SessionRef {
            session: id.clone(),
            worker: Arc::clone(&session.worker),
            queues: Arc::clone(&session.queues),
            generation: session.generation,
        })
    }

    /// Whether a session, open here or anywhere, is somebody else's.
    pub fn is_of_another(&self, speaker: &Speaker, id: &SessionId) -> bool {
        let open = self.open.lock();
        match open.sessions.get(id) {
            Some(session) => !session.is_of(speaker, id),
            None => !speaker.is_of(id),
        }
    }

    /// Forgets a session that this replica has sent to another one.
    pub fn forget(&self, id: &SessionId) {
        self.open.lock().remove(id);
    }

    /// Forgets a session that goes on at another replica in a generation, unless it has come back here since. Replicas of
    /// before generations say 0, and are believed.
    pub fn moved(&self, id: &SessionId, generation: u64) {
        let mut open = self.open.lock();
        let older = |session: &Session| generation == 0 || session.generation < generation;
        if open.sessions.get(id).is_some_and(older) {
            open.remove(id);
        }
    }

    /// The next generation of a session where there are no other replicas; nothing when its worker has made a later call.
    pub fn next_generation(&self, id: &SessionId, resumption: u64) -> Option<u64> {
        let open = self.open.lock();
        let overtaken = |session: &Session| resumption != 0 && session.resumption >= resumption;
        if open.sessions.get(id).is_some_and(overtaken) {
            return None;
        }
        Some(self.generations.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Sends to a session through its stream from now on; gives the stream's number.
    pub fn attach(&self, id: &SessionId, stream: mpsc::Sender<StreamTasksResponse>) -> u64 {
        let mut open = self.open.lock();
        open.sessions.get_mut(id).map_or(0, |session| {
            session.stream = Some(stream);
            session.newest = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
            session.newest
        })
    }

    /// Closes a session whose stream has broken, unless it has a newer one or is gone.
    pub fn close_broken(&self, id: &SessionId, stream: u64) -> Option<Closing> {
        let mut open = self.open.lock();
        let broken = open.sessions.get(id).is_some_and(|session| session.newest == stream);
        broken.then(|| open.remove(id)).flatten().map(|gone| gone.closing(id))
    }

    /// Closes a session, if it is open.
    pub fn close(&self, id: &SessionId) -> Option<Closing> {
        self.open.lock().remove(id).map(|gone| gone.closing(id))
    }

    /// The replica cannot reach its database for long, or can again.
    pub fn is_away(&self) {
        self.away_at.store((self.steady)(), Ordering::Relaxed);
    }

    /// Whether that was so within the length of a lease.
    pub fn was_away_lately(&self) -> bool {
        (self.steady)().saturating_sub(self.away_at.load(Ordering::Relaxed)) < LEASE
    }

    /// Where directives go for sessions that are not here; said once.
    pub fn set_remote(&self, elsewhere: mpsc::Sender<SessionDirective>) {
        drop(self.elsewhere.set(elsewhere));
    }

    /// Tells a worker at once what to do with an attempt, here or through whoever has its session; otherwise its next
    /// heartbeat tells it.
    pub fn direct(&self, id: &SessionId, token: &LeaseToken, verdict: &Verdict) {
        let directive = directive(token, verdict);
        if let Some(directive) = self.pass_on(id, directive)
            && let Some(elsewhere) = self.elsewhere.get()
        {
            let session = id.to_string();
            let directive = Some(directive);
            drop(elsewhere.try_send(SessionDirective { session, directive }));
        }
    }

    /// Tells a worker that is here; gives the directive back when it is not.
    pub fn pass_on(&self, id: &SessionId, directive: Directive) -> Option<Directive> {
        let stream = match self.open.lock().sessions.get(id) {
            Some(session) => session.stream.clone(),
            None => return Some(directive),
        };
        let heartbeat = HeartbeatTasksResponse {
            directives: vec![directive],
            ..HeartbeatTasksResponse::default()
        };
        let message = Some(stream_tasks_response::Message::Heartbeat(heartbeat));
        // A full or broken stream loses nothing: the heartbeat says the same.
        if let Some(stream) = stream {
            drop(stream.try_send(StreamTasksResponse { message }));
        }
        None
    }

    /// Sessions that were not heard of for too long. To be asked every few seconds.
    #[must_use]
    pub fn silent(&self) -> Vec<SessionId> {
        let now = (self.steady)();
        let mut open = self.open.lock();
        if now - self.looked_at.swap(now, Ordering::Relaxed) > FROZEN {
            for session in open.sessions.values_mut() {
                session.heard_of = now;
            }
        }
        while open.make_room(now - UNUSED) {}
        let silent = open
            .sessions
            .iter()
            .filter(|(_, session)| now - session.heard_of > SILENCE);
        silent.map(|(id, _)| id.clone()).collect()
    }
}

/// A verdict in the contract's words.
pub fn directive(token: &LeaseToken, verdict: &Verdict) -> Directive {
    let (action, reason, expires_at) = match verdict {
        Verdict::Continue(expires_at) => (directive::Action::Continue, String::new(), Some(*expires_at)),
        Verdict::Cancel(reason) => (directive::Action::Cancel, reason.clone(), None),
        Verdict::Lost => (directive::Action::LeaseLost, "the lease is over".to_owned(), None),
        // Nothing that a worker would act on.
        Verdict::Unknown => (directive::Action::Unspecified, String::new(), None),
    };
    Directive {
        token: token.to_string(),
        action: action.into(),
        reason,
        lease_expire_time: expires_at.map(nexus_api::time::timestamp),
    }
}

#[cfg(test)]
mod tests;

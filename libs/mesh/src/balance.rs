//! Calls are spread over the replicas of a service: every address that a name has, looked up again and again, and
//! those that are well. Of two replicas chosen at random the one with fewer calls under way is taken.
//!
//! A replica is left alone when a connection to it failed, when it says that it shuts down, or when its health says
//! NOT_SERVING; it is asked for its health every two seconds, and comes back when it is well. When all are left alone, one
//! is tried anyway.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{BoxError, Service, ServiceExt};

use crate::dial::Dialer;
use crate::retry::{Tried, causes};

/// How often names are looked up, health is asked for, and how soon after a failure at the earliest.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const SOONEST: Duration = Duration::from_millis(100);
/// How long looking a name up and asking for health may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A marker among a request's extensions: the call begins something new, so a caller that stays with one replica may
/// go to another one now.
#[derive(Debug, Clone, Copy)]
pub struct Fresh;

/// A name or address and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
}

struct Peer {
    address: SocketAddr,
    channel: Channel,
    /// Calls whose answer has not begun.
    under_way: AtomicUsize,
    /// Why it is left alone.
    left_alone: Mutex<Option<String>>,
}

impl Peer {
    fn is_well(&self) -> bool {
        self.left_alone.lock().is_none()
    }

    fn leave_alone(&self, why: &str) {
        let before = self.left_alone.lock().replace(why.to_owned());
        if before.is_none() {
            tracing::debug!(address = %self.address, why, "a replica is left alone");
        }
    }
}

/// What went wrong with a call, and with which replica.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
struct At {
    address: SocketAddr,
    source: tonic::transport::Error,
}

/// Counts a call until its answer begins.
struct UnderWay(Arc<Peer>);

impl UnderWay {
    fn begin(peer: &Arc<Peer>) -> Self {
        peer.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(peer))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Shared {
    targets: Vec<Target>,
    dialer: Dialer,
    /// The replicas, or why there are none; nothing before the first look-up.
    peers: watch::Sender<Option<Result<Vec<Arc<Peer>>, String>>>,
    failed: Notify,
    /// The replica to stay with, for callers that stay with one.
    chosen: Option<Mutex<Option<SocketAddr>>>,
}

/// A way to a service over all of its replicas.
#[derive(Clone)]
pub(crate) struct Balanced {
    shared: Arc<Shared>,
}

impl Balanced {
    /// Begins to look the targets up. With `stay` all calls go to one replica, as long as it can be reached.
    pub(crate) fn new(targets: Vec<Target>, dialer: Dialer, stay: bool) -> Self {
        let shared = Arc::new(Shared {
            targets,
            dialer,
            peers: watch::Sender::new(None),
            failed: Notify::new(),
            chosen: stay.then(Mutex::default),
        });
        tokio::spawn(care(Arc::downgrade(&shared)));
        Self { shared }
    }
}

impl Service<Request<Body>> for Balanced {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The channel that is chosen is waited for in the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.send(request).await })
    }
}

impl Shared {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let peers = self.known().await?;
        let tried = request.extensions().get::<Tried>().cloned();
        let peer = match &self.chosen {
            Some(chosen) => stay(chosen, &peers, request.extensions().get::<Fresh>().is_some()),
            None => choose(&peers, tried.as_ref()),
        };
        if let Some(tried) = tried {
            tried.note(peer.address);
        }
        let _counted = UnderWay::begin(&peer);
        let mut channel = peer.channel.clone();
        let answer = match channel.ready().await {
            Ok(channel) => channel.call(request).await,
            Err(error) => Err(error),
        };
        match &answer {
            Ok(response) if says_farewell(response) => self.failed(&peer, "it shuts down"),
            Ok(_) => {}
            Err(error) => {
                self.failed(&peer, &causes(error));
                if let Some(chosen) = &self.chosen {
                    chosen.lock().take();
                }
            }
        }
        let address = peer.address;
        answer.map_err(|source| Box::new(At { address, source }) as BoxError)
    }

    fn failed(&self, peer: &Peer, why: &str) {
        peer.leave_alone(why);
        self.failed.notify_one();
    }

    /// The replicas, once they were looked up; never an empty list.
    async fn known(&self) -> Result<Vec<Arc<Peer>>, BoxError> {
        let mut peers = self.peers.subscribe();
        let seen = peers.wait_for(Option::is_some).await?;
        match seen.as_ref() {
            Some(Ok(peers)) => Ok(peers.clone()),
            // Nothing was sent: that is what a failure to connect says.
            Some(Err(problem)) => Err(Box::new(tonic::ConnectError(problem.clone().into()))),
            None => Err("the addresses were not looked up".into()),
        }
    }

    /// Looks the targets up. What was known stays when nothing can be found.
    async fn resolve(&self) {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for Target { host, port } in &self.targets {
            match timeout(ANSWER_LIMIT, tokio::net::lookup_host((host.as_str(), *port))).await {
                Ok(Ok(addresses)) => found.extend(addresses),
                Ok(Err(error)) => problems.push(format!("{host} cannot be looked up: {error}")),
                Err(_) => problems.push(format!("{host} could not be looked up in time")),
            }
        }
        found.sort_unstable();
        found.dedup();
        let before = self
            .peers
            .borrow()
            .as_ref()
            .and_then(|peers| peers.as_ref().ok().cloned());
        let mut before = before.unwrap_or_default();
        if !problems.is_empty() {
            tracing::debug!(problems = problems.join("; "), "not every name could be looked up");
            // A name server that is away removes nobody.
            found.extend(
                before
                    .iter()
                    .map(|peer| peer.address)
                    .filter(|address| !found.contains(address))
                    .collect::<Vec<_>>(),
            );
        }
        let known: Vec<_> = before.iter().map(|peer| peer.address).collect();
        if !before.is_empty() && known == found {
            return;
        }
        before.retain(|peer| found.contains(&peer.address));
        for address in found.into_iter().filter(|address| !known.contains(address)) {
            match self.dialer.channel(address) {
                Ok(channel) => before.push(Arc::new(Peer {
                    address,
                    channel,
                    under_way: AtomicUsize::new(0),
                    left_alone: Mutex::new(None),
                })),
                Err(error) => problems.push(format!("{address}: {error}")),
            }
        }
        before.sort_unstable_by_key(|peer| peer.address);
        let result = if before.is_empty() {
            let names: Vec<_> = self.targets.iter().map(|target| target.host.as_str()).collect();
            Err(format!("{} has no address: {}", names.join(", "), problems.join("; ")))
        } else {
            Ok(before)
        };
        self.peers.send_replace(Some(result));
    }

    /// Asks every replica for its health.
    async fn probe(&self) {
        let peers = self
            .peers
            .borrow()
            .as_ref()
            .and_then(|peers| peers.as_ref().ok().cloned());
        futures::future::join_all(peers.unwrap_or_default().iter().map(|peer| probe(peer))).await;
    }
}

/// Keeps the list and the health of replicas, as long as somebody has a way to them.
async fn care(shared: Weak<Shared>) {
    let mut resolved: Option<Instant> = None;
    loop {
        let Some(strong) = shared.upgrade() else { return };
        // A name that had no address is looked up again soon: its service is starting, probably.
        let missing = matches!(*strong.peers.borrow(), None | Some(Err(_)));
        let due = missing || resolved.is_none_or(|at| at.elapsed() >= RESOLVE_EVERY);
        if due {
            strong.resolve().await;
            resolved = Some(Instant::now());
        }
        // With one replica there is nothing to choose, so its health is its own affair.
        let several = strong
            .peers
            .borrow()
            .as_ref()
            .is_some_and(|peers| peers.as_ref().is_ok_and(|peers| peers.len() > 1));
        let ailing = strong.peers.borrow().as_ref().is_some_and(|peers| {
            peers
                .as_ref()
                .is_ok_and(|peers| peers.iter().any(|peer| !peer.is_well()))
        });
        if several || ailing {
            strong.probe().await;
        }
        let pause = PROBE_EVERY.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = sleep(pause) => {}
            () = strong.failed.notified() => {
                resolved = None;
                sleep(SOONEST.mul_f64(1.0 + fastrand::f64())).await;
            }
        }
    }
}

async fn probe(peer: &Peer) {
    let mut client = HealthClient::new(peer.channel.clone());
    let request = HealthCheckRequest { service: String::new() };
    match timeout(ANSWER_LIMIT, client.check(request)).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::NotServing => {
            peer.leave_alone("it does not serve")
        }
        // A server without the health service is well when it answers at all.
        Ok(Ok(_)) => *peer.left_alone.lock() = None,
        Ok(Err(status)) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => {
            *peer.left_alone.lock() = None;
        }
        Ok(Err(status)) => peer.leave_alone(&causes(&status)),
        Err(_) => peer.leave_alone("it does not answer"),
    }
}

fn says_farewell(response: &Response<Body>) -> bool {
    let status = response.headers().get("grpc-status");
    status.is_some_and(|code| code == "14")
        && Status::from_header_map(response.headers())
            .is_some_and(|status| reason_of(&status) == Some(ErrorReason::ShuttingDown))
}

/// Of two at random the one with less to do; among those that are well and were not tried yet, if there are any.
fn choose(peers: &[Arc<Peer>], tried: Option<&Tried>) -> Arc<Peer> {
    let untried = |peer: &&Arc<Peer>| tried.is_none_or(|tried| !tried.has(peer.address));
    let mut candidates: Vec<_> = peers.iter().filter(|peer| peer.is_well() && untried(peer)).collect();
    if candidates.is_empty() {
        candidates = peers.iter().filter(untried).collect();
    }
    if candidates.is_empty() {
        candidates = peers.iter().filter(|peer| peer.is_well()).collect();
    }
    if candidates.is_empty() {
        candidates = peers.iter().collect();
    }
    let first = fastrand::usize(..candidates.len());
    // Another one, if there is another: a replica that hangs would be compared with itself too often.
    let second = (first + fastrand::usize(1..candidates.len().max(2))) % candidates.len();
    let load = |index: usize| candidates[index].under_way.load(Ordering::Relaxed);
    let index = if load(second) < load(first) { second } else { first };
    Arc::clone(candidates[index])
}

/// The replica that was chosen before; another one at random when something new begins or it is gone.
fn stay(chosen: &Mutex<Option<SocketAddr>>, peers: &[Arc<Peer>], fresh: bool) -> Arc<Peer> {
    let mut chosen = chosen.lock();
    let known = chosen.and_then(|address| peers.iter().find(|peer| peer.address == address));
    match known {
        Some(peer) if !fresh => Arc::clone(peer),
        _ => {
            let peer = choose(peers, None);
            *chosen = Some(peer.address);
            peer
        }
    }
}

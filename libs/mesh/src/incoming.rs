//! Connections as they come in. The loop never ends because of an error: a process that has no descriptors left waits
//! and goes on. Each connection holds a place until it is closed; beyond the limit new ones are closed at once, so that
//! balancers go elsewhere. One peer has a part of the places at most, and a connection that does not begin to speak loses
//! its own: whoever opens many and says nothing keeps nobody out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::dial::{Wire, tune};
use crate::tls::ServerTls;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may take to say the first words of HTTP/2; from then on it has to answer signs of life. One that
/// speaks HTTP/1.1 has to come to the end of its headers in time, which the server itself looks after.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of those words: the preface and the head of a first frame (RFC 9113, 3.4).
const HELLO: usize = 24 + 9;
/// How those words begin; no request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";
/// How long a peer may take nothing of what it is sent.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// The wait after an error of the listener, which doubles.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

const REFUSED: &str = "nexus_connections_refused_total";
const OPEN: &str = "nexus_connections_open";

/// Describes the metrics; to be called once at the start.
pub(crate) fn describe() {
    metrics::describe_counter!(REFUSED, "Connections that were not served, by reason.");
    metrics::describe_gauge!(OPEN, "Connections that are served.");
}

/// A connection that is ready for HTTP.
pub(crate) struct Connection {
    wire: Wire,
    /// The end of its patience, until it has spoken.
    hello: Option<Pin<Box<Sleep>>>,
    heard: usize,
    /// The end of the patience with a peer that takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    fn new(wire: Wire, place: Place) -> Self {
        Self {
            wire,
            hello: Some(Box::pin(sleep(HELLO_LIMIT))),
            heard: 0,
            stall: None,
            _place: place,
        }
    }

    /// Whether its time to begin to speak is over.
    fn is_silent(&mut self, context: &mut Context<'_>) -> bool {
        let over = |limit: &mut Pin<Box<Sleep>>| limit.as_mut().poll(context).is_ready();
        self.hello.as_mut().is_some_and(over)
    }

    fn hear(&mut self, bytes: &[u8]) {
        let is_preface = |(at, byte): (usize, &u8)| PREFACE.get(self.heard + at).is_none_or(|said| said == byte);
        let all = bytes.iter().enumerate().all(is_preface);
        self.heard += bytes.len();
        if self.heard >= HELLO || !all {
            self.hello = None;
        }
    }

    /// What came of sending; an error when the peer has taken nothing for too long.
    fn sent<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        if stall.as_mut().poll(context).is_ready() {
            metrics::counter!(REFUSED, "reason" => "stalled").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) all: usize,
    pub(crate) of_one_peer: usize,
}

/// The places of all connections, and how many each peer has.
#[derive(Clone)]
struct Places {
    free: Arc<Semaphore>,
    of_peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: Most,
}

struct Place {
    _permit: OwnedSemaphorePermit,
    places: Places,
    peer: IpAddr,
}

impl Places {
    fn new(most: Most) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.all.min(Semaphore::MAX_PERMITS))),
            of_peers: Arc::default(),
            most,
        }
    }

    /// Takes one, or says which limit is in the way.
    fn take(&self, peer: IpAddr) -> Result<Place, &'static str> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| "limit")?;
        let mut of_peers = self.of_peers.lock();
        let taken = of_peers.entry(peer).or_default();
        if *taken >= self.most.of_one_peer {
            return Err("peer_limit");
        }
        *taken += 1;
        metrics::gauge!(OPEN).increment(1.0);
        Ok(Place {
            _permit: permit,
            places: self.clone(),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(OPEN).decrement(1.0);
        let mut of_peers = self.places.of_peers.lock();
        if let Some(taken) = of_peers.get_mut(&self.peer) {
            *taken -= 1;
            if *taken == 0 {
                of_peers.remove(&self.peer);
            }
        }
    }
}

/// Accepts connections until `closing`. The stream goes on without an end: at its end the server would send everybody
/// away.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    most: Most,
    closing: CancellationToken,
) -> impl futures::Stream<Item = Result<Connection, Infallible>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        tokio::select! {
            () = serve(listener, tls, most, sender) => {}
            // The listener is closed here, so that nobody waits in its queue.
            () = closing.cancelled() => {}
        }
    });
    let connections = tokio_stream::wrappers::ReceiverStream::new(receiver);
    connections.map(Ok).chain(futures::stream::pending())
}

async fn serve(listener: TcpListener, tls: Option<ServerTls>, most: Most, ready: mpsc::Sender<Connection>) {
    let places = Places::new(most);
    let mut wait = FIRST_WAIT;
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok((socket, peer)) => (socket, peer.ip().to_canonical()),
            Err(error) => {
                // EMFILE and the like: others have to close first. A connection that broke in the queue costs a moment.
                tracing::warn!(%error, "a connection could not be accepted");
                metrics::counter!(REFUSED, "reason" => "system").increment(1);
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
        };
        wait = FIRST_WAIT;
        let place = match places.take(peer) {
            Ok(place) => place,
            Err(reason) => {
                metrics::counter!(REFUSED, "reason" => reason).increment(1);
                tracing::debug!(%peer, reason, ?most, "a connection was closed: too many are open");
                continue;
            }
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            if let Some(wire) = shake_hands(socket, tls).await {
                // Refused when the server ends.
                let _ended = ready.send(Connection::new(wire, place)).await;
            }
        });
    }
}

async fn shake_hands(socket: TcpStream, tls: Option<ServerTls>) -> Option<Wire> {
    tune(&socket);
    let Some(tls) = tls else {
        return Some(Wire::Plain(socket));
    };
    let problem = match timeout(HANDSHAKE_LIMIT, tls.acceptor().accept(socket)).await {
        Ok(Ok(stream)) => return Some(Wire::Tls(Box::new(tokio_rustls::TlsStream::Server(stream)))),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    metrics::counter!(REFUSED, "reason" => "tls").increment(1);
    tracing::debug!(problem, "a TLS handshake failed");
    None
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.wire.socket().connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.wire).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.hear(&buffer.filled()[before..]);
        } else if read.is_pending() && self.is_silent(context) {
            metrics::counter!(REFUSED, "reason" => "silent").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write(context, bytes);
        self.sent(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write_vectored(context, bytes);
        self.sent(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.wire).poll_flush(context);
        self.sent(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

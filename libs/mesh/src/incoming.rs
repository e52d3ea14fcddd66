//! Connections as they come in. The loop never ends because of an error: a process that has no descriptors left waits
//! and goes on. Each connection holds a place until it is closed; beyond the limit new ones are closed at once, so that
//! balancers go elsewhere.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::dial::{Wire, tune};
use crate::tls::ServerTls;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
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

/// A connection that is ready for HTTP/2.
pub(crate) struct Connection {
    wire: Wire,
    _place: Place,
}

struct Place(#[expect(dead_code, reason = "held until the connection is closed")] OwnedSemaphorePermit);

impl Place {
    fn take(places: &Arc<Semaphore>) -> Option<Self> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        metrics::gauge!(OPEN).increment(1.0);
        Some(Self(permit))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(OPEN).decrement(1.0);
    }
}

/// Accepts connections until `closing`. The stream goes on without an end: at its end the server would send everybody
/// away.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    most: usize,
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

async fn serve(listener: TcpListener, tls: Option<ServerTls>, most: usize, ready: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let mut wait = FIRST_WAIT;
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
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
        let Some(place) = Place::take(&places) else {
            metrics::counter!(REFUSED, "reason" => "limit").increment(1);
            tracing::debug!(most, "a connection was closed: limits.max_connections are open");
            continue;
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            if let Some(wire) = shake_hands(socket, tls).await {
                // Refused when the server ends.
                let _ended = ready.send(Connection { wire, _place: place }).await;
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
        Pin::new(&mut self.wire).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

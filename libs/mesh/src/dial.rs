//! How one connection is made: TCP with bounded waits, then TLS when asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::tls::ClientTls;

/// Sent data that nobody acknowledges for so long breaks the connection, also when the peer's machine is gone.
#[cfg(target_os = "linux")]
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// A silent peer is noticed after these, while calls wait and while none do.
pub(crate) const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Makes connections to the replicas of one service.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// What requests name as their host.
    pub(crate) origin: Uri,
    pub(crate) tls: Option<(ClientTls, ServerName<'static>)>,
    pub(crate) connect_timeout: Duration,
}

impl Dialer {
    /// A channel to one address, connected when it is first used and again whenever it breaks.
    pub(crate) fn channel(&self, address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .origin(self.origin.clone())
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .keep_alive_while_idle(true);
        let dialer = self.clone();
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let dialer = dialer.clone();
            async move { dialer.dial(address).await.map(TokioIo::new) }
        })))
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Wire> {
        match tokio::time::timeout(self.connect_timeout, self.connect(address)).await {
            Ok(connected) => connected.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}"))),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "{address} did not answer within {} ms",
                    self.connect_timeout.as_millis()
                ),
            )),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let socket = TcpStream::connect(address).await?;
        tune(&socket);
        match &self.tls {
            None => Ok(Wire::Plain(socket)),
            Some((tls, name)) => {
                let stream = tls.connector().connect(name.clone(), socket).await?;
                Ok(Wire::Tls(Box::new(tokio_rustls::TlsStream::Client(stream))))
            }
        }
    }
}

/// Small messages go at once, and a peer that vanished without a word is noticed by the kernel.
pub(crate) fn tune(socket: &TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    #[cfg(target_os = "linux")]
    {
        let most = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::TcpUserTimeout, &most) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT was refused");
        }
    }
}

/// A connection, with TLS or without.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
}

macro_rules! on_wire {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Wire::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Wire::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_wire!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_wire!(self, stream => stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, stream => stream.poll_shutdown(context))
    }
}

impl Wire {
    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

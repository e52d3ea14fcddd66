//! Serving: one port for gRPC, health and reflection, with the layers that every call passes, and a graceful end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::deadline::DeadlineLayer;
use crate::trace::ServerSpanLayer;
use crate::transport::LONGEST_CALL;

/// Streams that one connection may have open at a time; tonic itself sets no limit.
const MAX_STREAMS: u32 = 256;

/// A server that cannot be started or that broke.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another process using the port? Choose one with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the server on {address} broke")]
    Broken {
        /// The address.
        address: SocketAddr,
        /// How.
        #[source]
        source: tonic::transport::Error,
    },
    /// Reflection cannot read the contracts; a bug of the build.
    #[error("the embedded descriptors cannot be read")]
    Descriptors(#[source] tonic_reflection::server::Error),
}

/// A port that is listened on and not served yet, so that nobody else can take it meanwhile.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on an address; port 0 chooses a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        let bind = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets running calls finish.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(
        self,
        mut services: RoutesBuilder,
        health: HealthServer<impl Health>,
        shutdown: CancellationToken,
    ) -> Result<(), ServerError> {
        let address = self.address;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(nexus_api::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(ServerError::Descriptors)?;
        services.add_service(health).add_service(reflection);
        // Set here: the server's own setting is for sockets that it opened itself. Without it a small message waits
        // 40 ms for the acknowledgement of the one before.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(5)))
            .layer(ServerSpanLayer)
            .layer(DeadlineLayer::new(Some(LONGEST_CALL)))
            .add_routes(services.routes())
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
            .await
            .map_err(|source| ServerError::Broken { address, source })
    }
}

//! Serving: one port for gRPC, health and reflection, with the layers that every call passes, and a graceful end. Where
//! somebody answers plain HTTP, the same port takes that too, over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::answers::AnswerLayer;
use crate::deadline::DeadlineLayer;
use crate::dial::KEEPALIVE;
use crate::front::{FrontLayer, Http};
use crate::gate::{Gate, GateLayer};
use crate::incoming;
use crate::measure::MeasureLayer;
use crate::shed::ShedLayer;
use crate::tls::ServerTls;
use crate::trace::ServerSpanLayer;

/// How a server serves, and how much.
#[derive(Clone)]
pub struct ServerOptions {
    /// Certificates; without them connections are plain.
    pub tls: Option<ServerTls>,
    /// Streams that one connection may have open at a time; tonic itself sets no limit.
    pub max_concurrent_streams: u32,
    /// Connections at a time; more are closed at once.
    pub max_connections: usize,
    /// Connections of one address at a time; more are closed at once.
    pub max_connections_per_peer: usize,
    /// Calls under way at a time; more are answered RESOURCE_EXHAUSTED, except for those whose methods' load class says
    /// that they are never refused.
    pub max_in_flight: usize,
    /// Largest metadata of a call, in bytes.
    pub max_metadata_bytes: u32,
    /// After how long a silent connection is asked for a sign of life, and how long that may take.
    pub keepalive: (Duration, Duration),
    /// Who is let in; everybody without one.
    pub gate: Option<Arc<dyn Gate>>,
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("tls", &self.tls.is_some())
            .field("gate", &self.gate.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: None,
            max_concurrent_streams: 256,
            max_connections: 10_000,
            max_connections_per_peer: 2_500,
            max_in_flight: 10_000,
            max_metadata_bytes: 16 << 10,
            keepalive: KEEPALIVE,
            gate: None,
        }
    }
}

/// The two steps in which a server ends.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// Cancelled: no new connection is accepted; those that are open are served on.
    pub accepting: CancellationToken,
    /// Cancelled: open connections are told to go, and calls under way may finish.
    pub serving: CancellationToken,
}

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
        services: RoutesBuilder,
        health: HealthServer<impl Health>,
        shutdown: CancellationToken,
    ) -> Result<(), ServerError> {
        let ending = Ending {
            accepting: shutdown.clone(),
            serving: shutdown,
        };
        self.serve_with(&ServerOptions::default(), services, None, health, ending)
            .await
    }

    /// The same, with options, somebody for what is not gRPC, and an end in two steps.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve_with(
        self,
        options: &ServerOptions,
        mut services: RoutesBuilder,
        http: Option<Http>,
        health: HealthServer<impl Health>,
        ending: Ending,
    ) -> Result<(), ServerError> {
        let address = self.address;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(nexus_api::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(ServerError::Descriptors)?;
        services.add_service(health).add_service(reflection);
        let incoming = incoming::accept(
            self.listener,
            options.tls.clone(),
            incoming::Most {
                all: options.max_connections,
                of_one_peer: options.max_connections_per_peer,
            },
            ending.accepting,
        );
        Server::builder()
            .accept_http1(http.is_some())
            .max_concurrent_streams(options.max_concurrent_streams)
            .http2_max_header_list_size(options.max_metadata_bytes)
            .http2_keepalive_interval(Some(options.keepalive.0))
            .http2_keepalive_timeout(Some(options.keepalive.1))
            .layer(FrontLayer::new(http))
            .layer(ServerSpanLayer)
            .layer(MeasureLayer)
            .layer(AnswerLayer)
            // Before calls are counted: whoever is not let in takes nobody's place.
            .layer(GateLayer::new(options.gate.clone()))
            .layer(ShedLayer::new(options.max_in_flight))
            .layer(DeadlineLayer::server())
            .add_routes(services.routes())
            .serve_with_incoming_shutdown(incoming, ending.serving.cancelled_owned())
            .await
            .map_err(|source| ServerError::Broken { address, source })
    }
}

//! How a connection to a target is made: a checked address, then TLS when asked for.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::request::Target;
use crate::input::Tls;
use nexus_attempt::{Failure, address};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Sent data that nobody acknowledges for so long breaks the connection. The kernel's own measure is used since many
/// servers close connections of clients that ping them.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// A silent connection is asked whether it is alive after the first, and again after the second, in seconds.
#[cfg(target_os = "linux")]
const ASK_AFTER: (u32, u32) = (20, 5);

type BoxError = Box<dyn Error + Send + Sync>;

/// A channel, connected when it is first used and again whenever it breaks. Each time the host is looked up and checked
/// anew, and the connection goes to the addresses that were checked.
pub(super) fn channel(target: &Target, allow_private: bool) -> Result<Channel, Failure> {
    let url = target.url()?;
    let lost = |error: tonic::transport::Error| Failure::lost(format!("the worker cannot make gRPC calls: {error}"));
    let mut endpoint = Endpoint::from_shared(target.address.clone())
        .and_then(|endpoint| endpoint.user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION"))))
        .map_err(lost)?;
    if url.scheme() == "https" {
        endpoint = secured(endpoint, &target.tls)?;
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let host = host.clone();
        async move { dial(&host, port, allow_private).await.map(TokioIo::new) }
    })))
}

async fn dial(host: &str, port: u16, allow_private: bool) -> Result<TcpStream, BoxError> {
    let connect = async {
        let addresses = address::resolve(host, port, allow_private).await?;
        Ok::<_, BoxError>(TcpStream::connect(addresses.as_slice()).await?)
    };
    let socket = tokio::time::timeout(CONNECT_LIMIT, connect)
        .await
        .map_err(|_| format!("no connection within {} s", CONNECT_LIMIT.as_secs()))??;
    socket.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    watch(&socket)?;
    Ok(socket)
}

/// Has the kernel notice a peer that vanished: while something is under way to it, and while an answer is waited for.
#[cfg(target_os = "linux")]
fn watch(socket: &TcpStream) -> nix::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    let most = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    setsockopt(socket, sockopt::TcpUserTimeout, &most)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &ASK_AFTER.0)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &ASK_AFTER.1)
}

fn secured(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, Failure> {
    // Another part of the process may have chosen a provider already; then that one serves.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let unfit = |error: &dyn std::fmt::Display| Failure::invalid(format!("`tls` cannot be used: {error}"));
    let mut config = ClientTlsConfig::new().timeout(CONNECT_LIMIT);
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name.clone());
    }
    match (&tls.cert, &tls.key) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            certificates("cert", cert)?;
            PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|_| Failure::invalid("`tls.key` holds no private key in PEM"))?;
            config = config.identity(Identity::from_pem(cert, key));
        }
        _ => return Err(Failure::invalid("`tls` needs both `cert` and `key`, or neither")),
    }
    if let Some(ca) = &tls.ca {
        certificates("ca", ca)?;
        let config = config.ca_certificate(Certificate::from_pem(ca));
        return endpoint.tls_config(config).map_err(|error| unfit(&error));
    }
    endpoint
        .tls_config_with_verifier(config, system()?)
        .map_err(|error| unfit(&error))
}

/// The roots of the system, which `http` tasks trust as well. Reading them takes time, so it is done once.
fn system() -> Result<Arc<Verifier>, Failure> {
    static READ: OnceLock<Result<Arc<Verifier>, String>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Verifier::new(provider).map(Arc::new).map_err(|error| error.to_string())
    });
    read.clone()
        .map_err(|error| Failure::lost(format!("the system's certificates cannot be read: {error}")))
}

/// Fails when a text holds no certificate. No message quotes it.
fn certificates(field: &str, pem: &str) -> Result<(), Failure> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    let good = found.peek().is_some() && found.all(|certificate| certificate.is_ok());
    if good {
        return Ok(());
    }
    Err(Failure::invalid(format!("`tls.{field}` holds no certificate in PEM")))
}

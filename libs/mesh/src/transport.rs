//! How a generated client reaches a service: over the network or within the process.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, Uri};
use nexus_api::namespace::{self, Namespace};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

pub use crate::balance::Fresh;
use crate::balance::{Balanced, Target};
use crate::deadline::DeadlineLayer;
use crate::dial::{Dialer, KEEPALIVE};
use crate::gate::{self, Gate};
use crate::retry::{Retry, told};
use crate::tls::{ClientTls, TlsError};
use crate::trace::{InjectTraceLayer, ServerSpanLayer};

/// A boxed way to a service. Clients that are generated from a contract run over it.
/// What goes wrong on the way is a status: a peer that cannot be reached is UNAVAILABLE.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// How a service is reached.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Certificates; needed by none, and used by addresses that begin with `https://`.
    pub tls: Option<ClientTls>,
    /// How long making a connection may take, TLS included.
    pub connect_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls: None,
            connect_timeout: Duration::from_secs(2),
        }
    }
}

/// An address that nothing can be reached at.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error(
        "`{address}` is not an address of a service: {problem}; write it like http://host:7070, several with commas"
    )]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up for it.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A way over the network to one server, connected when it is first used and again whenever it breaks. Calls are never
/// repeated.
///
/// # Errors
/// When the address is not an `http://` or `https://` URI.
pub fn connect(address: &str) -> Result<Transport, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A silent peer is noticed while calls wait and while none do.
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    Ok(framed(endpoint.connect_lazy()))
}

/// A way over the network to all replicas of a service: every address that the host has, or several URIs separated by
/// commas. Calls go to those that are well, and are repeated where nothing can happen twice (`retry.rs` has the rule).
/// To be called within a Tokio runtime.
///
/// # Errors
/// When an address cannot be read, or TLS cannot be set up.
pub fn connect_balanced(addresses: &str, options: &ClientOptions) -> Result<Transport, AddressError> {
    let (targets, dialer) = read(addresses, options)?;
    Ok(framed(Retry::new(Balanced::new(targets, dialer, false))))
}

/// A way over the network to ONE of a service's replicas, chosen at random and kept as long as it can be reached: for
/// callers whose calls belong together, such as workers. A request with [`Fresh`] among its extensions chooses anew.
/// To be called within a Tokio runtime.
///
/// # Errors
/// When an address cannot be read, or TLS cannot be set up.
pub fn connect_one(addresses: &str, options: &ClientOptions) -> Result<Transport, AddressError> {
    let (targets, dialer) = read(addresses, options)?;
    Ok(framed(Balanced::new(targets, dialer, true)))
}

/// A way to a service of the same process: no socket, the same layers.
#[must_use]
pub fn in_process(routes: Routes) -> Transport {
    framed(ServerSpanLayer.layer(routes))
}

/// A way to a service of the same process that is let in as over the network.
#[must_use]
pub fn in_process_behind(routes: Routes, gate: Arc<dyn Gate>) -> Transport {
    framed(ServerSpanLayer.layer(gate::behind(routes, gate)))
}

/// A way whose calls are all about one namespace, and say so: a call that says nothing may be about the only namespace of
/// its credential.
#[must_use]
pub fn in_namespace(transport: Transport, namespace: &Namespace) -> Transport {
    // A name has nothing that a header could not have. One that had would be no reason to act on another namespace.
    let name = HeaderValue::from_str(namespace.as_str()).unwrap_or_else(|_| HeaderValue::from_static("-"));
    let named = transport.map_request(move |mut request: Request<Body>| {
        let header = HeaderName::from_static(namespace::METADATA);
        request.headers_mut().insert(header, name.clone());
        request
    });
    BoxCloneSyncService::new(named)
}

/// Checks addresses without connecting to them.
///
/// # Errors
/// When one of them cannot be read.
pub fn check(addresses: &str) -> Result<(), AddressError> {
    targets(addresses).map(|_| ())
}

fn read(addresses: &str, options: &ClientOptions) -> Result<(Vec<Target>, Dialer), AddressError> {
    let (targets, origin) = targets(addresses)?;
    let tls = match (origin.scheme_str(), &options.tls) {
        (Some("https"), Some(tls)) => Some(tls.clone()),
        (Some("https"), None) => Some(ClientTls::load(&crate::tls::TlsFiles::default())?),
        _ => None,
    };
    let tls = match tls {
        Some(tls) => {
            let name = tls.name_for(origin.host().unwrap_or_default())?;
            Some((tls, name))
        }
        None => None,
    };
    let connect_timeout = options.connect_timeout;
    let dialer = Dialer {
        origin,
        tls,
        connect_timeout,
    };
    Ok((targets, dialer))
}

/// The hosts of a list, and the URI that requests name: the first of them.
fn targets(addresses: &str) -> Result<(Vec<Target>, Uri), AddressError> {
    let mut targets = Vec::new();
    let mut origin: Option<Uri> = None;
    for address in addresses
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
    {
        let bad = |problem: &str| AddressError::Address {
            address: address.to_owned(),
            problem: problem.to_owned(),
        };
        let uri: Uri = address
            .parse()
            .map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
        let port = match uri.scheme_str() {
            Some("http") => uri.port_u16().unwrap_or(80),
            Some("https") => uri.port_u16().unwrap_or(443),
            _ => return Err(bad("it does not begin with http:// or https://")),
        };
        if uri.path() != "/" {
            return Err(bad("it has a path"));
        }
        if origin.as_ref().is_some_and(|first| first.scheme() != uri.scheme()) {
            return Err(bad("the addresses of one service must all be http:// or all https://"));
        }
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| bad("it has no host"))?;
        targets.push(Target {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
        });
        origin.get_or_insert(uri);
    }
    match origin {
        Some(origin) => Ok((targets, origin)),
        None => Err(AddressError::Address {
            address: addresses.to_owned(),
            problem: "it is empty".to_owned(),
        }),
    }
}

fn framed<S>(service: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send + 'static,
{
    let service = DeadlineLayer::client().layer(service.map_err(Into::<BoxError>::into));
    // A concrete error: the compiler cannot see that calls over a boxed one may change threads.
    let service = service.map_err(told);
    BoxCloneSyncService::new(InjectTraceLayer.layer(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_of_a_namespaces_way_names_it() {
        let asked = |namespace: &str| {
            let echo = tower::service_fn(|request: Request<Body>| async move {
                let mut answer = Response::new(Body::empty());
                *answer.headers_mut() = request.headers().clone();
                Ok::<_, Status>(answer)
            });
            let namespace = namespace.parse().expect("a namespace");
            in_namespace(BoxCloneSyncService::new(echo), &namespace).oneshot(Request::new(Body::empty()))
        };
        for name in ["team-a", "default"] {
            let told = asked(name).await.expect("answer");
            assert_eq!(told.headers()[namespace::METADATA], name);
        }
    }

    #[test]
    fn addresses_are_read_and_bad_ones_are_named() {
        let (found, origin) = targets("http://a:7070, http://[::1]:1,http://c").expect("addresses");
        let found: Vec<_> = found.iter().map(|target| (target.host.as_str(), target.port)).collect();
        assert_eq!(found, [("a", 7070), ("::1", 1), ("c", 80)]);
        assert_eq!(origin.host(), Some("a"));
        for (wrong, told) in [
            ("", "is empty"),
            ("host:7070", "http://"),
            ("http://a/x", "path"),
            ("http://a,https://b", "all"),
            ("ftp://a", "http://"),
        ] {
            let error = targets(wrong).expect_err(wrong).to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}

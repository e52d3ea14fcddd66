//! How a call came: what it is, from where, and for whom it was passed on. Handlers find it among the extensions of every
//! request that passed a door, and only of those: what a process calls for itself has none.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use nexus_api::ErrorReason;
use nexus_api::method::Method;
use nexus_mesh::trace::trace_id;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};

use crate::Caller;

/// The address of a caller whose call a process of this NEXUS passes on, and the token by which it is known to be one. The
/// address is worth nothing without the token: anybody can write a header.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("nexus-forwarded-for");
/// See [`FORWARDED_FOR`].
pub const FORWARDED_BY: HeaderName = HeaderName::from_static("nexus-forwarded-by");

/// What a call is about: a kind of object, and its name.
type About = (String, String);

/// How a call came. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What is called.
    pub method: &'static Method,
    /// The address of whoever calls, as far as it is known.
    pub address: Option<IpAddr>,
    /// The trace that the call belongs to; empty when it says none.
    pub trace_id: String,
    about: Arc<OnceLock<About>>,
}

impl Arrival {
    /// A call of a method from an address.
    #[must_use]
    pub fn new(method: &'static Method, address: Option<IpAddr>) -> Self {
        Self {
            method,
            address,
            trace_id: String::new(),
            about: Arc::default(),
        }
    }

    /// What is known of a call at the door. `is_ours` says whether a token is one of a process that may pass calls on.
    pub(crate) fn at_the_door(method: &'static Method, call: &Parts, is_ours: impl FnOnce(&str) -> bool) -> Self {
        if let Some(before) = call.extensions.get::<Self>() {
            // It came through another door of this process.
            return Self {
                method,
                ..before.clone()
            };
        }
        let forwarded = || {
            let by = call.headers.get(FORWARDED_BY)?.to_str().ok()?;
            let from = call.headers.get(FORWARDED_FOR)?.to_str().ok()?;
            let from: IpAddr = from.parse().ok()?;
            is_ours(by).then_some(from)
        };
        Self {
            trace_id: trace_id(&call.headers).unwrap_or_default(),
            ..Self::new(method, forwarded().or_else(|| peer(&call.extensions)))
        }
    }

    /// Says what the call turned out to be about, for whoever hears that it was refused. Only what exists: what somebody
    /// typed may be a secret.
    pub fn is_about(&self, kind: &str, name: &str) {
        // The first word holds.
        drop(self.about.set((kind.to_owned(), name.to_owned())));
    }

    /// What the call is about, where it was said.
    #[must_use]
    pub fn about(&self) -> Option<&(String, String)> {
        self.about.get()
    }
}

/// The address of the other end of a connection.
fn peer(extensions: &http::Extensions) -> Option<IpAddr> {
    let plain = || extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let tls = || {
        let info = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
        info.get_ref().remote_addr()
    };
    let address: Option<SocketAddr> = plain().or_else(tls);
    address.map(|address| address.ip().to_canonical())
}

/// Puts the address of whoever called into the headers of a call that is passed on, and takes away what they wrote there
/// themselves. `token` shows that this process may say so.
pub(crate) fn pass_on(headers: &mut HeaderMap, extensions: &http::Extensions, token: Option<HeaderValue>) {
    headers.remove(FORWARDED_FOR);
    headers.remove(FORWARDED_BY);
    let address = match extensions.get::<Arrival>() {
        Some(arrival) => arrival.address,
        None => peer(extensions),
    };
    let value = address.and_then(|address| HeaderValue::from_str(&address.to_string()).ok());
    if let (Some(address), Some(token)) = (value, token) {
        headers.insert(FORWARDED_FOR, address);
        headers.insert(FORWARDED_BY, token);
    }
}

/// A call that was refused, by the door or by whoever answered it.
#[derive(Debug, Clone)]
pub struct Denial {
    /// How it came.
    pub arrival: Arrival,
    /// Who called, if a credential was accepted.
    pub caller: Option<Caller>,
    /// The namespace that it named, or that its credential leaves; empty where neither says one.
    pub namespace: String,
    /// Why it was refused.
    pub reason: ErrorReason,
}

/// Hears of calls that were refused. It must not wait.
pub trait Witness: Send + Sync {
    /// A call was refused.
    fn denied(&self, denial: Denial);
}

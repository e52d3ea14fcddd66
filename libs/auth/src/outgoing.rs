//! What a process shows when it calls others for itself.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Request, header};
use nexus_mesh::Transport;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::{Caller, ServiceKey, arrival};

/// What it shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// That it is a process of this NEXUS, in some role; nothing over the network where there is no key.
    Service {
        /// The role.
        role: &'static str,
        /// The key that others verify it with.
        key: Option<ServiceKey>,
    },
    /// An API key, as anybody else would.
    Key(HeaderValue),
}

impl Shown {
    /// An API key.
    #[must_use]
    pub fn key(key: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        value.set_sensitive(true);
        Some(Self::Key(value))
    }

    fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Key(value) => Some(value.clone()),
            Self::Service { role, key } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let token = key.as_ref()?.sign(role, now.as_secs());
                let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        }
    }
}

/// A way on which calls of others are passed on: it says from which address each came, and shows that this process may say
/// so. The credential stays the caller's.
#[must_use]
pub fn passing_on(way: Transport, shown: Shown) -> Transport {
    let way = way.map_request(move |mut request: Request<Body>| {
        let token = match &shown {
            Shown::Service { role, key } => token(role, key.as_ref()),
            Shown::Key(_) => None,
        };
        let extensions = request.extensions().clone();
        arrival::pass_on(request.headers_mut(), &extensions, token);
        request
    });
    BoxCloneSyncService::new(way)
}

/// A service's token, as a header's value that is shown in no log.
fn token(role: &str, key: Option<&ServiceKey>) -> Option<HeaderValue> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut value = HeaderValue::from_str(&key?.sign(role, now.as_secs())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A way on which every call shows it.
#[must_use]
pub fn showing(way: Transport, shown: Shown) -> Transport {
    let caller = match &shown {
        Shown::Service { role, .. } => Some(Caller::service(role)),
        // Whose it is the other side finds out.
        Shown::Key(_) => None,
    };
    let way = way.map_request(move |mut request: Request<Body>| {
        if let Some(header) = shown.header() {
            request.headers_mut().insert(header::AUTHORIZATION, header);
        }
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        request
    });
    BoxCloneSyncService::new(way)
}

//! From a host to addresses that may be reached. Connections are made to what came out, and to no name: a name that is looked
//! up again may have another address by then.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use url::{Host, Url};

use crate::allowed::Allowed;

/// How a name is looked up.
pub type Lookup = Arc<dyn Fn(String, u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// An address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to no address that may be reached from here: it is private, or of this machine")]
pub struct Refused {
    /// The host as it was written.
    pub host: String,
}

/// Looks names up, and gives what may be reached.
#[derive(Clone)]
pub struct Resolver {
    allowed: Arc<Allowed>,
    lookup: Lookup,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl Resolver {
    /// With the names that the system knows.
    #[must_use]
    pub fn of_system(allowed: Allowed) -> Self {
        let lookup: Lookup = Arc::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
        });
        Self::new(allowed, lookup)
    }

    /// With another way to look names up.
    #[must_use]
    pub fn new(allowed: Allowed, lookup: Lookup) -> Self {
        Self {
            allowed: Arc::new(allowed),
            lookup,
        }
    }

    /// The addresses of a host that may be reached: a name's, or the one that it is written as.
    ///
    /// # Errors
    /// [`Refused`] when there is none of them; the resolver's error when the name leads nowhere.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let found = (self.lookup)(host.to_owned(), port).await?;
        let named = self.allowed.name(host);
        let may = |address: &SocketAddr| named || self.allowed.address(address.ip());
        let allowed: Vec<SocketAddr> = found.into_iter().filter(may).collect();
        if allowed.is_empty() {
            return Err(Refused { host: host.to_owned() }.into());
        }
        Ok(allowed)
    }

    /// Looks at an address before anything is sent. A host that is written as an address is not looked up, so nothing else
    /// would look at it.
    ///
    /// # Errors
    /// When it is written as an address that may not be reached.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let literal = match url.host() {
            None | Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        };
        match literal {
            Some(ip) if !self.allowed.address(ip) => Err(Refused { host: ip.to_string() }),
            _ => Ok(()),
        }
    }
}

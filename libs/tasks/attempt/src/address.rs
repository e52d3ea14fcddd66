//! The one check of addresses that a task named: unless the operator allows it, nothing that is not public is reached,
//! whether it is written as a number or hidden behind a name.

use std::error::Error;
use std::net::SocketAddr;

use nexus_egress::{Allowed, Resolver};
use url::Url;

use crate::outcome::Failure;

pub use nexus_egress::{Refused, chain, is_public, is_tls};

/// Refuses a host that is written as an address which is not public, before anything is sent.
pub fn check(url: &Url, allow_private: bool) -> Result<(), Failure> {
    let checked = resolver(allow_private).check(url);
    checked.map_err(|refused| refusal(&refused))
}

/// The addresses of a host that may be reached. The connection is to be made to one of these, and to no name: a name that
/// is looked up again may have another address by then.
pub async fn resolve(
    host: &str,
    port: u16,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    resolver(allow_private).resolve(host, port).await
}

/// What looks names up for tasks.
pub fn resolver(allow_private: bool) -> Resolver {
    Resolver::of_system(Allowed::private(allow_private))
}

/// The failure for a refused address.
pub fn refusal(refused: &Refused) -> Failure {
    let message = format!(
        "{} resolves to no public address; private addresses are refused on this worker",
        refused.host
    );
    Failure::new("AddressRefused", message).final_()
}

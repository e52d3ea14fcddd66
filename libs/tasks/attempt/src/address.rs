//! The one check of addresses that a user named: unless the operator allows it, nothing that is not public is reached,
//! whether it is written as a number or hidden behind a name.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use crate::outcome::Failure;

/// An address was refused.
#[derive(Debug, thiserror::Error)]
#[error("{host} resolves to no public address; private addresses are refused on this worker")]
pub struct Refused {
    host: String,
}

/// Refuses a host that is written as an address which is not public, before anything is sent.
pub fn check(url: &Url, allow_private: bool) -> Result<(), Failure> {
    let literal = match url.host() {
        None | Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
    };
    match literal {
        Some(ip) if !allow_private && !is_public(ip) => Err(refusal(&Refused { host: ip.to_string() })),
        _ => Ok(()),
    }
}

/// The addresses of a host that may be reached. The connection is to be made to one of these, and to no name: a name that
/// is looked up again may have another address by then.
pub async fn resolve(
    host: &str,
    port: u16,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let allowed: Vec<SocketAddr> = found
        .filter(|address| allow_private || is_public(address.ip()))
        .collect();
    if allowed.is_empty() {
        return Err(Refused { host: host.to_owned() }.into());
    }
    Ok(allowed)
}

/// The failure for a refused address.
pub fn refusal(refused: &Refused) -> Failure {
    Failure::new("AddressRefused", refused.to_string()).final_()
}

/// An error with all that it comes from, the outermost first.
pub fn chain<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        chain.push(error);
        next = error.source();
    }
    chain
}

/// True for an error of TLS. An io::Error hides its inner error from `source` and shows it through `get_ref`, layer by
/// layer.
pub fn is_tls(error: &(dyn Error + 'static)) -> bool {
    error.is::<rustls::Error>()
        || error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(|inner| is_tls(inner))
}

/// True for an address of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // IPv4 in IPv6, by mapping, by NAT64 and by 6to4, is as public as the address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded(high, low)
        }
        // Everything else in 2001::/23 is for protocols (Teredo among them), 2001:db8::/32 for documents.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        // Global unicast is 2000::/3 and nothing else.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

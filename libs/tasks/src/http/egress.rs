//! The one way out to addresses that a user named: unless the operator allows it, nothing that is not public is
//! reached, whether it is written as a number or hidden behind a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::outcome::Failure;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// An address was refused by the guard.
#[derive(Debug, thiserror::Error)]
#[error("{host} resolves to no public address; private addresses are refused on this worker")]
pub(super) struct Refused {
    host: String,
}

/// The HTTP client behind the guard.
pub(crate) struct Egress {
    allow_private: bool,
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Egress {
    pub(crate) fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            client: OnceLock::new(),
        }
    }

    /// The client, built with the first request: reading the system's certificates takes time.
    pub(crate) fn client(&self) -> Result<&reqwest::Client, Failure> {
        let built = self.client.get_or_init(|| {
            // Another part of the process may have chosen a provider already; then that one serves.
            let _installed = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT_LIMIT)
                .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(Guard {
                    allow_private: self.allow_private,
                }))
                .build()
                .map_err(|error| error.to_string())
        });
        built
            .as_ref()
            .map_err(|error| Failure::lost(format!("the worker cannot make HTTP requests: {error}")))
    }

    /// Refuses an address before anything is sent: another scheme, no host, a literal that is not public.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Failure> {
        let invalid = |problem: &str| Failure::new("InvalidUrl", format!("{}: {problem}", super::plain(url))).final_();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("only http and https are possible"));
        }
        let literal = match url.host() {
            None => return Err(invalid("there is no host")),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        };
        match literal {
            Some(ip) if !self.allow_private && !is_public(ip) => Err(refusal(&Refused { host: ip.to_string() })),
            _ => Ok(()),
        }
    }
}

/// The failure for a refused address.
pub(super) fn refusal(refused: &Refused) -> Failure {
    Failure::new("AddressRefused", refused.to_string()).final_()
}

struct Guard {
    allow_private: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| allow_private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(Refused { host }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// True for an address of the public internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_known_in_every_spelling() {
        let guard = Egress::new(false);
        for bad in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://10.1.2.3/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://192.168.1.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://255.255.255.255/",
            "http://198.18.0.1/",
            "http://224.0.0.1/",
        ] {
            let failure = guard.check(&Url::parse(bad).expect(bad)).expect_err(bad);
            assert_eq!(failure.error_type, "AddressRefused", "{bad}");
            assert!(failure.non_retryable);
        }
        for good in ["http://1.1.1.1/", "https://[2606:4700::1111]/", "https://example.com/"] {
            assert!(guard.check(&Url::parse(good).expect(good)).is_ok(), "{good}");
        }
        assert!(
            Egress::new(true)
                .check(&Url::parse("http://127.0.0.1/").expect("url"))
                .is_ok()
        );
        let scheme = guard
            .check(&Url::parse("file:///etc/passwd").expect("url"))
            .expect_err("scheme");
        assert_eq!(scheme.error_type, "InvalidUrl");
    }

    #[tokio::test]
    async fn a_name_for_loopback_is_refused_after_resolution() {
        let client = Egress::new(false);
        let error = client
            .client()
            .expect("client")
            .get("http://localhost:9/")
            .send()
            .await
            .expect_err("refused");
        let url = Url::parse("http://localhost:9/").expect("url");
        assert_eq!(super::super::failure::of(&error, &url).error_type, "AddressRefused");
    }
}

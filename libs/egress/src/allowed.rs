//! What may be reached beside the public internet, as an operator writes it: addresses, networks and names. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::public::is_public;

/// What may be reached: the public internet, and what an operator has added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    everything: bool,
    networks: Vec<IpNet>,
    /// In small letters.
    names: Vec<String>,
}

/// An entry that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address, nor a network such as 10.0.0.0/8, nor the name of a host")]
pub struct NotAllowed(String);

impl Allowed {
    /// Everything, or the public internet alone.
    #[must_use]
    pub fn private(everything: bool) -> Self {
        Self {
            everything,
            ..Self::default()
        }
    }

    /// The public internet, and what stands in a list: `127.0.0.1`, `10.0.0.0/8`, `mail.internal`.
    ///
    /// # Errors
    /// With the first entry that is none of them.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, NotAllowed> {
        let mut allowed = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if let Ok(network) = entry.parse::<IpNet>() {
                allowed.networks.push(network);
            } else if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
                allowed.networks.push(IpNet::from(address));
            } else if is_name(entry) {
                allowed.names.push(entry.to_ascii_lowercase());
            } else {
                return Err(NotAllowed(entry.to_owned()));
            }
        }
        Ok(allowed)
    }

    /// Whether an address may be reached, whatever name led to it.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> bool {
        // What is written as IPv4 in IPv6 leads to the address inside.
        let inner = address.to_canonical();
        let listed = |network: &IpNet| network.contains(&inner) || network.contains(&address);
        self.everything || is_public(address) || self.networks.iter().any(listed)
    }

    /// Whether whatever a name leads to may be reached.
    #[must_use]
    pub fn name(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.everything || self.names.contains(&host)
    }
}

/// Whether a text can be a host's name, and none that a resolver takes for an address (`0x7f.1`).
fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(part) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_may_be_reached_in_every_spelling_and_nothing_else_of_private_networks() {
        let allowed = Allowed::parse(["127.0.0.1", "10.1.0.0/16", "::1", "Mail.internal"]).expect("a list");
        for good in [
            "127.0.0.1",
            "10.1.255.1",
            "::1",
            "::ffff:127.0.0.1",
            "1.1.1.1",
            "2606:4700::1111",
        ] {
            assert!(allowed.address(good.parse().expect(good)), "{good}");
        }
        for bad in [
            "127.0.0.2",
            "10.2.0.1",
            "169.254.169.254",
            "::ffff:10.2.0.1",
            "fd00::1",
            "0.0.0.0",
        ] {
            assert!(!allowed.address(bad.parse().expect(bad)), "{bad}");
        }
        assert!(allowed.name("mail.INTERNAL.") && !allowed.name("mail.internal.evil"));
        assert!(Allowed::private(true).address("127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn what_is_neither_is_named() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "a b",
            "0x7f.1",
            "2130706433",
            "http://a",
            "a..b",
            "*",
        ] {
            let error = Allowed::parse([wrong]).expect_err(wrong).to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}

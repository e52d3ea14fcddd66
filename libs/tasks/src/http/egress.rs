//! The HTTP client, which reaches no address that [`address`] refuses.

use std::sync::OnceLock;

use url::Url;

use nexus_attempt::{Failure, address};

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
            nexus_egress::client(&address::resolver(self.allow_private)).map_err(|error| error.to_string())
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
        if url.host().is_none() {
            return Err(invalid("there is no host"));
        }
        address::check(url, self.allow_private)
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

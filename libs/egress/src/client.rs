//! The one HTTP client for addresses that somebody named. It follows no redirect, uses no proxy of the environment, which would
//! go around the guard, and connects only to what the resolver has looked at.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::resolver::Resolver;

/// Time for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("HTTP requests cannot be made: {0}")]
pub struct ClientError(String);

struct Guard(Resolver);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The client. A host that is written as an address passes it by: [`Resolver::check`] comes first. Reading the system's
/// certificates takes a moment.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client(resolver: &Resolver) -> Result<reqwest::Client, ClientError> {
    // Another part of the process may have chosen a provider already; then that one serves.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Guard(resolver.clone())))
        .build()
        .map_err(|error| ClientError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{Allowed, Refused, chain};

    #[tokio::test]
    async fn a_name_that_changes_its_address_leads_nowhere_else() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let private = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let lookup: crate::Lookup = Arc::new(move |_, _| {
            let first = counting.fetch_add(1, Ordering::SeqCst) == 0;
            // 192.0.2.1 is nobody's; what follows is this machine.
            let address = if first {
                "1.1.1.1:0".parse().expect("an address")
            } else {
                private
            };
            Box::pin(async move { Ok(vec![address]) })
        });
        let resolver = Resolver::new(Allowed::default(), lookup);
        assert!(
            resolver.resolve("rebinds.example", 0).await.is_ok(),
            "the first answer is public"
        );
        let url = format!("http://rebinds.example:{}/", private.port());
        let error = client(&resolver)
            .expect("a client")
            .get(url)
            .send()
            .await
            .expect_err("refused");
        let refused = chain(&error)
            .into_iter()
            .find_map(|error| error.downcast_ref::<Refused>())
            .cloned();
        assert_eq!(refused.map(|refused| refused.host).as_deref(), Some("rebinds.example"));
        assert_eq!(
            asked.load(Ordering::SeqCst),
            2,
            "what was looked at is what would be connected to"
        );
    }
}

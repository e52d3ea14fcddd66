//! A cache of bytes that replicas share. Whatever goes wrong is a miss: nobody waits long for it, and nothing fails
//! because of it.

use std::time::Duration;

use super::Link;

/// Time that a look may take: whoever looks can also make what it looks for.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of a value at most; more would hold up the connection that everybody shares.
const MAX_VALUE: usize = 1 << 20;

/// A cache of bytes.
#[derive(Debug, Clone)]
pub struct Cache {
    link: Link,
    prefix: String,
}

impl Cache {
    /// A cache whose keys begin with `prefix`.
    #[must_use]
    pub fn new(link: Link, prefix: impl Into<String>) -> Self {
        Self {
            link,
            prefix: prefix.into(),
        }
    }

    /// What is known under a key.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let command = ::redis::cmd("GET").arg(self.key(key)).to_owned();
        let found: Result<Option<Vec<u8>>, _> = self.link.run_within(PATIENCE, &command).await;
        found.unwrap_or_else(|error| {
            tracing::debug!(error = self.link.told(&error), "the cache was not asked");
            None
        })
    }

    /// Remembers something for a time, if that can be done at once.
    pub async fn put(&self, key: &str, bytes: &[u8], time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if bytes.len() > MAX_VALUE || millis == 0 {
            return;
        }
        let mut command = ::redis::cmd("SET");
        command.arg(self.key(key)).arg(bytes).arg("PX").arg(millis);
        if let Err(error) = self.link.run_within::<()>(PATIENCE, &command).await {
            tracing::debug!(error = self.link.told(&error), "the cache was not filled");
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

//! A mark that says who uses a namespace. Whoever finds another's there knows that two use it by mistake.

use std::sync::LazyLock;
use std::time::Duration;

use ::redis::Script;

use super::Link;

/// Sets the mark or renews it; gives the other one that is there instead.
static HOLD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local there = redis.call('GET', KEYS[1])
         if there and there ~= ARGV[1] then return there end
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         return false",
    )
});

/// A mark under a key.
#[derive(Debug)]
pub struct Mark {
    link: Link,
    key: String,
    name: String,
}

impl Mark {
    /// The mark of `name`; it is not set yet.
    #[must_use]
    pub fn new(link: Link, key: String, name: String) -> Self {
        Self { link, key, name }
    }

    /// Sets or renews it for a time; gives whose mark is there instead, if another's is.
    ///
    /// # Errors
    /// Why Redis cannot be asked, for people.
    pub async fn hold(&self, time: Duration) -> Result<Option<String>, String> {
        let mut call = HOLD.prepare_invoke();
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        call.key(&self.key).arg(&self.name).arg(millis);
        let held = self.link.invoke(&call).await;
        held.map_err(|error| self.link.told(&error))
    }
}

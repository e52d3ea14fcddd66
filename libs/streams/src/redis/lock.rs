//! A lock for work that one of many should do. It saves work and proves nothing: it is lost when Redis is, and a holder
//! that sleeps past its time does not notice. What must not happen twice is guarded by the store.

use std::sync::LazyLock;
use std::time::Duration;

use ::redis::{RedisError, Script};

use super::Link;

static EXTEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('DEL', KEYS[1])")
});

/// The right to act, until its time is over.
#[derive(Debug)]
pub struct Lock {
    link: Link,
    key: String,
    token: String,
}

impl Lock {
    /// Takes a lock for a time; nothing when somebody else has it.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn try_take(link: &Link, key: &str, time: Duration) -> Result<Option<Self>, RedisError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut command = ::redis::cmd("SET");
        command.arg(key).arg(&token).arg("NX").arg("PX").arg(millis(time));
        let taken: Option<String> = link.run(&command).await?;
        Ok(taken.map(|_| Self {
            link: link.clone(),
            key: key.to_owned(),
            token,
        }))
    }

    /// Holds it for a time from now; false when it was lost.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn extend(&self, time: Duration) -> Result<bool, RedisError> {
        let mut call = EXTEND.prepare_invoke();
        call.key(&self.key).arg(&self.token).arg(millis(time));
        self.link.invoke(&call).await
    }

    /// Gives it back; false when it was lost before.
    ///
    /// # Errors
    /// When Redis cannot be asked; then it ends with its time.
    pub async fn release(self) -> Result<bool, RedisError> {
        let mut call = RELEASE.prepare_invoke();
        call.key(&self.key).arg(&self.token);
        self.link.invoke(&call).await
    }
}

/// Redis refuses times of less than a millisecond.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

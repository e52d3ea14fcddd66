//! Outputs that are kept, so that a task whose input was seen before need not run again.
//!
//! A kept output is a convenience and no truth: what cannot be had in a moment is a miss, and the task runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::Expiry;
use moka::future::Cache;
use nexus_engine::{Output, TaskPlan};
use nexus_execution_owner::Cacheable;
use nexus_expr::Rendered;
use nexus_streams::redis::cache::Cache as RedisCache;
use sha2::{Digest, Sha256};

/// Bytes that are kept in memory at most.
const MAX_BYTES: u64 = 64 << 20;

/// Keeps outputs for a time.
#[async_trait]
pub trait Results: Send + Sync + std::fmt::Debug {
    /// What is kept under a key.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps something for a time, if that can be done at once.
    async fn put(&self, key: &str, bytes: &[u8], time: Duration);
}

#[async_trait]
impl Results for RedisCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        RedisCache::get(self, key).await
    }

    async fn put(&self, key: &str, bytes: &[u8], time: Duration) {
        RedisCache::put(self, key, bytes, time).await;
    }
}

/// Keeps outputs in this process's memory, at most 64 MiB of them.
#[derive(Debug)]
pub struct MemoryResults(Cache<String, (Arc<[u8]>, Duration)>);

impl Default for MemoryResults {
    fn default() -> Self {
        let weight = |key: &String, (bytes, _): &(Arc<[u8]>, Duration)| {
            u32::try_from(key.len() + bytes.len()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(MAX_BYTES).weigher(weight);
        Self(cache.expire_after(OwnTime).build())
    }
}

/// Each output has a time of its own.
struct OwnTime;

impl Expiry<String, (Arc<[u8]>, Duration)> for OwnTime {
    fn expire_after_create(&self, _: &String, value: &(Arc<[u8]>, Duration), _: Instant) -> Option<Duration> {
        Some(value.1)
    }

    fn expire_after_update(
        &self,
        _: &String,
        value: &(Arc<[u8]>, Duration),
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.1)
    }
}

#[async_trait]
impl Results for MemoryResults {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).await.map(|(bytes, _)| bytes.to_vec())
    }

    async fn put(&self, key: &str, bytes: &[u8], time: Duration) {
        self.0.insert(key.to_owned(), (Arc::from(bytes), time)).await;
    }
}

/// What an output is kept under: the task with everything that it is given. Secrets count by their names, since their
/// values are put in by the worker.
pub(crate) fn key(workflow: &str, task: &TaskPlan, input: &Rendered) -> String {
    let mut given = input.value.to_string();
    for secret in &input.secrets {
        given = given.replace(&secret.placeholder, &format!("<secret {}>", secret.name));
    }
    let mut digest = Sha256::new();
    // The queue says the namespace too: what one keeps is not found by another.
    for part in [workflow, &task.id, task.kind, &task.queue, &given] {
        // With its length, so that no two lists of parts read alike.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The output that is kept for a task's input.
pub(crate) async fn find(results: &dyn Results, key: &str) -> Option<Output> {
    let bytes = results.get(key).await?;
    let text = String::from_utf8(bytes).ok()?;
    // Whoever can write there need not know what an output looks like.
    serde_json::from_str::<serde::de::IgnoredAny>(&text).ok()?;
    Some(Output::new(text))
}

/// Keeps an output.
pub(crate) async fn keep(results: &dyn Results, cacheable: Cacheable) {
    let task = cacheable.plan.task(cacheable.task);
    // It could be evaluated when the task began.
    if let (Some(time), Ok(input)) = (task.cache, task.input.render(&cacheable.scope)) {
        let key = key(&cacheable.plan.workflow, task, &input);
        let time = Duration::from_micros(time.micros().unsigned_abs());
        results.put(&key, cacheable.output.text().as_bytes(), time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_output_is_kept_for_its_time() {
        let results = MemoryResults::default();
        results.put("a", b"1", Duration::from_millis(50)).await;
        results.put("b", b"{\"x\": 2}", Duration::from_secs(60)).await;
        results.put("c", b"no json", Duration::from_secs(60)).await;
        assert_eq!(find(&results, "b").await, Some(Output::new("{\"x\": 2}")));
        assert_eq!(find(&results, "c").await, None, "what is not an output is a miss");
        assert_eq!(find(&results, "d").await, None);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(find(&results, "a").await, None);
    }
}

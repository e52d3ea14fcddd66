//! Whether another mesh uses the same Redis under the same namespace. Each would take the other's pointers and drop them
//! as unknown, so that tasks wait for the reconciler: everything works, a hundred times slower, and nobody says why.

use std::time::Duration;

use nexus_mesh::health::RoleReadiness;
use nexus_streams::redis::Link;
use nexus_streams::redis::mark::Mark;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const CLASHES: &str = "nexus_redis_namespace_clash";
/// How often the mark is renewed, and how long it holds without.
const EVERY: Duration = Duration::from_secs(10);
const HOLDS: Duration = Duration::from_secs(30);

/// Describes the metric.
pub(super) fn describe() {
    metrics::describe_gauge!(
        CLASHES,
        "Whether another mesh uses the same Redis and namespace: 1 or 0."
    );
}

/// The mark of this mesh in Redis.
pub(super) struct RedisNamespace {
    /// The namespace.
    pub(super) name: String,
    /// What the mesh is known by: its database.
    pub(super) mesh: String,
    /// The way to Redis.
    pub(super) link: Link,
}

impl std::fmt::Debug for RedisNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisNamespace")
            .field("name", &self.name)
            .field("mesh", &self.mesh)
            .finish_non_exhaustive()
    }
}

impl RedisNamespace {
    /// Holds the mark until the shutdown; `clash` says when another mesh has it. While Redis is away nothing is known,
    /// and nothing clashes either.
    pub(super) async fn watch(self, clash: watch::Sender<Option<String>>, shutdown: CancellationToken) {
        let key = format!("nexus:{{{}}}:mesh", self.name);
        let mark = Mark::new(self.link, key, self.mesh);
        loop {
            let found = match mark.hold(HOLDS).await {
                Ok(other) => other.map(|other| {
                    format!(
                        "another mesh (its database is {other}) uses this Redis under the namespace {:?}; give each a \
                         redis.namespace of its own",
                        self.name
                    )
                }),
                Err(error) => {
                    tracing::debug!(error, "the mark of this mesh was not renewed");
                    None
                }
            };
            metrics::gauge!(CLASHES).set(f64::from(u8::from(found.is_some())));
            if let Some(problem) = &found {
                tracing::error!(problem, "two meshes share a namespace");
            }
            clash.send_if_modified(|known| {
                *known != found && {
                    known.clone_from(&found);
                    true
                }
            });
            tokio::select! {
                () = sleep(EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Keeps a role's readiness what it says itself.
pub(super) async fn tell_condition(readiness: RoleReadiness, condition: watch::Receiver<Option<String>>) {
    let (answered, answers) = watch::channel(true);
    let (clash, clashes) = watch::channel(None);
    tell(readiness, condition, answers, clashes).await;
    drop((answered, clash));
}

/// Keeps a role's readiness what three things are together: what it says itself, whether what it depends on has answered,
/// and whether nobody else uses its namespace.
pub(super) async fn tell(
    readiness: RoleReadiness,
    mut condition: watch::Receiver<Option<String>>,
    mut answered: watch::Receiver<bool>,
    mut clash: watch::Receiver<Option<String>>,
) {
    loop {
        let condition_now = condition.borrow_and_update().clone();
        let clash_now = clash.borrow_and_update().clone();
        let answered_now = *answered.borrow_and_update();
        match clash_now.or(condition_now) {
            Some(reason) => readiness.not_ready(reason),
            // Why it has not answered is said by who asks.
            None if !answered_now => {}
            None => readiness.ready(),
        }
        tokio::select! {
            changed = condition.changed() => if changed.is_err() { return },
            Ok(()) = answered.changed() => {}
            Ok(()) = clash.changed() => {}
        }
    }
}

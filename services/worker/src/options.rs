//! What an operator can set about a worker.

use std::collections::HashMap;
use std::time::Duration;

use nexus_api::Namespace;

/// What an operator can set about a worker.
#[derive(Debug, Clone)]
pub struct Options {
    /// A name for people, such as host and process id.
    pub name: String,
    /// The namespace whose tasks it runs.
    pub namespace: Namespace,
    /// Queues of the namespace that it takes tasks from; `default` when empty.
    pub queues: Vec<String>,
    /// How many tasks it runs at a time.
    pub slots: u32,
    /// Key-value pairs for people and dashboards.
    pub labels: HashMap<String, String>,
    /// How long running tasks may go on after the shutdown began; then they are stopped and given back.
    pub drain_grace: Duration,
    /// How tasks are run, and where secrets come from.
    pub tasks: nexus_tasks::Options,
}

impl Options {
    /// The defaults: the queue `default`, eight slots for each core and at least 16, 20 s to finish at the shutdown.
    #[must_use]
    pub fn new(name: impl Into<String>, tasks: nexus_tasks::Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            name: name.into(),
            namespace: Namespace::default(),
            queues: Vec::new(),
            slots: u32::try_from(cores * 8).unwrap_or(u32::MAX).max(16),
            labels: HashMap::new(),
            drain_grace: Duration::from_secs(20),
            tasks,
        }
    }
}

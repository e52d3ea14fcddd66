//! Where the owner gets the plans of revisions that it loads executions of.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_engine::Plan;

/// Why a plan is not there.
#[derive(Debug, Clone)]
pub enum Missing {
    /// It cannot be had at present.
    Now(String),
    /// Its revision does not exist, or cannot run.
    Ever(String),
}

/// Gives plans of revisions, from the definitions service or from memory.
#[async_trait]
pub trait Plans: Send + Sync {
    /// A revision of a namespace's workflow, made ready to run.
    async fn plan(&self, namespace: &Namespace, workflow: &str, revision: u32) -> Result<Arc<Plan>, Missing>;
}

//! Loading what is live from the store, a page at a time, with the revisions that it runs.

use std::sync::Arc;
use std::time::Duration;

use nexus_engine::Plan;
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use super::Dependencies;
use super::control::Control;
use super::messages::OwnerError;
use crate::ids::ExecutionId;
use crate::plans::Plans;
use crate::store::{ExecutionRow, Silence, TaskRow};

/// Executions loaded at a time.
const PAGE: u32 = 200;
/// How often a revision that cannot be had at present is asked for, and how long the first wait is; it doubles.
const REVISION_TRIES: u32 = 8;
const REVISION_WAIT: Duration = Duration::from_millis(50);
/// How long a load that failed waits for its next try.
const AGAIN: Duration = Duration::from_secs(1);

/// A stored execution, its tasks, and what it runs or why it cannot.
pub(crate) type Stored = (ExecutionRow, Vec<TaskRow>, Result<Arc<Plan>, String>);

/// A shard and the stay of the owner in it for which it is loaded.
pub(crate) type Mark = (u16, u64);

/// A page of what is live in some shards.
pub(crate) struct Page {
    /// The shards, as they stood when the load began.
    pub(super) marks: Vec<Mark>,
    pub(super) executions: Vec<Stored>,
    /// What is noted of the leases of all of them; on the first page.
    pub(super) silences: Vec<Silence>,
    /// Nothing follows.
    pub(super) last: bool,
    /// Dropped once the page is in memory; the next one is not read before.
    pub(super) taken: oneshot::Sender<()>,
}

/// Loads shards while their owner goes on with the others. Ends with the last page, or when the owner has gone.
pub(super) fn in_background(dependencies: &Dependencies, marks: Vec<Mark>, pages: mpsc::Sender<Control>) {
    let dependencies = dependencies.clone();
    tokio::spawn(async move {
        let shards: Vec<u16> = marks.iter().map(|(shard, _)| *shard).collect();
        let mut after = None;
        let mut silences = dependencies.store.silences(&shards).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known which workers are silent; their leases begin anew");
            Vec::new()
        });
        loop {
            let executions = match page(&dependencies, &shards, after).await {
                Ok(executions) => executions,
                Err(error) => {
                    tracing::error!(%error, "shards cannot be loaded; trying again");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let last = executions.is_empty();
            after = executions.last().map(|(row, ..)| row.id).or(after);
            let (taken, in_memory) = oneshot::channel();
            let page = Page {
                marks: marks.clone(),
                executions,
                silences: std::mem::take(&mut silences),
                last,
                taken,
            };
            if pages.send(Control::Loaded(page)).await.is_err() || last {
                return;
            }
            // An error is the usual answer: the page was dropped, having been taken in.
            let _dropped = in_memory.await;
        }
    });
}

/// A page of what is live in some shards (in all, when none is named), by id after `after`.
pub(super) async fn page(
    dependencies: &Dependencies,
    shards: &[u16],
    after: Option<ExecutionId>,
) -> Result<Vec<Stored>, OwnerError> {
    let rows = dependencies.store.open_executions(shards, after, PAGE).await?;
    let mut page = Vec::with_capacity(rows.len());
    for (row, tasks) in rows {
        let plan = plan(&dependencies.plans, &row.workflow, row.revision).await?;
        page.push((row, tasks, plan));
    }
    Ok(page)
}

/// A revision made ready to run. One that does not exist or cannot run is a problem of its executions alone; one that
/// cannot be had at present is asked for again, since leaving its executions out would strand them.
async fn plan(plans: &Plans, workflow: &str, revision: u32) -> Result<Result<Arc<Plan>, String>, OwnerError> {
    let mut wait = REVISION_WAIT;
    let mut tries = 1;
    loop {
        match plans.revision(workflow, revision).await {
            Ok(loaded) => return Ok(Ok(Arc::clone(&loaded.plan))),
            Err(error) if !is_passing(error.code()) => return Ok(Err(error.to_string())),
            Err(error) if tries == REVISION_TRIES => return Err(OwnerError::Definitions(error.to_string())),
            Err(error) => tracing::warn!(%error, "a revision cannot be had at present"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        tries += 1;
    }
}

fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Cancelled
    )
}

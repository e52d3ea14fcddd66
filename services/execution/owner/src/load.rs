//! Loading what is live from the store, a page at a time, with the revisions that it runs. An execution whose revision
//! cannot be had at present holds nobody up: it is put aside, and follows when its revision can be had.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nexus_api::Namespace;
use nexus_engine::Plan;
use nexus_execution_store::{ExecutionId, ExecutionRow, TaskRow};
use tokio::sync::{mpsc, oneshot};

use super::Dependencies;
use super::control::{Control, Stays};
use super::messages::OwnerError;
use super::page::{Mark, Page, Stored};
use crate::plans::{Missing, Plans};

/// Executions loaded at a time.
const PAGE: u32 = 200;
/// How often a revision that cannot be had at present is asked for before its executions are put aside, and the wait
/// between.
const REVISION_TRIES: u32 = 3;
const REVISION_WAIT: Duration = Duration::from_millis(50);
/// The first and the longest wait before the revisions of what was put aside are asked for again; it doubles.
const LATER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long a load that failed waits for its next try.
const AGAIN: Duration = Duration::from_secs(1);

/// What was asked for in one load and could not be had, so that a thousand executions of it wait for it once.
#[derive(Default)]
pub(crate) struct Asked(HashMap<(String, u32), Missing>);

/// Loads shards while their owner goes on with the others. Ends with the last page, or when the owner has gone.
pub(crate) fn in_background(dependencies: &Dependencies, marks: Vec<Mark>, pages: mpsc::Sender<Control>) {
    let dependencies = dependencies.clone();
    tokio::spawn(async move {
        let shards: Vec<u16> = marks.iter().map(|(shard, _)| *shard).collect();
        let (mut after, mut asked) = (None, Asked::default());
        let mut silences = dependencies.journal.silences(&shards).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known which workers are silent; their leases begin anew");
            Vec::new()
        });
        loop {
            let executions = match page(&dependencies, &shards, after, &mut asked).await {
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
                late: false,
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
pub(crate) async fn page(
    dependencies: &Dependencies,
    shards: &[u16],
    after: Option<ExecutionId>,
    asked: &mut Asked,
) -> Result<Vec<Stored>, OwnerError> {
    let rows = dependencies.journal.open_executions(shards, after, PAGE).await?;
    let mut page = Vec::with_capacity(rows.len());
    for (row, tasks) in rows {
        let plan = asked
            .plan(dependencies.plans.as_ref(), &row.namespace, &row.workflow, row.revision)
            .await;
        page.push((row, tasks, plan));
    }
    Ok(page)
}

impl Asked {
    /// A revision made ready to run.
    async fn plan(
        &mut self,
        plans: &dyn Plans,
        namespace: &Namespace,
        workflow: &str,
        revision: u32,
    ) -> Result<Arc<Plan>, Missing> {
        let key = (namespace.qualify(workflow).into_owned(), revision);
        if let Some(missing) = self.0.get(&key) {
            return Err(missing.clone());
        }
        let mut tries = 1;
        loop {
            let missing = match plans.plan(namespace, workflow, revision).await {
                Err(Missing::Now(_)) if tries < REVISION_TRIES => {
                    tokio::time::sleep(REVISION_WAIT).await;
                    tries += 1;
                    continue;
                }
                Err(missing) => missing,
                there => return there,
            };
            tracing::warn!(
                %namespace,
                workflow,
                revision,
                ?missing,
                "a revision is missing; its executions are put aside"
            );
            self.0.insert(key, missing.clone());
            return Err(missing);
        }
    }
}

/// Brings what was put aside back once its revisions can be had, as long as its shards are still in the same stay.
pub(crate) fn later(dependencies: &Dependencies, mut aside: Vec<(Mark, ExecutionRow, Vec<TaskRow>)>, stays: &Stays) {
    let (plans, stays) = (Arc::clone(&dependencies.plans), stays.clone());
    let pages = stays.pages();
    tokio::spawn(async move {
        let (mut wait, longest) = LATER;
        while !aside.is_empty() && !pages.is_closed() {
            tokio::time::sleep(wait.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            wait = (wait * 2).min(longest);
            // A shard that is not served any more has been loaded by somebody else, or is being loaded anew.
            aside.retain(|((shard, stay), ..)| stays.stay(*shard) == *stay);
            let mut asked = Asked::default();
            let mut left = Vec::new();
            for (mark, row, tasks) in std::mem::take(&mut aside) {
                let plan = asked
                    .plan(plans.as_ref(), &row.namespace, &row.workflow, row.revision)
                    .await;
                if matches!(plan, Err(Missing::Now(_))) {
                    left.push((mark, row, tasks));
                    continue;
                }
                let (taken, in_memory) = oneshot::channel();
                let page = Page {
                    marks: vec![mark],
                    executions: vec![(row, tasks, plan)],
                    silences: Vec::new(),
                    last: false,
                    late: true,
                    taken,
                };
                if pages.send(Control::Loaded(page)).await.is_err() {
                    return;
                }
                let _dropped = in_memory.await;
            }
            aside = left;
        }
    });
}

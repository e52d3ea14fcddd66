//! The model of a store: a database that is a map. The simulation runs over it, and the conformance suite shows that it
//! does what the real adapters do.

mod feed;

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Event, TaskKey, TaskState};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Change, ExecutionRow, Fence, Journal, ListFilter, LogQuery, LogRow, Logs, Reads, Removal, StoreError, TaskDuration,
    TaskRow,
};
use crate::ids::ExecutionId;

/// An execution as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The execution; params and output included.
    pub row: ExecutionRow,
    /// Its tasks by position.
    pub tasks: BTreeMap<u32, TaskRow>,
    /// Its history.
    pub events: Vec<Event>,
}

#[derive(Debug, Default)]
struct State {
    fence: Option<Fence>,
    executions: BTreeMap<ExecutionId, Stored>,
    requests: BTreeMap<String, (ExecutionId, String)>,
    logs: Vec<LogRow>,
    feed: feed::Entries,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// Like [`Store::claim`], at once.
    pub fn claim_now(&self, owner: Uuid) -> Fence {
        let mut state = self.state.lock();
        if let Some(fence) = state.fence
            && planted(Bug::EpochNotRaised)
        {
            return fence;
        }
        let epoch = state.fence.map_or(0, |fence| fence.epoch) + 1;
        let fence = Fence { owner, epoch };
        state.fence = Some(fence);
        fence
    }

    /// Like [`Store::commit`], at once.
    ///
    /// # Errors
    /// As there.
    pub fn commit_now(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let Some(first) = changes.first() else { return Ok(()) };
        if state.fence != Some(fence) && !planted(Bug::LostFence) {
            return Err(StoreError::Fenced);
        }
        let sequence = |id| {
            state
                .executions
                .get(&id)
                .map_or(0, |stored: &Stored| stored.row.sequence)
        };
        if sequence(first.execution.id) == first.execution.sequence && !planted(Bug::RepeatNotRecognised) {
            if planted(Bug::FeedToldTwice) {
                state.feed.tell(fence, changes);
            }
            return Ok(());
        }
        for change in changes {
            let execution = change.execution.id;
            if sequence(execution) != change.before && !planted(Bug::LostFence) {
                return Err(StoreError::Conflict { execution });
            }
            let key = change.request.as_ref().map(|request| &request.key);
            if key.is_some_and(|key| state.requests.contains_key(key)) {
                return Err(duplicate());
            }
        }
        for change in changes {
            state.write(change);
        }
        state.feed.tell(fence, changes);
        Ok(())
    }

    /// The execution that an idempotency key was used for, and that start's fingerprint.
    #[must_use]
    pub fn request_now(&self, key: &str) -> Option<(ExecutionId, String)> {
        self.state.lock().requests.get(key).cloned()
    }

    /// Everything that is stored of an execution, looked at in place.
    pub fn look<T>(&self, id: ExecutionId, look: impl FnOnce(Option<&Stored>) -> T) -> T {
        look(self.state.lock().executions.get(&id))
    }

    /// The executions that are not terminal, with their tasks.
    #[must_use]
    pub fn open_now(&self) -> Vec<(ExecutionRow, Vec<TaskRow>)> {
        let state = self.state.lock();
        let open = state
            .executions
            .values()
            .filter(|stored| stored.row.finished_at.is_none());
        open.map(|stored| (stored.row.clone(), stored.tasks.values().cloned().collect()))
            .collect()
    }

    /// The newest claim.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.state.lock().fence
    }

    /// All ids.
    #[must_use]
    pub fn ids(&self) -> Vec<ExecutionId> {
        self.state.lock().executions.keys().copied().collect()
    }
}

/// What a database says of a key that is there already.
fn duplicate() -> StoreError {
    StoreError::Database(nexus_storage::Error::duplicate())
}

impl State {
    fn write(&mut self, change: &Change) {
        let id = change.execution.id;
        if let Some(request) = &change.request {
            let used = (id, request.fingerprint.clone());
            self.requests.insert(request.key.clone(), used);
        }
        let stored = self.executions.entry(id).or_insert_with(|| Stored {
            row: change.execution.clone(),
            tasks: BTreeMap::new(),
            events: Vec::new(),
        });
        let params = std::mem::take(&mut stored.row.params);
        let output = stored.row.output.take();
        stored.row = ExecutionRow {
            params,
            output: change.execution.output.clone().or(output),
            ..change.execution.clone()
        };
        for task in &change.tasks {
            let output = stored.tasks.remove(&task.position).and_then(|old| old.output);
            let task = TaskRow {
                output: task.output.clone().or(output),
                ..task.clone()
            };
            stored.tasks.insert(task.position, task);
        }
        stored.events.extend(change.events.iter().cloned());
    }
}

fn fits(filter: &ListFilter, row: &ExecutionRow) -> bool {
    filter.namespace == row.namespace
        && filter
            .workflow
            .as_ref()
            .is_none_or(|workflow| *workflow == row.workflow)
        && filter.state.is_none_or(|state| state == row.state)
        && filter.created_after.is_none_or(|after| row.created_at > after)
        && filter.created_before.is_none_or(|before| row.created_at < before)
        && filter
            .labels
            .iter()
            .all(|(key, value)| row.labels.get(key) == Some(value))
}

#[async_trait]
impl Journal for MemoryStore {
    async fn claim(&self, owner: Uuid) -> Result<Fence, StoreError> {
        Ok(self.claim_now(owner))
    }

    async fn commit(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
        self.commit_now(fence, changes)
    }

    async fn open_executions(
        &self,
        shards: &[u16],
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<(ExecutionRow, Vec<TaskRow>)>, StoreError> {
        let wanted = |id: ExecutionId| shards.is_empty() || shards.contains(&id.shard());
        let open = self.open_now().into_iter();
        let page = open.filter(|(row, _)| wanted(row.id) && after.is_none_or(|after| row.id > after));
        Ok(page.take(limit as usize).collect())
    }
}

#[async_trait]
impl Reads for MemoryStore {
    async fn request(&self, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError> {
        Ok(self.request_now(key))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError> {
        Ok(self.look(id, |stored| stored.map(|stored| stored.row.clone())))
    }

    async fn ids_with_prefix(&self, namespace: &Namespace, digits: &str) -> Result<Vec<ExecutionId>, StoreError> {
        let state = self.state.lock();
        let rows = state.executions.values().map(|stored| &stored.row);
        let fits =
            |row: &&ExecutionRow| row.namespace == *namespace && row.id.0.simple().to_string().starts_with(digits);
        Ok(rows.filter(fits).map(|row| row.id).take(2).collect())
    }

    async fn list(
        &self,
        filter: &ListFilter,
        before: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<ExecutionRow>, StoreError> {
        let state = self.state.lock();
        let newest_first = state.executions.values().rev().map(|stored| &stored.row);
        let listed = newest_first.filter(|row| before.is_none_or(|before| row.id < before) && fits(filter, row));
        Ok(listed.take(limit as usize).cloned().collect())
    }

    async fn task_counts(&self, ids: &[ExecutionId]) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError> {
        let state = self.state.lock();
        let mut counts: BTreeMap<(ExecutionId, TaskState), u32> = BTreeMap::new();
        for id in ids {
            for task in state.executions.get(id).iter().flat_map(|stored| stored.tasks.values()) {
                *counts.entry((*id, task.state)).or_default() += 1;
            }
        }
        Ok(counts
            .into_iter()
            .map(|((id, state), count)| (id, state, count))
            .collect())
    }

    async fn tasks(&self, id: ExecutionId, from: u32, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        let to = from.saturating_add(limit);
        Ok(self.look(id, |stored| {
            let tasks = stored.iter().flat_map(|stored| stored.tasks.range(from..to));
            tasks.map(|(_, task)| task.clone()).collect()
        }))
    }

    async fn history(
        &self,
        id: ExecutionId,
        task: Option<u32>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        Ok(self.look(id, |stored| {
            let events = stored.iter().flat_map(|stored| &stored.events);
            let wanted = events.filter(|event| {
                event.sequence > after && (task.is_none() || event.fact.task().map(TaskKey::number) == task)
            });
            wanted.take(limit as usize).cloned().collect()
        }))
    }

    #[allow(clippy::cast_precision_loss)]
    async fn durations(
        &self,
        namespace: &Namespace,
        workflow: &str,
        executions: u32,
    ) -> Result<(Vec<TaskDuration>, u32), StoreError> {
        let state = self.state.lock();
        let finished = |stored: &&Stored| {
            let row = &stored.row;
            row.namespace == *namespace && row.workflow == workflow && row.finished_at.is_some()
        };
        let newest = state
            .executions
            .values()
            .rev()
            .filter(finished)
            .take(executions as usize);
        let mut looked_at = 0;
        let mut sums: BTreeMap<(u32, u32), (f64, u32)> = BTreeMap::new();
        for stored in newest {
            looked_at += 1;
            for task in stored.tasks.values().filter(|task| task.state == TaskState::Succeeded) {
                if let (Some(from), Some(to)) = (task.attempt_started_at, task.finished_at) {
                    let (sum, samples) = sums.entry((stored.row.revision, task.position)).or_default();
                    *sum += (to - from) as f64 / 1e6;
                    *samples += 1;
                }
            }
        }
        let durations = sums
            .into_iter()
            .map(|((revision, position), (sum, samples))| TaskDuration {
                revision,
                position,
                mean_seconds: sum / f64::from(samples),
                samples,
            });
        Ok((durations.collect(), looked_at))
    }
}

#[async_trait]
impl Logs for MemoryStore {
    async fn append_logs(&self, lines: &[LogRow]) -> Result<(), StoreError> {
        let logs = &mut self.state.lock().logs;
        for line in lines {
            let same = |old: &LogRow| {
                (old.execution, old.task, old.attempt, old.line) == (line.execution, line.task, line.attempt, line.line)
            };
            if !logs.iter().any(same) {
                let sequence = logs.len() as u64 + 1;
                logs.push(LogRow {
                    sequence,
                    ..line.clone()
                });
            }
        }
        Ok(())
    }

    async fn logs(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        let state = self.state.lock();
        let wanted = state.logs.iter().filter(|line| {
            line.execution == query.execution
                && line.sequence > query.after
                && query.task.is_none_or(|task| task == line.task)
                && query.attempt.is_none_or(|attempt| attempt == line.attempt)
        });
        Ok(wanted.take(query.limit as usize).cloned().collect())
    }
}

#[async_trait]
impl Removal for MemoryStore {
    async fn purge(&self, finished_before: i64, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let old = |stored: &Stored| stored.row.finished_at.is_some_and(|at| at < finished_before);
        let ids: Vec<ExecutionId> = state
            .executions
            .iter()
            .filter(|(_, stored)| old(stored))
            .map(|(id, _)| *id)
            .collect();
        let ids = &ids[..ids.len().min(limit as usize)];
        state.executions.retain(|id, _| !ids.contains(id));
        state.requests.retain(|_, (id, _)| !ids.contains(id));
        state.logs.retain(|line| !ids.contains(&line.execution));
        Ok(ids.len() as u64)
    }
}

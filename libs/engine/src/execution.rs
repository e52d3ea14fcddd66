//! An execution in memory, and the one function that changes it. Its fields are private: whoever holds one reads it, as a
//! record, and changes it through [`crate::decide`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use nexus_expr::{Scope, TaskView};
use serde_json::Value;

use crate::backlog::{Backlog, SLICE};
use crate::event::{Event, EventKind, Fact};
use crate::key::TaskKey;
use crate::plan::Plan;
use crate::planted::{Bug, planted};
use crate::record::{ExecutionRecord, TaskRecord};
use crate::rules::{Tally, Verdict, judge};
use crate::state::{ExecutionState, Output, TaskState};
use crate::task::{Task, Tasks};
use crate::transitions::{execution_may, task_may};

/// A change that no table of transitions lists, or an event out of its turn. It is a bug of whoever decided it, and is
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A task may not change so.
    #[error("task {task} may not go from {from:?} to {to:?} by {event:?}")]
    Task {
        /// Which task.
        task: TaskKey,
        /// Where it stands.
        from: TaskState,
        /// By what event.
        event: EventKind,
        /// Where it was to go.
        to: TaskState,
    },
    /// The execution may not change so.
    #[error("the execution may not go from {from:?} to {to:?} by {event:?}")]
    Execution {
        /// Where it stands.
        from: ExecutionState,
        /// By what event.
        event: EventKind,
        /// Where it was to go.
        to: ExecutionState,
    },
    /// History has a gap, or goes back.
    #[error("event {found} came after event {before}")]
    Sequence {
        /// The newest event.
        before: u64,
        /// The one that came.
        found: u64,
    },
    /// There is no such task.
    #[error("there is no task {0}")]
    NoTask(TaskKey),
}

/// An execution in memory; reads as its record.
#[derive(Debug, Clone)]
pub struct Execution {
    record: ExecutionRecord,
    /// The execution's id as text, for expressions.
    id: String,
    /// What runs.
    pub(crate) plan: Arc<Plan>,
    /// Parameters, defaults filled in.
    pub(crate) params: Arc<Value>,
    /// Where chance comes from: equal seeds give equal jitter.
    pub(crate) seed: u64,
    /// The tasks, by position in the plan.
    pub(crate) tasks: Tasks,
    /// How many tasks are not terminal. Derived, never stored.
    pub(crate) open: u32,
    /// Work that the last decision left to the next. Derived, never stored.
    pub(crate) backlog: Backlog,
    /// About how many events one decision may have before the rest is left to the next.
    pub(crate) slice: usize,
    /// Why nothing is decided about it any more.
    broken: Option<Refused>,
}

impl Deref for Execution {
    type Target = ExecutionRecord;

    fn deref(&self) -> &ExecutionRecord {
        &self.record
    }
}

impl Execution {
    /// An execution that nothing has happened to yet.
    #[must_use]
    pub fn new(id: String, plan: Arc<Plan>, params: Arc<Value>, seed: u64, created_at: i64) -> Self {
        let tasks = plan.tasks.iter().map(|task| Task::of(task, TaskRecord::default()));
        let tasks = Tasks::of_nodes(tasks);
        Self {
            record: ExecutionRecord::accepted(created_at),
            id,
            params,
            seed,
            open: tasks.count(),
            tasks,
            plan,
            backlog: Backlog::default(),
            slice: SLICE,
            broken: None,
        }
    }

    /// An execution as a store kept it. Tasks that are not named have had nothing happen to them; outputs that no
    /// expression looks at are left out, as the store has them.
    ///
    /// # Errors
    /// When a task is named that the plan does not have.
    pub fn restore(
        id: String,
        plan: Arc<Plan>,
        params: Arc<Value>,
        seed: u64,
        record: ExecutionRecord,
        tasks: impl IntoIterator<Item = (TaskKey, TaskRecord)>,
    ) -> Result<Self, Refused> {
        let mut execution = Self::new(id, plan, params, seed, record.created_at);
        execution.record = record;
        for (key, record) in tasks {
            let task = execution.tasks.get_mut(key);
            task.ok_or(Refused::NoTask(key))?.record = record;
            if !execution.plan.task(key).wanted {
                execution.forget_output(key);
            }
        }
        execution.derive();
        Ok(execution)
    }

    /// The same with another length of decisions: about so many events, before the rest is left to the next one.
    #[must_use]
    pub fn with_slice(self, slice: usize) -> Self {
        Self { slice, ..self }
    }

    /// What runs.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The tasks, by position in the plan.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Lets the output of a task go, whose copy the store has; gives how many bytes that were.
    pub fn forget_output(&mut self, task: TaskKey) -> usize {
        let task = self.tasks.get_mut(task);
        let output = task.and_then(|task| task.record.output.take());
        output.map_or(0, |output| output.text().len())
    }

    /// Why nothing is decided about it any more: a change was refused, and what is in memory may be half of a decision.
    #[must_use]
    pub fn broken(&self) -> Option<&Refused> {
        self.broken.as_ref()
    }

    /// From now on nothing is decided.
    pub(crate) fn break_off(&mut self, refused: Refused) {
        self.broken.get_or_insert(refused);
    }

    /// Recomputes what is derived from the tasks' states: the tallies, the number of open tasks and the backlog.
    fn derive(&mut self) {
        let plan = Arc::clone(&self.plan);
        for (task, planned) in self.tasks.iter_mut().zip(&plan.tasks) {
            task.tally = Tally::before(planned);
        }
        self.open = 0;
        for key in self.tasks.keys() {
            let state = self.tasks[key].state;
            if state.is_terminal() {
                let wrong = planted(Bug::TallyWrongOnReload);
                self.tally_dependants(key, if wrong { TaskState::Succeeded } else { state });
            } else {
                self.open += 1;
            }
        }
        self.backlog = self.derive_backlog();
    }

    /// What a decision that was cut had left over.
    fn derive_backlog(&self) -> Backlog {
        if self.mode().is_closing() {
            return Backlog {
                sweep: Some(TaskKey::of(0)),
                ..Backlog::default()
            };
        }
        let decided = |key: &TaskKey| {
            let task = &self.tasks[*key];
            let rule = self.plan.task(*key).rule;
            task.state == TaskState::Waiting && judge(rule, task.tally) != Verdict::Wait
        };
        Backlog {
            judge: self.tasks.keys().filter(decided).collect(),
            ..Backlog::default()
        }
    }

    /// What expressions that refer to these tasks can see.
    #[must_use]
    pub fn scope(&self, tasks: &BTreeSet<String>, nonce: &str) -> Scope {
        let mut views = BTreeMap::new();
        for id in tasks {
            if let Some(key) = self.plan.find(id) {
                let task = &self.tasks[key];
                let error = task
                    .failure
                    .as_ref()
                    .and_then(|failure| serde_json::to_value(failure).ok());
                views.insert(
                    id.clone(),
                    TaskView {
                        state: task.state.name().to_owned(),
                        output: task.output.as_ref().map(Output::value),
                        error,
                    },
                );
            }
        }
        Scope {
            params: Arc::clone(&self.params),
            tasks: views,
            execution: self.id.clone(),
            namespace: Arc::clone(&self.plan.namespace),
            workflow: self.plan.workflow.clone(),
            revision: self.plan.revision,
            nonce: nonce.to_owned(),
        }
    }

    /// Changes the execution as an event says. The only function that does.
    ///
    /// # Errors
    /// When the event is out of its turn or the tables of transitions do not list the change; then nothing has changed.
    pub fn apply(&mut self, event: &Event) -> Result<(), Refused> {
        if event.sequence != self.sequence + 1 {
            return Err(Refused::Sequence {
                before: self.sequence,
                found: event.sequence,
            });
        }
        match &event.fact {
            Fact::ExecutionCreated => self.record.created_at = event.at,
            Fact::ExecutionStarted => {
                self.move_execution(ExecutionState::Running, &event.fact)?;
                self.record.started_at = Some(event.at);
            }
            Fact::ExecutionCancelling { closing, reason } => {
                self.move_execution(ExecutionState::Cancelling, &event.fact)?;
                self.record.closing = Some(*closing);
                self.record.closing_reason.clone_from(reason);
            }
            Fact::ExecutionFinished {
                state, output, failure, ..
            } => {
                self.move_execution(*state, &event.fact)?;
                self.record.finished_at = Some(event.at);
                self.record.output.clone_from(output);
                self.record.failure.clone_from(failure);
            }
            fact => self.apply_to_task(fact, event.at)?,
        }
        self.record.sequence = event.sequence;
        Ok(())
    }

    fn apply_to_task(&mut self, fact: &Fact, at: i64) -> Result<(), Refused> {
        let to = match fact {
            Fact::TaskScheduled { .. } | Fact::TaskLost { .. } => TaskState::Scheduled,
            Fact::TaskStarted { .. } => TaskState::Running,
            Fact::TaskRetrying { .. } => TaskState::Retrying,
            Fact::TaskFinished { state, .. } => *state,
            _ => return Ok(()),
        };
        let Some(key) = fact.task() else { return Ok(()) };
        let task = self.tasks.get_mut(key).ok_or(Refused::NoTask(key))?;
        let (from, event) = (task.state, fact.kind());
        if !task_may(from, event, to) {
            return Err(Refused::Task {
                task: key,
                from,
                event,
                to,
            });
        }
        task.record.change(fact, to, at);
        if let Fact::TaskFinished { .. } = fact {
            self.open = self.open.saturating_sub(1);
            self.tally_dependants(key, to);
        }
        Ok(())
    }

    fn move_execution(&mut self, to: ExecutionState, fact: &Fact) -> Result<(), Refused> {
        let (from, event) = (self.state, fact.kind());
        if !execution_may(from, event, to) {
            return Err(Refused::Execution { from, event, to });
        }
        self.record.state = to;
        Ok(())
    }

    /// Counts a task's end for the tasks that need it.
    fn tally_dependants(&mut self, key: TaskKey, state: TaskState) {
        let plan = Arc::clone(&self.plan);
        let forgiven = plan.task(key).continue_on_error;
        for dependant in plan.dependants(key) {
            let tally = &mut self.tasks[dependant].tally;
            match state {
                TaskState::Succeeded | TaskState::Cached => tally.succeeded += 1,
                TaskState::Skipped => tally.skipped += 1,
                TaskState::Failed | TaskState::TimedOut | TaskState::Unknown if forgiven => {
                    tally.succeeded += 1;
                }
                _ => tally.failed += 1,
            }
        }
        for handler in plan.handlers(key) {
            let tally = &mut self.tasks[handler].tally;
            tally.awaited = tally.awaited.saturating_sub(1);
        }
    }
}

#[cfg(test)]
impl Execution {
    /// The same after a restart: restored from its records.
    pub(crate) fn reloaded(&self) -> Self {
        let tasks = self.tasks.iter().map(|(key, task)| (key, task.record.clone()));
        let (plan, params) = (Arc::clone(&self.plan), Arc::clone(&self.params));
        Self::restore(self.id.clone(), plan, params, self.seed, self.record.clone(), tasks).expect("it fits its plan")
    }

    /// The same without what a store leaves out.
    pub(crate) fn as_stored(&self) -> Self {
        let mut stored = self.clone();
        for key in self.tasks.keys() {
            if !self.plan.task(key).wanted {
                stored.forget_output(key);
            }
        }
        stored
    }

    /// The same with a time of the next attempt that no decision would give.
    pub(crate) fn due_at(&self, task: TaskKey, at: i64) -> Self {
        let mut changed = self.clone();
        changed.tasks[task].record.next_at = Some(at);
        changed
    }
}

#[cfg(test)]
mod tests;

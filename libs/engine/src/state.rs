//! An execution in memory, and the one function that changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use nexus_spec::expr::{Scope, TaskView};
use serde_json::Value;

use crate::backlog::{Backlog, SLICE};
use crate::event::{Event, Fact};
use crate::failure::Failure;
use crate::plan::{Plan, TaskPlan};
use crate::planted::{Bug, planted};
use crate::rules::{Tally, Verdict, judge};
use crate::transitions::{execution_may, task_may};

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ExecutionState {
    Pending,
    Running,
    Paused,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
}

impl ExecutionState {
    /// Whether it stays so for ever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut)
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum TaskState {
    Waiting,
    Scheduled,
    Running,
    Retrying,
    Sleeping,
    AwaitingSignal,
    Paused,
    Succeeded,
    Cached,
    Skipped,
    UpstreamFailed,
    Failed,
    TimedOut,
    Cancelled,
    Unknown,
}

impl TaskState {
    /// Whether it stays so for ever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(
            self,
            Self::Waiting
                | Self::Scheduled
                | Self::Running
                | Self::Retrying
                | Self::Sleeping
                | Self::AwaitingSignal
                | Self::Paused
        )
    }

    /// The state as expressions, contracts and people spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Scheduled => "SCHEDULED",
            Self::Running => "RUNNING",
            Self::Retrying => "RETRYING",
            Self::Sleeping => "SLEEPING",
            Self::AwaitingSignal => "AWAITING_SIGNAL",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::Cached => "CACHED",
            Self::Skipped => "SKIPPED",
            Self::UpstreamFailed => "UPSTREAM_FAILED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What brings an execution to an early end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closing {
    /// Somebody cancelled it.
    Cancelled,
    /// It outlived its time limit.
    TimedOut,
    /// A task failed, and the workflow says `fail_fast`.
    FailFast,
}

/// A task's or workflow's output: the JSON text exactly as it came, parsed only when an expression looks into it.
#[derive(Debug, Clone)]
pub struct Output {
    text: Arc<str>,
    parsed: Arc<OnceLock<Arc<Value>>>,
}

impl Output {
    /// An output from JSON text. Text that is not JSON reads as `null` in expressions; callers check it before.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            parsed: Arc::default(),
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Arc<Value> {
        Arc::clone(
            self.parsed
                .get_or_init(|| Arc::new(serde_json::from_str(&self.text).unwrap_or(Value::Null))),
        )
    }
}

impl PartialEq for Output {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A task of an execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Where it stands.
    pub state: TaskState,
    /// How many leases it has had, lost ones too.
    pub leases: u32,
    /// How many of them were lost or given back, and so spend no attempt.
    pub returned: u32,
    /// How many of those were lost for reasons that count against the cap.
    pub infra_losses: u32,
    /// What it gave.
    pub output: Option<Output>,
    /// Why the last attempt did not succeed.
    pub failure: Option<Failure>,
    /// When it first became ready.
    pub scheduled_at: Option<i64>,
    /// When it last became ready.
    pub ready_at: Option<i64>,
    /// When its first attempt began.
    pub started_at: Option<i64>,
    /// When its last attempt began.
    pub attempt_started_at: Option<i64>,
    /// When it became terminal.
    pub finished_at: Option<i64>,
    /// When its next attempt is due.
    pub next_at: Option<i64>,
    /// Worker that holds or last held the lease.
    pub worker: Option<Arc<str>>,
    /// How the tasks that it needs have ended. Derived, never stored.
    pub tally: Tally,
}

impl Task {
    /// A task that nothing has happened to.
    #[must_use]
    pub fn new(plan: &TaskPlan) -> Self {
        Self {
            state: TaskState::Waiting,
            leases: 0,
            returned: 0,
            infra_losses: 0,
            output: None,
            failure: None,
            scheduled_at: None,
            ready_at: None,
            started_at: None,
            attempt_started_at: None,
            finished_at: None,
            next_at: None,
            worker: None,
            tally: Tally::before(plan),
        }
    }

    /// Attempts that spend `max_attempts`.
    #[must_use]
    pub fn user_attempts(&self) -> u32 {
        self.leases - self.returned
    }

    /// Number of the attempt that is running or waits for a lease.
    #[must_use]
    pub fn current_attempt(&self) -> u32 {
        if self.state == TaskState::Running {
            self.leases
        } else {
            self.leases + 1
        }
    }
}

/// An execution in memory.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The execution's id as text, for expressions.
    pub id: String,
    /// What runs.
    pub plan: Arc<Plan>,
    /// Parameters, defaults filled in.
    pub params: Arc<Value>,
    /// Where chance comes from: equal seeds give equal jitter.
    pub seed: u64,
    /// Where it stands.
    pub state: ExecutionState,
    /// What ends it early, once something does.
    pub closing: Option<Closing>,
    /// Why it is ended early, for people.
    pub closing_reason: String,
    /// The tasks, by position in the plan.
    pub tasks: Vec<Task>,
    /// How many tasks are not terminal.
    pub open: u32,
    /// Work that the last decision left to the next. Derived, never stored.
    pub backlog: Backlog,
    /// About how many events one decision may have before the rest is left to the next.
    pub slice: usize,
    /// Number of the newest event.
    pub sequence: u64,
    /// When it was accepted.
    pub created_at: i64,
    /// When its first task was handed out.
    pub started_at: Option<i64>,
    /// When it became terminal.
    pub finished_at: Option<i64>,
    /// The workflow's output.
    pub output: Option<Output>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
}

impl Execution {
    /// An execution that nothing has happened to yet.
    #[must_use]
    pub fn new(id: String, plan: Arc<Plan>, params: Arc<Value>, seed: u64, created_at: i64) -> Self {
        let tasks: Vec<Task> = plan.tasks.iter().map(Task::new).collect();
        Self {
            id,
            params,
            seed,
            state: ExecutionState::Pending,
            closing: None,
            closing_reason: String::new(),
            open: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
            tasks,
            plan,
            backlog: Backlog::default(),
            slice: SLICE,
            sequence: 0,
            created_at,
            started_at: None,
            finished_at: None,
            output: None,
            failure: None,
        }
    }

    /// Recomputes what is derived from the tasks' states: the tallies, the number of open tasks and the backlog. To be
    /// called once after tasks were loaded from a store.
    pub fn rebuild(&mut self) {
        let plan = Arc::clone(&self.plan);
        for (task, planned) in self.tasks.iter_mut().zip(&plan.tasks) {
            task.tally = Tally::before(planned);
        }
        self.open = 0;
        for position in 0..self.tasks.len() {
            let state = self.tasks[position].state;
            if state.is_terminal() {
                let wrong = planted(Bug::TallyWrongOnReload);
                self.tally_dependants(position, if wrong { TaskState::Succeeded } else { state });
            } else {
                self.open += 1;
            }
        }
        self.backlog = self.derive_backlog();
    }

    /// What a decision that was cut had left over.
    fn derive_backlog(&self) -> Backlog {
        if self.closing.is_some() {
            return Backlog {
                sweep: Some(0),
                ..Backlog::default()
            };
        }
        let decided = |position: &u32| {
            let task = &self.tasks[*position as usize];
            let rule = self.plan.tasks[*position as usize].rule;
            task.state == TaskState::Waiting && judge(rule, task.tally) != Verdict::Wait
        };
        let judge = (0..u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)).filter(decided);
        Backlog {
            judge: judge.collect(),
            ..Backlog::default()
        }
    }

    /// What expressions that refer to these tasks can see.
    #[must_use]
    pub fn scope(&self, tasks: &BTreeSet<String>, nonce: &str) -> Scope {
        let mut views = BTreeMap::new();
        for id in tasks {
            if let Some(position) = self.plan.index.get(id) {
                let task = &self.tasks[*position as usize];
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
            workflow: self.plan.workflow.clone(),
            revision: self.plan.revision,
            nonce: nonce.to_owned(),
        }
    }

    /// Changes the execution as an event says. The only function that does.
    ///
    /// # Panics
    /// In debug builds, when the tables of transitions do not know the change: that is a bug in a command.
    pub fn apply(&mut self, event: &Event) {
        debug_assert_eq!(event.sequence, self.sequence + 1, "history has no gaps");
        self.sequence = event.sequence;
        match &event.fact {
            Fact::ExecutionCreated => self.created_at = event.at,
            Fact::ExecutionStarted => {
                self.move_execution(ExecutionState::Running, &event.fact);
                self.started_at = Some(event.at);
            }
            Fact::ExecutionCancelling { closing, reason } => {
                self.move_execution(ExecutionState::Cancelling, &event.fact);
                self.closing = Some(*closing);
                self.closing_reason.clone_from(reason);
            }
            Fact::ExecutionFinished {
                state, output, failure, ..
            } => {
                self.move_execution(*state, &event.fact);
                self.finished_at = Some(event.at);
                self.output.clone_from(output);
                self.failure.clone_from(failure);
            }
            fact => self.apply_to_task(fact, event.at),
        }
    }

    fn apply_to_task(&mut self, fact: &Fact, at: i64) {
        let Some(position) = fact.task() else { return };
        let position = position as usize;
        let to = match fact {
            Fact::TaskScheduled { .. } | Fact::TaskLost { .. } => TaskState::Scheduled,
            Fact::TaskStarted { .. } => TaskState::Running,
            Fact::TaskRetrying { .. } => TaskState::Retrying,
            Fact::TaskFinished { state, .. } => *state,
            _ => return,
        };
        let task = &mut self.tasks[position];
        debug_assert!(
            task_may(task.state, fact.kind(), to),
            "{:?} {:?} {to:?}",
            task.state,
            fact.kind()
        );
        task.state = to;
        task.next_at = None;
        match fact {
            Fact::TaskScheduled { .. } => {
                task.scheduled_at.get_or_insert(at);
                task.ready_at = Some(at);
            }
            Fact::TaskStarted { worker, .. } => {
                task.leases += 1;
                task.started_at.get_or_insert(at);
                task.attempt_started_at = Some(at);
                task.worker = Some(Arc::clone(worker));
            }
            Fact::TaskRetrying { failure, next_at, .. } => {
                task.failure = Some(failure.clone());
                task.next_at = Some(*next_at);
            }
            Fact::TaskLost { failure, counted, .. } => {
                task.returned += u32::from(!planted(Bug::LossSpendsAttempt));
                task.infra_losses += u32::from(*counted);
                task.failure = Some(failure.clone());
                task.ready_at = Some(at);
            }
            Fact::TaskFinished { output, failure, .. } => {
                task.finished_at = Some(at);
                task.output.clone_from(output);
                task.failure.clone_from(failure);
                self.open -= 1;
                self.tally_dependants(position, to);
            }
            _ => {}
        }
    }

    fn move_execution(&mut self, to: ExecutionState, fact: &Fact) {
        debug_assert!(
            execution_may(self.state, fact.kind(), to),
            "{:?} {:?} {to:?}",
            self.state,
            fact.kind()
        );
        self.state = to;
    }

    /// Counts a task's end for the tasks that need it.
    fn tally_dependants(&mut self, position: usize, state: TaskState) {
        let plan = Arc::clone(&self.plan);
        let planned = &plan.tasks[position];
        for dependant in &planned.dependants {
            let tally = &mut self.tasks[*dependant as usize].tally;
            match state {
                TaskState::Succeeded | TaskState::Cached => tally.succeeded += 1,
                TaskState::Skipped => tally.skipped += 1,
                TaskState::Failed | TaskState::TimedOut | TaskState::Unknown if planned.continue_on_error => {
                    tally.succeeded += 1;
                }
                _ => tally.failed += 1,
            }
        }
        for handler in &planned.handlers {
            let tally = &mut self.tasks[*handler as usize].tally;
            tally.awaited = tally.awaited.saturating_sub(1);
        }
    }
}

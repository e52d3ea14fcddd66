//! What a watcher knows: an execution and its tasks, moved on by events. Pure.

use std::collections::HashMap;

use nexus_api::execution::v1::event::Type;
use nexus_api::execution::v1::{Event, Execution, execution, task};
use nexus_api::time::micros;

use super::plain;

/// A task as a watcher sees it.
#[derive(Debug, Clone)]
pub(super) struct TaskView {
    pub(super) id: String,
    pub(super) state: task::State,
    pub(super) attempt: u32,
    pub(super) started: Option<i64>,
    pub(super) finished: Option<i64>,
    pub(super) next_attempt: Option<i64>,
    pub(super) error: String,
    /// How far it is indented: below the last of the tasks that it needs.
    pub(super) parent: Option<usize>,
}

/// An execution as a watcher sees it.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) workflow: String,
    pub(super) state: execution::State,
    pub(super) created: Option<i64>,
    pub(super) finished: Option<i64>,
    pub(super) tasks: Vec<TaskView>,
    index: HashMap<String, usize>,
    last_event: u64,
}

impl View {
    /// The tasks of an execution before anything happened: the events tell what did.
    pub(super) fn new(execution: &Execution) -> Self {
        let index: HashMap<String, usize> = execution
            .tasks
            .iter()
            .enumerate()
            .map(|(at, task)| (task.id.clone(), at))
            .collect();
        let tasks = execution.tasks.iter().enumerate().map(|(at, task)| TaskView {
            id: task.id.clone(),
            state: task::State::Waiting,
            attempt: 0,
            started: None,
            finished: None,
            next_attempt: None,
            error: String::new(),
            // Only an earlier task of the file: whatever the file's order, the tree has no loop.
            parent: task
                .needs
                .iter()
                .filter_map(|need| index.get(need).copied())
                .filter(|need| *need < at)
                .max(),
        });
        Self {
            id: execution.id.clone(),
            workflow: execution.workflow.clone(),
            state: execution::State::Pending,
            created: execution.create_time.as_ref().map(micros),
            finished: None,
            tasks: tasks.collect(),
            index,
            last_event: 0,
        }
    }

    /// Number of the last event that was taken.
    pub(super) fn last_event(&self) -> u64 {
        self.last_event
    }

    /// Moves on by an event; one that came before changes nothing.
    pub(super) fn take(&mut self, event: &Event) {
        if event.sequence <= self.last_event {
            return;
        }
        self.last_event = event.sequence;
        let at = event.time.as_ref().map(micros);
        match event.r#type() {
            Type::ExecutionStarted => self.state = execution::State::Running,
            Type::ExecutionCancelling => self.state = execution::State::Cancelling,
            Type::ExecutionFinished => {
                self.state = event.execution_state();
                self.finished = at;
            }
            Type::ExecutionCreated | Type::Unspecified => {}
            Type::TaskScheduled | Type::TaskStarted | Type::TaskRetrying | Type::TaskLost | Type::TaskFinished => {
                self.take_task(event, at);
            }
        }
    }

    fn take_task(&mut self, event: &Event, at: Option<i64>) {
        let Some(task) = self.index.get(&event.task).and_then(|at| self.tasks.get_mut(*at)) else {
            return;
        };
        task.attempt = task.attempt.max(event.attempt);
        task.next_attempt = event.next_attempt_time.as_ref().map(micros);
        if let Some(error) = &event.error {
            task.error = plain::failure(error);
        } else if !event.message.is_empty() {
            task.error.clone_from(&event.message);
        }
        match event.r#type() {
            Type::TaskScheduled | Type::TaskLost => task.state = task::State::Scheduled,
            Type::TaskStarted => {
                task.state = task::State::Running;
                task.started = at;
            }
            Type::TaskRetrying => task.state = task::State::Retrying,
            _ => {
                task.state = event.task_state();
                task.finished = at;
                if matches!(task.state, task::State::Succeeded | task::State::Cached) {
                    task.error.clear();
                }
            }
        }
    }

    /// How many tasks have ended.
    pub(super) fn ended(&self) -> usize {
        self.tasks.iter().filter(|task| has_ended(task.state)).count()
    }
}

/// True for a task's last state.
pub(super) fn has_ended(state: task::State) -> bool {
    use task::State as S;
    matches!(
        state,
        S::Succeeded | S::Cached | S::Skipped | S::UpstreamFailed | S::Failed | S::TimedOut | S::Cancelled | S::Unknown
    )
}

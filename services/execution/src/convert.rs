//! Rows and facts as the contract's messages.

use std::collections::HashMap;

use nexus_api::common::v1::{Failure as ApiFailure, FailureKind as ApiKind};
use nexus_api::execution::v1::{Attempt, Event, Execution, LogLine, Task, attempt, task};
use nexus_api::time::{duration, duration_micros, timestamp};
use nexus_engine::{Fact, Failure, FailureKind, Plan, TaskKey, TaskState};
use nexus_execution_store::{ExecutionRow, LogRow, TaskRow, codec, facts};

fn state_number(number: i64) -> i32 {
    i32::try_from(number).unwrap_or_default()
}

pub(crate) fn execution(row: &ExecutionRow) -> Execution {
    Execution {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        workflow: row.workflow.clone(),
        revision: row.revision,
        state: state_number(codec::execution_state_number(row.state)),
        params: row.params.to_string(),
        output: row.output.as_deref().unwrap_or_default().to_owned(),
        error: row.failure.as_ref().map(failure),
        labels: row
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        create_time: Some(timestamp(row.created_at)),
        start_time: row.started_at.map(timestamp),
        finish_time: row.finished_at.map(timestamp),
        task_counts: HashMap::new(),
        last_event: row.sequence,
        tasks: Vec::new(),
        cancel_reason: row.closing_reason.clone(),
    }
}

/// A task as the contract shows it; one without a row has had nothing happen to it.
pub(crate) fn task(of: &ExecutionRow, plan: &Plan, position: usize, row: Option<&TaskRow>) -> Task {
    let planned = &plan.tasks[position];
    let needs = planned
        .needs
        .iter()
        .map(|need| plan.tasks[*need as usize].id.clone())
        .collect();
    let mut task = Task {
        id: planned.id.clone(),
        execution: of.id.to_string(),
        state: task::State::Waiting.into(),
        kind: planned.kind.to_owned(),
        queue: of.namespace.plain(&planned.queue).to_owned(),
        needs,
        ..Task::default()
    };
    if let Some(row) = row {
        task.state = state_number(codec::task_state_number(row.state));
        task.attempts = row.leases - row.returned;
        task.infra_losses = row.infra_losses;
        task.output = row.output.as_deref().unwrap_or_default().to_owned();
        task.error = row.failure.as_ref().map(failure);
        task.schedule_time = row.scheduled_at.map(timestamp);
        task.start_time = row.started_at.map(timestamp);
        task.finish_time = row.finished_at.map(timestamp);
        task.next_attempt_time = row.next_at.map(timestamp);
        task.worker = row.worker.as_deref().unwrap_or_default().to_owned();
    }
    task
}

pub(crate) fn failure(failure: &Failure) -> ApiFailure {
    ApiFailure {
        r#type: failure.error_type.clone(),
        message: failure.message.clone(),
        stack_trace: failure.stack_trace.clone(),
        non_retryable: failure.non_retryable,
        next_retry_delay: failure.next_retry_delay.map(duration),
        details: failure.details.clone(),
        kind: match failure.kind {
            FailureKind::User => ApiKind::User,
            FailureKind::Timeout => ApiKind::Timeout,
            FailureKind::Infrastructure => ApiKind::Infrastructure,
            FailureKind::Cancelled => ApiKind::Cancelled,
        }
        .into(),
    }
}

/// A worker's failure in the engine's words.
pub(crate) fn failure_from(failure: ApiFailure) -> Failure {
    Failure {
        kind: match failure.kind() {
            ApiKind::Timeout => FailureKind::Timeout,
            ApiKind::Infrastructure => FailureKind::Infrastructure,
            ApiKind::Cancelled => FailureKind::Cancelled,
            ApiKind::User | ApiKind::Unspecified => FailureKind::User,
        },
        error_type: failure.r#type,
        message: failure.message,
        stack_trace: failure.stack_trace,
        non_retryable: failure.non_retryable,
        next_retry_delay: failure.next_retry_delay.map(|delay| duration_micros(&delay)),
        details: failure.details,
    }
}

pub(crate) fn event(plan: &Plan, event: &nexus_engine::Event) -> Event {
    let columns = facts::event_columns(event);
    let task_id = |key: TaskKey| {
        let planned = plan.tasks.get(key.node as usize);
        planned.map(|task| task.id.clone()).unwrap_or_default()
    };
    let mut shown = Event {
        sequence: event.sequence,
        time: Some(timestamp(event.at)),
        // The contract numbers the types as the store does.
        r#type: state_number(columns.kind),
        task: event.fact.task().map(task_id).unwrap_or_default(),
        attempt: u32::try_from(columns.attempt).unwrap_or_default(),
        ..Event::default()
    };
    use nexus_api::execution::v1::execution::State as X;
    match &event.fact {
        Fact::ExecutionCreated => shown.execution_state = X::Pending.into(),
        Fact::ExecutionStarted => shown.execution_state = X::Running.into(),
        Fact::ExecutionCancelling { reason, .. } => {
            shown.execution_state = X::Cancelling.into();
            shown.message.clone_from(reason);
        }
        Fact::ExecutionFinished { failure: why, .. } => {
            shown.execution_state = state_number(columns.state);
            shown.error = why.as_ref().map(failure);
        }
        Fact::TaskScheduled { .. } => shown.task_state = task::State::Scheduled.into(),
        Fact::TaskStarted { worker, .. } => {
            shown.task_state = task::State::Running.into();
            shown.worker = worker.to_string();
        }
        Fact::TaskRetrying {
            failure: why, next_at, ..
        } => {
            shown.task_state = task::State::Retrying.into();
            shown.error = Some(failure(why));
            shown.next_attempt_time = Some(timestamp(*next_at));
        }
        Fact::TaskLost { failure: why, .. } => {
            shown.task_state = task::State::Scheduled.into();
            shown.error = Some(failure(why));
        }
        Fact::TaskFinished {
            failure: why, state, ..
        } => {
            shown.task_state = state_number(columns.state);
            shown.error = why.as_ref().map(failure);
            if *state == TaskState::Skipped {
                shown.message = "its condition or trigger rule said no".to_owned();
            }
        }
    }
    shown
}

/// A task's attempts, told from its events.
pub(crate) fn attempts(execution: &str, task: &str, events: &[nexus_engine::Event]) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut returned = 0;
    for event in events {
        let at = Some(timestamp(event.at));
        if let Fact::TaskStarted {
            attempt: number,
            worker,
            ..
        } = &event.fact
        {
            attempts.push(Attempt {
                execution: execution.to_owned(),
                task: task.to_owned(),
                number: *number,
                user_attempt: number.saturating_sub(returned),
                state: attempt::State::Running.into(),
                worker: worker.to_string(),
                start_time: at,
                ..Attempt::default()
            });
            continue;
        }
        let Some(last) = attempts.last_mut().filter(|last| last.finish_time.is_none()) else {
            continue;
        };
        let (state, why) = match &event.fact {
            Fact::TaskRetrying { failure, .. } if failure.kind == FailureKind::Timeout => {
                (attempt::State::TimedOut, Some(failure))
            }
            Fact::TaskRetrying { failure, .. } => (attempt::State::Failed, Some(failure)),
            Fact::TaskLost { failure, .. } => {
                returned += 1;
                (attempt::State::Lost, Some(failure))
            }
            Fact::TaskFinished { state, failure, .. } => (ended(*state), failure.as_ref()),
            _ => continue,
        };
        last.state = state.into();
        last.finish_time = at;
        last.error = why.map(failure);
    }
    attempts
}

fn ended(state: TaskState) -> attempt::State {
    match state {
        TaskState::Succeeded | TaskState::Cached => attempt::State::Succeeded,
        TaskState::TimedOut => attempt::State::TimedOut,
        TaskState::Cancelled => attempt::State::Cancelled,
        TaskState::Unknown => attempt::State::Lost,
        _ => attempt::State::Failed,
    }
}

pub(crate) fn log_line(plan: &Plan, row: LogRow) -> LogLine {
    LogLine {
        sequence: row.sequence,
        time: Some(timestamp(row.at)),
        task: plan
            .tasks
            .get(row.task as usize)
            .map(|task| task.id.clone())
            .unwrap_or_default(),
        attempt: row.attempt,
        stream: row.stream,
        text: row.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64, fact: Fact) -> nexus_engine::Event {
        nexus_engine::Event {
            sequence,
            at: i64::try_from(sequence).expect("small"),
            fact,
        }
    }

    #[test]
    fn attempts_are_told_from_the_history() {
        let lost = Failure::new(FailureKind::Infrastructure, "WorkerLost", "gone");
        let failed = Failure::new(FailureKind::User, "ValueError", "bad");
        let events = [
            at(
                1,
                Fact::TaskScheduled {
                    task: TaskKey::of(0),
                    attempt: 1,
                },
            ),
            at(
                2,
                Fact::TaskStarted {
                    task: TaskKey::of(0),
                    attempt: 1,
                    worker: "w".into(),
                },
            ),
            at(
                3,
                Fact::TaskLost {
                    task: TaskKey::of(0),
                    attempt: 1,
                    failure: lost,
                    counted: true,
                },
            ),
            at(
                4,
                Fact::TaskStarted {
                    task: TaskKey::of(0),
                    attempt: 2,
                    worker: "w".into(),
                },
            ),
            at(
                5,
                Fact::TaskRetrying {
                    task: TaskKey::of(0),
                    attempt: 2,
                    failure: failed,
                    next_at: 9,
                },
            ),
            at(
                6,
                Fact::TaskScheduled {
                    task: TaskKey::of(0),
                    attempt: 3,
                },
            ),
            at(
                7,
                Fact::TaskStarted {
                    task: TaskKey::of(0),
                    attempt: 3,
                    worker: "w".into(),
                },
            ),
            at(
                8,
                Fact::TaskFinished {
                    task: TaskKey::of(0),
                    attempt: 3,
                    state: TaskState::Succeeded,
                    output: None,
                    failure: None,
                },
            ),
        ];
        let told: Vec<_> = attempts("x", "t", &events)
            .into_iter()
            .map(|attempt| (attempt.number, attempt.user_attempt, attempt.state()))
            .collect();
        assert_eq!(
            told,
            [
                (1, 1, attempt::State::Lost),
                (2, 1, attempt::State::Failed),
                (3, 2, attempt::State::Succeeded)
            ]
        );
    }
}

//! From an entry of the feed to what can be told of it. Pure.

use nexus_api::common::v1::Failure;
use nexus_api::execution::v1::{Event as Fact, Execution, event, execution, task};
use nexus_api::feed::v1::FeedEntry;
use nexus_api::notifications::v1::{Event, Notice};

use crate::texts::cut;

/// Characters of a failure's stack trace that a message may show.
const MAX_STACK: usize = 4_000;
/// Characters of a failure's message.
const MAX_MESSAGE: usize = 4_000;

/// What an entry tells of, in order. SUCCEEDED stands there as it is: whether it is a recovery depends on what was before.
pub(crate) fn notices(entry: &FeedEntry, public_url: Option<&str>) -> Vec<Notice> {
    let Some(execution) = entry.execution.as_ref().filter(|_| !entry.gone) else {
        return Vec::new();
    };
    let told = entry.events.iter().filter_map(|fact| Some((kind(fact)?, fact)));
    told.map(|(event, fact)| notice(execution, event, fact, public_url))
        .collect()
}

fn kind(fact: &Fact) -> Option<Event> {
    match fact.r#type() {
        event::Type::ExecutionStarted => Some(Event::Started),
        event::Type::TaskRetrying => Some(Event::TaskRetried),
        event::Type::ExecutionFinished => match fact.execution_state() {
            execution::State::Succeeded => Some(Event::Succeeded),
            execution::State::Failed => Some(Event::Failed),
            execution::State::Cancelled => Some(Event::Cancelled),
            execution::State::TimedOut => Some(Event::TimedOut),
            _ => None,
        },
        event::Type::TaskFinished => match fact.task_state() {
            task::State::Failed | task::State::TimedOut | task::State::Unknown => Some(Event::TaskFailed),
            _ => None,
        },
        _ => None,
    }
}

fn notice(execution: &Execution, event: Event, fact: &Fact, public_url: Option<&str>) -> Notice {
    let ends = fact.r#type() == event::Type::ExecutionFinished;
    let error = fact
        .error
        .as_ref()
        .or_else(|| execution.error.as_ref().filter(|_| ends))
        .map(bounded);
    let finish_time = match ends {
        true => execution.finish_time.or(fact.time),
        false => None,
    };
    Notice {
        event: event.into(),
        time: fact.time,
        namespace: execution.namespace.clone(),
        execution: execution.id.clone(),
        workflow: execution.workflow.clone(),
        revision: execution.revision,
        labels: execution.labels.clone(),
        // As it was with the event, not as it is by now.
        state: match (ends, event) {
            (true, _) => fact.execution_state,
            (false, _) => execution::State::Running.into(),
        },
        task: fact.task.clone(),
        attempt: fact.attempt,
        error,
        cancel_reason: if ends {
            execution.cancel_reason.clone()
        } else {
            String::new()
        },
        start_time: execution.start_time,
        finish_time,
        next_attempt_time: fact.next_attempt_time,
        limit: None,
        sequence: fact.sequence,
        url: public_url.map(|base| page(base, execution)).unwrap_or_default(),
        count: 1,
        others: Vec::new(),
    }
}

/// A failure that fits into a message.
fn bounded(failure: &Failure) -> Failure {
    Failure {
        r#type: cut(&failure.r#type, 100),
        message: cut(&failure.message, MAX_MESSAGE),
        stack_trace: cut(&failure.stack_trace, MAX_STACK),
        details: String::new(),
        ..failure.clone()
    }
}

/// The execution's page below an address that was checked.
fn page(base: &str, execution: &Execution) -> String {
    let base = base.trim_end_matches('/');
    match execution.namespace.as_str() {
        "" | "default" => format!("{base}/executions/{}", execution.id),
        other => format!("{base}/executions/{}?namespace={other}", execution.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(events: Vec<Fact>) -> FeedEntry {
        FeedEntry {
            execution: Some(Execution {
                id: "0199".into(),
                workflow: "etl".into(),
                namespace: "team-a".into(),
                state: execution::State::Failed.into(),
                error: Some(Failure {
                    message: "x".repeat(9_000),
                    ..Failure::default()
                }),
                ..Execution::default()
            }),
            events,
            ..FeedEntry::default()
        }
    }

    fn fact(kind: event::Type, task_state: task::State, state: execution::State) -> Fact {
        Fact {
            r#type: kind.into(),
            task_state: task_state.into(),
            execution_state: state.into(),
            sequence: 7,
            ..Fact::default()
        }
    }

    #[test]
    fn what_is_told_is_what_happened_and_nothing_else() {
        use event::Type;
        let (no_task, no_state) = (task::State::Unspecified, execution::State::Unspecified);
        let facts = vec![
            fact(Type::ExecutionCreated, no_task, execution::State::Pending),
            fact(Type::ExecutionStarted, no_task, execution::State::Running),
            fact(Type::TaskStarted, task::State::Running, no_state),
            fact(Type::TaskRetrying, task::State::Retrying, no_state),
            fact(Type::TaskFinished, task::State::Succeeded, no_state),
            fact(Type::TaskFinished, task::State::Unknown, no_state),
            fact(Type::ExecutionFinished, no_task, execution::State::Failed),
        ];
        let told = notices(&entry(facts), Some("https://nexus.example.com/"));
        let events: Vec<Event> = told.iter().map(Notice::event).collect();
        assert_eq!(
            events,
            [Event::Started, Event::TaskRetried, Event::TaskFailed, Event::Failed]
        );
        assert_eq!(told[0].state, i32::from(execution::State::Running), "as it was then");
        assert!(told[0].error.is_none() && told[3].error.is_some());
        let message = &told[3].error.as_ref().expect("an error").message;
        assert!(message.chars().count() <= MAX_MESSAGE + 1);
        assert_eq!(
            told[3].url,
            "https://nexus.example.com/executions/0199?namespace=team-a"
        );
        let gone = FeedEntry {
            gone: true,
            ..entry(vec![fact(Type::ExecutionStarted, no_task, no_state)])
        };
        assert!(notices(&gone, None).is_empty());
    }
}

//! Live progress in the terminal of `nexus dev`: a line for each task that ends and for each execution.

use std::collections::{HashSet, VecDeque};

use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Event, GetExecutionRequest, WatchExecutionRequest, event, execution, task};
use nexus_api::time::micros;
use nexus_execution::ExecutionId;
use nexus_mesh::Transport;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Executions that are shown at a time; under load the rest runs unseen (`nexus executions list` shows it).
const SHOWN: usize = 20;
/// Executions that are remembered to have been shown: as many as the listener may be behind.
const REMEMBERED: usize = 1_024;
/// One that ended unseen with more events than this is not told afterwards: it would fill the screen with the past.
const TOLD_LATE: u64 = 50;

/// Which executions are followed, and which were.
#[derive(Default)]
struct Followed {
    now: HashSet<ExecutionId>,
    /// Those that were followed last, the newest at the end: their last commit may be heard after their end was shown.
    before: VecDeque<ExecutionId>,
}

impl Followed {
    /// Whether one that was heard of is followed from now on: when there is room, and nobody has followed it yet.
    fn begin(&mut self, id: ExecutionId) -> bool {
        self.now.len() < SHOWN && !self.before.contains(&id) && self.now.insert(id)
    }

    /// What there was to show of it was shown.
    fn end(&mut self, id: ExecutionId) {
        self.now.remove(&id);
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(id);
    }
}

/// Prints what happens in some namespaces, each of which has its way, until the stop.
pub(super) async fn print(
    mut changes: broadcast::Receiver<(ExecutionId, bool)>,
    ways: Vec<Transport>,
    stop: CancellationToken,
) {
    let mut followed = Followed::default();
    let mut watches = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok((id, _)) if followed.begin(id) => {
                    let ways = ways.clone();
                    watches.spawn(async move {
                        for way in ways {
                            // A watch that breaks costs nothing but lines on a terminal.
                            match follow(ExecutionServiceClient::new(way), id).await {
                                Err(status) if status.code() == tonic::Code::NotFound => {}
                                _ => break,
                            }
                        }
                        id
                    });
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            Some(ended) = watches.join_next(), if !watches.is_empty() => {
                if let Ok(id) = ended {
                    followed.end(id);
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn follow(mut client: ExecutionServiceClient<Transport>, id: ExecutionId) -> Result<(), tonic::Status> {
    let request = GetExecutionRequest {
        execution: id.to_string(),
        view: 0,
    };
    let execution = client
        .get_execution(request)
        .await?
        .into_inner()
        .execution
        .unwrap_or_default();
    if execution.finish_time.is_some() && execution.last_event > TOLD_LATE {
        return Ok(());
    }
    let mut progress = Progress {
        name: format!("{} {}", execution.workflow, short(&execution.id)),
        started: 0,
    };
    let request = WatchExecutionRequest {
        execution: id.to_string(),
        after_sequence: 0,
    };
    let mut stream = client.watch_execution(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        for event in &message.events {
            if let Some(line) = progress.line(event) {
                eprintln!("{line}");
            }
        }
    }
    Ok(())
}

/// The last digits of an id: enough to tell executions on a screen apart.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

struct Progress {
    name: String,
    started: i64,
}

impl Progress {
    /// What an event is worth saying, if anything.
    fn line(&mut self, event: &Event) -> Option<String> {
        let at = event.time.as_ref().map_or(0, micros);
        #[allow(clippy::cast_precision_loss, reason = "milliseconds on a screen")]
        let after = |since: i64| (at - since) as f64 / 1e6;
        let name = &self.name;
        let why = event
            .error
            .as_ref()
            .map(|error| error.message.as_str())
            .unwrap_or_default();
        match event.r#type() {
            event::Type::ExecutionCreated => {
                self.started = at;
                None
            }
            event::Type::TaskRetrying => {
                let next = event.next_attempt_time.as_ref().map_or(0, micros);
                #[allow(clippy::cast_precision_loss, reason = "milliseconds on a screen")]
                let wait = (next - at) as f64 / 1e6;
                Some(format!(
                    "    {name}  ↻ {} attempt {} failed: {why}; again in {wait:.1} s",
                    event.task, event.attempt
                ))
            }
            event::Type::TaskLost => Some(format!("    {name}  ↻ {} was interrupted: {why}", event.task)),
            event::Type::TaskFinished => {
                let (glyph, rest) = match event.task_state() {
                    task::State::Succeeded | task::State::Cached => ("✓", String::new()),
                    task::State::Skipped => ("–", " skipped".to_owned()),
                    state => ("✗", format!(" {}: {why}", state.as_str_name().to_lowercase())),
                };
                Some(format!(
                    "    {name}  {glyph} {}{rest}  {:.2} s",
                    event.task,
                    after(self.started)
                ))
            }
            event::Type::ExecutionFinished => {
                let (glyph, state) = match event.execution_state() {
                    execution::State::Succeeded => ("✓", "succeeded".to_owned()),
                    state => ("✗", format!("{}: {why}", state.as_str_name().to_lowercase())),
                };
                Some(format!("  {glyph} {name} {state}  {:.2} s", after(self.started)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_api::common::v1::Failure;
    use nexus_api::time::timestamp;

    #[test]
    fn an_execution_is_followed_once_whatever_is_heard_of_it_afterwards() {
        let ids = nexus_execution::Ids::system();
        let mut followed = Followed::default();
        let first = ids.execution(None);
        assert!(followed.begin(first));
        assert!(!followed.begin(first), "it is followed already");
        followed.end(first);
        assert!(
            !followed.begin(first),
            "its last commit is heard after its end was shown"
        );
        let others: Vec<ExecutionId> = (0..=SHOWN).map(|_| ids.execution(None)).collect();
        let begun = others.iter().filter(|id| followed.begin(**id)).count();
        assert_eq!(begun, SHOWN, "more run unseen");
        followed.end(others[0]);
        assert!(followed.begin(others[SHOWN]), "there is room for it now");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let ids = nexus_execution::Ids::system();
        let mut followed = Followed::default();
        for _ in 0..=REMEMBERED {
            let id = ids.execution(None);
            assert!(followed.begin(id));
            followed.end(id);
        }
        assert_eq!((followed.before.len(), followed.now.len()), (REMEMBERED, 0));
    }

    #[test]
    fn lines_tell_what_happened() {
        let mut progress = Progress {
            name: "etl 1a2b3c".into(),
            started: 0,
        };
        let error = Some(Failure {
            message: "503".into(),
            ..Failure::default()
        });
        let event = |kind: event::Type, at: i64| Event {
            r#type: kind.into(),
            time: Some(timestamp(at)),
            task: "load".into(),
            attempt: 1,
            ..Event::default()
        };
        assert_eq!(progress.line(&event(event::Type::ExecutionCreated, 1_000_000)), None);
        let retry = Event {
            error: error.clone(),
            next_attempt_time: Some(timestamp(3_500_000)),
            ..event(event::Type::TaskRetrying, 2_000_000)
        };
        let line = progress.line(&retry).expect("line");
        assert_eq!(line, "    etl 1a2b3c  ↻ load attempt 1 failed: 503; again in 1.5 s");
        let done = Event {
            task_state: task::State::Succeeded.into(),
            ..event(event::Type::TaskFinished, 4_000_000)
        };
        assert_eq!(progress.line(&done).expect("line"), "    etl 1a2b3c  ✓ load  3.00 s");
        let end = Event {
            execution_state: execution::State::TimedOut.into(),
            error,
            ..event(event::Type::ExecutionFinished, 5_000_000)
        };
        assert_eq!(
            progress.line(&end).expect("line"),
            "  ✗ etl 1a2b3c timed_out: 503  4.00 s"
        );
    }
}

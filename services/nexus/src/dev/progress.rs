//! Live progress in the terminal of `nexus dev`: a line for each task that ends and for each execution.

use std::collections::HashSet;

use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Event, GetExecutionRequest, WatchExecutionRequest, event, execution, task};
use nexus_api::time::micros;
use nexus_execution::ExecutionId;
use nexus_mesh::Transport;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Executions that are shown at a time; under load the rest runs unseen (`nexus executions list` shows it).
const SHOWN: usize = 20;

/// Prints what happens in some namespaces, each of which has its way, until the stop.
pub(super) async fn print(
    mut changes: broadcast::Receiver<(ExecutionId, bool)>,
    ways: Vec<Transport>,
    stop: CancellationToken,
) {
    let mut shown: HashSet<ExecutionId> = HashSet::new();
    let mut watches = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok((id, _)) if shown.len() < SHOWN && shown.insert(id) => {
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
                    shown.remove(&id);
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
    // One that has ended is told by those who saw it; its last commit may still be heard here.
    if execution.finish_time.is_some() && execution.last_event > 50 {
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

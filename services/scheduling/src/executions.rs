//! The execution service as this one needs it: start, ask, cancel.

use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::execution::v1 as api;
use nexus_api::execution::v1::execution::State;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_mesh::Transport;
use nexus_schedule::{Plan, Zone};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::record::What;
use crate::store::{Definition, FireKey, FireRow, ScheduleRow};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// The labels of an execution that say where it comes from.
pub(crate) const LABEL_NAME: &str = "schedule";
pub(crate) const LABEL_TIME: &str = "schedule_time";
pub(crate) const LABEL_FIRE: &str = "schedule_fire";

/// The execution service.
#[derive(Clone)]
pub(crate) struct Executions {
    client: ExecutionServiceClient<Transport>,
    feed: FeedServiceClient<Transport>,
}

impl Executions {
    pub(crate) fn new(way: Transport) -> Self {
        Self {
            client: ExecutionServiceClient::new(way.clone()),
            feed: FeedServiceClient::new(way).max_decoding_message_size(64 << 20),
        }
    }

    pub(crate) fn feed(&self) -> FeedServiceClient<Transport> {
        self.feed.clone()
    }

    /// Starts the execution of a fire, or finds the one that was started.
    pub(crate) async fn start(&self, schedule: &ScheduleRow, fire: &FireRow) -> Result<What, Status> {
        let namespace = schedule.space();
        let request = match request(schedule, &fire.key) {
            Ok(request) => request,
            Err(reason) => return Ok(What::Refused { reason }),
        };
        let mut client = self.client.clone();
        let answer = in_time(client.start_execution(namespace.request(request))).await;
        let execution = match answer {
            Ok(answer) => answer.into_inner().execution,
            // What it says changed since it was first tried: it was started then.
            Err(status) if status.code() == Code::AlreadyExists => self.find(&namespace, &fire.key).await?,
            Err(status) if is_final(status.code()) => {
                let reason = status.message().chars().take(1_000).collect();
                return Ok(What::Refused { reason });
            }
            Err(status) => return Err(status),
        };
        let execution = execution.ok_or_else(|| Status::internal("the answer names no execution"))?;
        Ok(What::Started {
            state: ended(&execution).unwrap_or_default().to_owned(),
            execution: execution.id,
        })
    }

    /// The execution that a fire started.
    async fn find(&self, namespace: &Namespace, key: &FireKey) -> Result<Option<api::Execution>, Status> {
        let request = api::ListExecutionsRequest {
            page_size: 1,
            filter: format!("labels.{LABEL_FIRE} = \"{}\"", key.text()),
            ..api::ListExecutionsRequest::default()
        };
        let mut client = self.client.clone();
        let answer = in_time(client.list_executions(namespace.request(request))).await?;
        Ok(answer.into_inner().executions.into_iter().next())
    }

    /// What became of an execution; nothing while it runs.
    pub(crate) async fn ask(&self, namespace: &Namespace, execution: &str) -> Result<Option<What>, Status> {
        let request = api::GetExecutionRequest {
            execution: execution.to_owned(),
            ..api::GetExecutionRequest::default()
        };
        let mut client = self.client.clone();
        let state = match in_time(client.get_execution(namespace.request(request))).await {
            Ok(answer) => {
                let found = answer.into_inner().execution.unwrap_or_default();
                ended(&found).map(str::to_owned)
            }
            Err(status) if status.code() == Code::NotFound => Some("REMOVED".to_owned()),
            Err(status) => return Err(status),
        };
        Ok(state.map(|state| What::Ended {
            execution: execution.to_owned(),
            state,
        }))
    }

    /// Has an execution end.
    pub(crate) async fn cancel(&self, namespace: &Namespace, execution: &str) -> Result<(), Status> {
        let request = api::CancelExecutionRequest {
            execution: execution.to_owned(),
            reason: "the schedule fired again (overlap policy CANCEL_OTHER)".to_owned(),
        };
        let mut client = self.client.clone();
        match in_time(client.cancel_execution(namespace.request(request))).await {
            Ok(_) => Ok(()),
            Err(status) if is_final(status.code()) => Ok(()),
            Err(status) => Err(status),
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("the execution service gave no answer in time");
    timeout(CALL, call).await.map_err(late)?
}

/// Whether the same call would be refused again.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange
    )
}

/// How an execution has ended, in the words of the contract; nothing while it runs.
pub(crate) fn ended(execution: &api::Execution) -> Option<&'static str> {
    let over = [State::Succeeded, State::Failed, State::Cancelled, State::TimedOut];
    let state = execution.state();
    over.contains(&state).then(|| state.as_str_name())
}

/// The start of a fire: the same one whenever it is made.
fn request(schedule: &ScheduleRow, key: &FireKey) -> Result<api::StartExecutionRequest, String> {
    let definition: Definition =
        serde_json::from_str(&schedule.definition).map_err(|error| format!("the schedule cannot be read: {error}"))?;
    let plan = Plan::of(&definition.spec).map_err(|error| error.to_string())?;
    let time = Zone::named("").map(|utc| utc.rfc3339(key.nominal).replace("+00:00", "Z"));
    let time = time.map_err(|error| error.to_string())?;
    let mut labels: std::collections::HashMap<String, String> = definition.labels.into_iter().collect();
    labels.insert(LABEL_NAME.to_owned(), schedule.name().to_owned());
    labels.insert(LABEL_TIME.to_owned(), time.clone());
    labels.insert(LABEL_FIRE.to_owned(), key.text());
    Ok(api::StartExecutionRequest {
        workflow: definition.workflow,
        revision: definition.revision,
        params: fill_in(
            &definition.params,
            schedule.name(),
            &time,
            &plan.zone().rfc3339(key.nominal),
        ),
        labels,
        request_id: format!("schedule:{}", short(key)),
    })
}

/// A key within the length of a request id.
fn short(key: &FireKey) -> String {
    use sha2::{Digest, Sha256};
    let text = key.text();
    if text.len() <= 110 {
        return text;
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts in what `{{ schedule.… }}` stands for. None of it has a character that JSON would have to escape.
fn fill_in(params: &str, name: &str, time: &str, local: &str) -> String {
    let date = local.split('T').next().unwrap_or_default();
    let known = [
        ("name", name),
        ("nominal_time", time),
        ("local_time", local),
        ("local_date", date),
    ];
    known.into_iter().fold(params.to_owned(), |params, (word, value)| {
        params.replace(&format!("{{{{ schedule.{word} }}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_may_name_the_fire_and_are_otherwise_left_as_they_are() {
        let params = r#"{"day": "{{ schedule.local_date }}", "n": 1.10, "x": "{{ other }}"}"#;
        let filled = fill_in(params, "etl", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00+01:00");
        assert_eq!(filled, r#"{"day": "2026-01-02", "n": 1.10, "x": "{{ other }}"}"#);
    }
}

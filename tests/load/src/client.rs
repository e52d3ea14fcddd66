//! The generated clients with what the workloads ask of them.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use nexus_api::definitions::v1::ApplyWorkflowRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Execution, StartExecutionRequest, WaitExecutionRequest, execution};
use nexus_mesh::{Transport, transport};

use crate::error::{BenchError, broken};

/// Longest wait for one execution; the largest graphs take minutes.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Large graphs are sent and read in one message.
const MAX_MESSAGE: usize = 256 << 20;

/// The ways to the server.
#[derive(Clone)]
pub(crate) struct Client {
    definitions: DefinitionsServiceClient<Transport>,
    executions: ExecutionServiceClient<Transport>,
}

impl Client {
    pub(crate) fn connect(executions: &str, definitions: &str) -> Result<Self, BenchError> {
        let to_executions = connect(executions)?;
        let to_definitions = match definitions == executions {
            true => to_executions.clone(),
            false => connect(definitions)?,
        };
        Ok(Self {
            definitions: DefinitionsServiceClient::new(to_definitions),
            executions: ExecutionServiceClient::new(to_executions).max_decoding_message_size(MAX_MESSAGE),
        })
    }

    /// Applies a workflow file; its name.
    pub(crate) async fn apply(&self, source: String) -> Result<String, BenchError> {
        let request = ApplyWorkflowRequest {
            source,
            ..ApplyWorkflowRequest::default()
        };
        let answer = self.definitions.clone().apply_workflow(request).await?.into_inner();
        let workflow = answer.workflow.ok_or_else(|| broken("no workflow in the answer"))?;
        Ok(workflow.name)
    }

    /// Starts a workflow; the execution's id.
    pub(crate) async fn start(&self, workflow: &str) -> Result<String, BenchError> {
        let request = StartExecutionRequest {
            workflow: workflow.to_owned(),
            ..StartExecutionRequest::default()
        };
        let answer = self.executions.clone().start_execution(request).await?.into_inner();
        let execution = answer.execution.ok_or_else(|| broken("no execution in the answer"))?;
        Ok(execution.id)
    }

    /// Waits for an execution to succeed.
    pub(crate) async fn finish(&self, id: &str) -> Result<Execution, BenchError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = WaitExecutionRequest {
                execution: id.to_owned(),
                timeout: None,
            };
            let answer = self.executions.clone().wait_execution(request).await?.into_inner();
            let execution = answer.execution.ok_or_else(|| broken("no execution in the answer"))?;
            if answer.done && execution.state() == execution::State::Succeeded {
                return Ok(execution);
            }
            if answer.done {
                let why = execution.error.unwrap_or_default();
                return Err(broken(format!("the execution did not succeed: {}", why.message)));
            }
            if Instant::now() > deadline {
                return Err(broken("the execution does not end"));
            }
        }
    }

    /// Starts a workflow and waits for its end.
    pub(crate) async fn run(&self, workflow: &str) -> Result<Execution, BenchError> {
        let id = self.start(workflow).await?;
        self.finish(&id).await
    }

    /// Starts a workflow many times with so many calls at once, then waits for all; the events of all histories.
    pub(crate) async fn run_many(&self, workflow: &str, count: usize, at_once: usize) -> Result<u64, BenchError> {
        let starts = (0..count).map(|_| self.start(workflow));
        let ids: Vec<String> = stream::iter(starts).buffer_unordered(at_once).try_collect().await?;
        let ends = ids.iter().map(|id| self.finish(id));
        stream::iter(ends)
            .buffer_unordered(at_once)
            .try_fold(0, async |events, execution| Ok(events + execution.last_event))
            .await
    }
}

/// A way to one server, or over all replicas where there are several.
fn connect(addresses: &str) -> Result<Transport, BenchError> {
    if addresses.contains(',') {
        let options = transport::ClientOptions::default();
        return transport::connect_balanced(addresses, &options).map_err(|error| broken(error.to_string()));
    }
    transport::connect(addresses).map_err(|error| broken(error.to_string()))
}

/// Milliseconds that something takes, and what it gives.
pub(crate) async fn timed<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<(f64, T), BenchError> {
    let begun = Instant::now();
    let value = work.await?;
    Ok((begun.elapsed().as_secs_f64() * 1e3, value))
}

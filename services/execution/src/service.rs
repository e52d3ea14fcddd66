//! The service for callers: translates, and does nothing else.

use nexus_api::Namespace;
use nexus_api::execution::v1 as api;
use nexus_api::execution::v1::execution_service_server::ExecutionService;
use nexus_audit::Recorder;
use tonic::{Request, Response, Status};

use crate::operations::{cancel, durations, get, list, logs, start, statistics, tasks, wait, watch};
use crate::{Context, Execution};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExecutionService")
    }
}

impl Execution {
    /// What its entries of the audit log are made with: whoever ships them hears of new ones by it.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.context.recorder.clone()
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ExecutionService for Service {
    type WatchExecutionStream = watch::Watch;
    type TailLogsStream = logs::Tail;

    async fn start_execution(
        &self,
        request: Request<api::StartExecutionRequest>,
    ) -> Answer<api::StartExecutionResponse> {
        let origin = self.0.recorder.origin(&request);
        let traceparent = nexus_mesh::trace::traceparent_of(request.metadata());
        let (namespace, request) = Namespace::split(request)?;
        start::start(&self.0, &namespace, (traceparent, origin), request)
            .await
            .map(Response::new)
    }

    async fn get_execution(&self, request: Request<api::GetExecutionRequest>) -> Answer<api::GetExecutionResponse> {
        let (namespace, request) = Namespace::split(request)?;
        get::get(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn list_executions(
        &self,
        request: Request<api::ListExecutionsRequest>,
    ) -> Answer<api::ListExecutionsResponse> {
        let (namespace, request) = Namespace::split(request)?;
        list::list(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn cancel_execution(
        &self,
        request: Request<api::CancelExecutionRequest>,
    ) -> Answer<api::CancelExecutionResponse> {
        let origin = self.0.recorder.origin(&request);
        let (namespace, request) = Namespace::split(request)?;
        cancel::cancel(&self.0, &namespace, &origin, request)
            .await
            .map(Response::new)
    }

    async fn wait_execution(&self, request: Request<api::WaitExecutionRequest>) -> Answer<api::WaitExecutionResponse> {
        let (namespace, request) = Namespace::split(request)?;
        wait::wait(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn watch_execution(&self, request: Request<api::WatchExecutionRequest>) -> Answer<watch::Watch> {
        let (namespace, request) = Namespace::split(request)?;
        watch::watch(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn list_tasks(&self, request: Request<api::ListTasksRequest>) -> Answer<api::ListTasksResponse> {
        let (namespace, request) = Namespace::split(request)?;
        tasks::list(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn get_task(&self, request: Request<api::GetTaskRequest>) -> Answer<api::GetTaskResponse> {
        let (namespace, request) = Namespace::split(request)?;
        tasks::get(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn list_attempts(&self, request: Request<api::ListAttemptsRequest>) -> Answer<api::ListAttemptsResponse> {
        let (namespace, request) = Namespace::split(request)?;
        watch::attempts(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn list_history(&self, request: Request<api::ListHistoryRequest>) -> Answer<api::ListHistoryResponse> {
        let (namespace, request) = Namespace::split(request)?;
        watch::history(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn list_logs(&self, request: Request<api::ListLogsRequest>) -> Answer<api::ListLogsResponse> {
        let (namespace, request) = Namespace::split(request)?;
        logs::list(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn tail_logs(&self, request: Request<api::TailLogsRequest>) -> Answer<logs::Tail> {
        let (namespace, request) = Namespace::split(request)?;
        logs::tail(&self.0, &namespace, request).await.map(Response::new)
    }

    async fn get_task_durations(
        &self,
        request: Request<api::GetTaskDurationsRequest>,
    ) -> Answer<api::GetTaskDurationsResponse> {
        let (namespace, request) = Namespace::split(request)?;
        durations::durations(&self.0, &namespace, request)
            .await
            .map(Response::new)
    }

    async fn get_workflow_statistics(
        &self,
        request: Request<api::GetWorkflowStatisticsRequest>,
    ) -> Answer<api::GetWorkflowStatisticsResponse> {
        let (namespace, request) = Namespace::split(request)?;
        statistics::statistics(&self.0, &namespace, request)
            .await
            .map(Response::new)
    }
}

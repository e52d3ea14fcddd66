//! The service for workers: translates, and does nothing else.

use nexus_api::worker::v1 as api;
use nexus_api::worker::v1::worker_service_server::WorkerService;
use nexus_auth::Arrival;
use tonic::{Request, Response, Status, Streaming};

use crate::Context;
use crate::worker_operations::{heartbeat, logs, poll, register, report, secrets, stream};
use nexus_execution_sessions::speaker::Speaker;

/// Answers workers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorkerService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl WorkerService for Service {
    type StreamTasksStream = stream::Messages;

    async fn register_worker(
        &self,
        request: Request<api::RegisterWorkerRequest>,
    ) -> Answer<api::RegisterWorkerResponse> {
        let arrival = request.extensions().get::<Arrival>();
        let peer = arrival
            .and_then(|arrival| arrival.address)
            .map(|address| address.to_canonical());
        let (speaker, request) = Speaker::split(request)?;
        register::register(&self.0, &speaker, request, peer)
            .await
            .map(Response::new)
    }

    async fn poll_tasks(&self, request: Request<api::PollTasksRequest>) -> Answer<api::PollTasksResponse> {
        let (speaker, request) = Speaker::split(request)?;
        poll::poll(&self.0, &speaker, request).await.map(Response::new)
    }

    async fn stream_tasks(&self, request: Request<Streaming<api::StreamTasksRequest>>) -> Answer<stream::Messages> {
        let (speaker, request) = Speaker::split(request)?;
        stream::stream(&self.0, &speaker, request).await.map(Response::new)
    }

    async fn report_tasks(&self, request: Request<api::ReportTasksRequest>) -> Answer<api::ReportTasksResponse> {
        let (speaker, request) = Speaker::split(request)?;
        report::report(&self.0, &speaker, request).await.map(Response::new)
    }

    async fn heartbeat_tasks(
        &self,
        request: Request<api::HeartbeatTasksRequest>,
    ) -> Answer<api::HeartbeatTasksResponse> {
        let (speaker, request) = Speaker::split(request)?;
        heartbeat::heartbeat(&self.0, &speaker, request)
            .await
            .map(Response::new)
    }

    async fn append_task_logs(
        &self,
        request: Request<api::AppendTaskLogsRequest>,
    ) -> Answer<api::AppendTaskLogsResponse> {
        let (speaker, request) = Speaker::split(request)?;
        logs::append(&self.0, &speaker, request).await.map(Response::new)
    }

    async fn resolve_task_secrets(
        &self,
        request: Request<api::ResolveTaskSecretsRequest>,
    ) -> Answer<api::ResolveTaskSecretsResponse> {
        let (speaker, request) = Speaker::split(request)?;
        secrets::resolve(&self.0, &speaker, request).await.map(Response::new)
    }

    async fn deregister_worker(
        &self,
        request: Request<api::DeregisterWorkerRequest>,
    ) -> Answer<api::DeregisterWorkerResponse> {
        let (speaker, request) = Speaker::split(request)?;
        register::deregister(&self.0, &speaker, request)
            .await
            .map(Response::new)
    }
}

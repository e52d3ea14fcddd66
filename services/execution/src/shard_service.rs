//! The service for the other replicas: translates, and does nothing else.

use nexus_api::shard::v1 as api;
use nexus_api::shard::v1::shard_service_server::ShardService;
use tonic::{Request, Response, Status};

use crate::Context;
use crate::shard_operations as operations;

/// Answers the other replicas.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ShardService for Service {
    type WatchChangesStream = operations::Changes;

    async fn begin_execution(
        &self,
        request: Request<api::BeginExecutionRequest>,
    ) -> Answer<api::BeginExecutionResponse> {
        operations::begin(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn end_execution(&self, request: Request<api::EndExecutionRequest>) -> Answer<api::EndExecutionResponse> {
        operations::end(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn grant_leases(&self, request: Request<api::GrantLeasesRequest>) -> Answer<api::GrantLeasesResponse> {
        operations::grant(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn report_leases(&self, request: Request<api::ReportLeasesRequest>) -> Answer<api::ReportLeasesResponse> {
        operations::report(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn extend_leases(&self, request: Request<api::ExtendLeasesRequest>) -> Answer<api::ExtendLeasesResponse> {
        let answer = operations::extend(&self.0, request.into_inner()).await;
        Ok(Response::new(answer))
    }

    async fn describe_leases(
        &self,
        request: Request<api::DescribeLeasesRequest>,
    ) -> Answer<api::DescribeLeasesResponse> {
        operations::describe(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn close_session(&self, request: Request<api::CloseSessionRequest>) -> Answer<api::CloseSessionResponse> {
        operations::close_session(&self.0, request.into_inner()).await;
        Ok(Response::new(api::CloseSessionResponse {}))
    }

    async fn direct_leases(&self, request: Request<api::DirectLeasesRequest>) -> Answer<api::DirectLeasesResponse> {
        operations::direct(&self.0, request.into_inner());
        Ok(Response::new(api::DirectLeasesResponse {}))
    }

    async fn watch_changes(&self, _: Request<api::WatchChangesRequest>) -> Answer<operations::Changes> {
        Ok(Response::new(operations::watch_changes(&self.0)))
    }

    async fn nudge(&self, _: Request<api::NudgeRequest>) -> Answer<api::NudgeResponse> {
        if let Some(nudge) = &self.0.nudge {
            nudge.nudge();
        }
        Ok(Response::new(api::NudgeResponse {}))
    }

    async fn lend_pointers(&self, request: Request<api::LendPointersRequest>) -> Answer<api::LendPointersResponse> {
        let answer = operations::lend(&self.0, &request.into_inner());
        Ok(Response::new(answer))
    }

    async fn identify_replica(&self, _: Request<api::IdentifyReplicaRequest>) -> Answer<api::IdentifyReplicaResponse> {
        let me = self.0.router.me();
        let replica = me.map_or_else(Vec::new, |me| me.as_bytes().to_vec());
        Ok(Response::new(api::IdentifyReplicaResponse { replica }))
    }
}

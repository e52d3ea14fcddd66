//! The service for callers: translates, and does nothing else.

use nexus_api::Namespace;
use nexus_api::scheduling::v1 as api;
use nexus_api::scheduling::v1::scheduling_service_server::SchedulingService;
use tonic::{Request, Response, Status};

use crate::Context;
use crate::operations::{apply, backfills, change, read, state};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SchedulingService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// What a call asks for, in the namespace that it names.
    fn enter<T>(&self, request: Request<T>) -> Result<(Context, T), Status> {
        let origin = self.0.recorder.origin(&request);
        let (namespace, request) = Namespace::split(request)?;
        let context = Context {
            namespace,
            origin,
            ..self.0.clone()
        };
        Ok((context, request))
    }
}

#[tonic::async_trait]
impl SchedulingService for Service {
    async fn create_schedule(
        &self,
        request: Request<api::CreateScheduleRequest>,
    ) -> Answer<api::CreateScheduleResponse> {
        let (context, request) = self.enter(request)?;
        change::create(&context, request).await.map(Response::new)
    }

    async fn get_schedule(&self, request: Request<api::GetScheduleRequest>) -> Answer<api::GetScheduleResponse> {
        let (context, request) = self.enter(request)?;
        read::get(&context, request).await.map(Response::new)
    }

    async fn list_schedules(&self, request: Request<api::ListSchedulesRequest>) -> Answer<api::ListSchedulesResponse> {
        let (context, request) = self.enter(request)?;
        read::list(&context, request).await.map(Response::new)
    }

    async fn update_schedule(
        &self,
        request: Request<api::UpdateScheduleRequest>,
    ) -> Answer<api::UpdateScheduleResponse> {
        let (context, request) = self.enter(request)?;
        change::update(&context, request).await.map(Response::new)
    }

    async fn delete_schedule(
        &self,
        request: Request<api::DeleteScheduleRequest>,
    ) -> Answer<api::DeleteScheduleResponse> {
        let (context, request) = self.enter(request)?;
        change::delete(&context, request).await.map(Response::new)
    }

    async fn pause_schedule(&self, request: Request<api::PauseScheduleRequest>) -> Answer<api::PauseScheduleResponse> {
        let (context, request) = self.enter(request)?;
        state::pause(&context, request).await.map(Response::new)
    }

    async fn unpause_schedule(
        &self,
        request: Request<api::UnpauseScheduleRequest>,
    ) -> Answer<api::UnpauseScheduleResponse> {
        let (context, request) = self.enter(request)?;
        state::unpause(&context, request).await.map(Response::new)
    }

    async fn trigger_schedule(
        &self,
        request: Request<api::TriggerScheduleRequest>,
    ) -> Answer<api::TriggerScheduleResponse> {
        let (context, request) = self.enter(request)?;
        state::trigger(&context, request).await.map(Response::new)
    }

    async fn preview_schedule(
        &self,
        request: Request<api::PreviewScheduleRequest>,
    ) -> Answer<api::PreviewScheduleResponse> {
        let (context, request) = self.enter(request)?;
        read::preview(&context, request).await.map(Response::new)
    }

    async fn list_fires(&self, request: Request<api::ListFiresRequest>) -> Answer<api::ListFiresResponse> {
        let (context, request) = self.enter(request)?;
        read::fires(&context, request).await.map(Response::new)
    }

    async fn create_backfill(
        &self,
        request: Request<api::CreateBackfillRequest>,
    ) -> Answer<api::CreateBackfillResponse> {
        let (context, request) = self.enter(request)?;
        backfills::create(&context, request).await.map(Response::new)
    }

    async fn get_backfill(&self, request: Request<api::GetBackfillRequest>) -> Answer<api::GetBackfillResponse> {
        let (context, request) = self.enter(request)?;
        backfills::get(&context, request).await.map(Response::new)
    }

    async fn list_backfills(&self, request: Request<api::ListBackfillsRequest>) -> Answer<api::ListBackfillsResponse> {
        let (context, request) = self.enter(request)?;
        backfills::list(&context, request).await.map(Response::new)
    }

    async fn cancel_backfill(
        &self,
        request: Request<api::CancelBackfillRequest>,
    ) -> Answer<api::CancelBackfillResponse> {
        let (context, request) = self.enter(request)?;
        backfills::cancel(&context, request).await.map(Response::new)
    }

    async fn apply_schedules(
        &self,
        request: Request<api::ApplySchedulesRequest>,
    ) -> Answer<api::ApplySchedulesResponse> {
        let (context, request) = self.enter(request)?;
        apply::apply(&context, request).await.map(Response::new)
    }
}

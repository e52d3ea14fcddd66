//! The service for callers: translates, and does nothing else.

use nexus_api::definitions::v1 as api;
use nexus_api::definitions::v1::definitions_service_server::DefinitionsService;
use tonic::{Request, Response, Status};

use crate::Context;
use crate::operations::{apply, create, delete, diff, export, get, graph, import, list, revisions, update, validate};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DefinitionsService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl DefinitionsService for Service {
    async fn create_workflow(
        &self,
        request: Request<api::CreateWorkflowRequest>,
    ) -> Answer<api::CreateWorkflowResponse> {
        create::create(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn get_workflow(&self, request: Request<api::GetWorkflowRequest>) -> Answer<api::GetWorkflowResponse> {
        get::get(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn list_workflows(&self, request: Request<api::ListWorkflowsRequest>) -> Answer<api::ListWorkflowsResponse> {
        list::list(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn update_workflow(
        &self,
        request: Request<api::UpdateWorkflowRequest>,
    ) -> Answer<api::UpdateWorkflowResponse> {
        update::update(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn delete_workflow(
        &self,
        request: Request<api::DeleteWorkflowRequest>,
    ) -> Answer<api::DeleteWorkflowResponse> {
        delete::delete(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn apply_workflow(&self, request: Request<api::ApplyWorkflowRequest>) -> Answer<api::ApplyWorkflowResponse> {
        apply::apply(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn validate_workflow(
        &self,
        request: Request<api::ValidateWorkflowRequest>,
    ) -> Answer<api::ValidateWorkflowResponse> {
        validate::validate(&request.into_inner()).await.map(Response::new)
    }

    async fn list_revisions(&self, request: Request<api::ListRevisionsRequest>) -> Answer<api::ListRevisionsResponse> {
        revisions::list(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn get_revision(&self, request: Request<api::GetRevisionRequest>) -> Answer<api::GetRevisionResponse> {
        revisions::get(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn diff_revisions(&self, request: Request<api::DiffRevisionsRequest>) -> Answer<api::DiffRevisionsResponse> {
        diff::diff(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn get_workflow_graph(
        &self,
        request: Request<api::GetWorkflowGraphRequest>,
    ) -> Answer<api::GetWorkflowGraphResponse> {
        graph::graph(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn export_workflow(
        &self,
        request: Request<api::ExportWorkflowRequest>,
    ) -> Answer<api::ExportWorkflowResponse> {
        export::export(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn import_workflow(
        &self,
        request: Request<api::ImportWorkflowRequest>,
    ) -> Answer<api::ImportWorkflowResponse> {
        import::import(&self.0, request.into_inner()).await.map(Response::new)
    }
}

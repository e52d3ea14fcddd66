//! The service for callers: translates, and does nothing else.

use nexus_api::Namespace;
use nexus_api::definitions::v1 as api;
use nexus_api::definitions::v1::definitions_service_server::DefinitionsService;
use nexus_api::namespace::METADATA;
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

impl Service {
    /// What a call asks for, and what it is answered with: in the namespace that it names.
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

/// An answer says whose it is, so that a service that runs what it got can tell a server of before namespaces, which gives
/// what `default` has instead.
fn of<T>(context: &Context, message: T) -> Response<T> {
    let mut answer = Response::new(message);
    // A name has nothing that metadata could not have.
    if let Ok(name) = context.namespace.as_str().parse() {
        answer.metadata_mut().insert(METADATA, name);
    }
    answer
}

#[tonic::async_trait]
impl DefinitionsService for Service {
    async fn create_workflow(
        &self,
        request: Request<api::CreateWorkflowRequest>,
    ) -> Answer<api::CreateWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        create::create(&context, request).await.map(Response::new)
    }

    async fn get_workflow(&self, request: Request<api::GetWorkflowRequest>) -> Answer<api::GetWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        get::get(&context, request).await.map(|answer| of(&context, answer))
    }

    async fn list_workflows(&self, request: Request<api::ListWorkflowsRequest>) -> Answer<api::ListWorkflowsResponse> {
        let (context, request) = self.enter(request)?;
        list::list(&context, request).await.map(Response::new)
    }

    async fn update_workflow(
        &self,
        request: Request<api::UpdateWorkflowRequest>,
    ) -> Answer<api::UpdateWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        update::update(&context, request).await.map(Response::new)
    }

    async fn delete_workflow(
        &self,
        request: Request<api::DeleteWorkflowRequest>,
    ) -> Answer<api::DeleteWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        delete::delete(&context, request).await.map(Response::new)
    }

    async fn apply_workflow(&self, request: Request<api::ApplyWorkflowRequest>) -> Answer<api::ApplyWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        apply::apply(&context, request).await.map(Response::new)
    }

    async fn validate_workflow(
        &self,
        request: Request<api::ValidateWorkflowRequest>,
    ) -> Answer<api::ValidateWorkflowResponse> {
        // A text belongs to no namespace; one that does not exist is told all the same.
        let (_, request) = self.enter(request)?;
        validate::validate(&request).await.map(Response::new)
    }

    async fn list_revisions(&self, request: Request<api::ListRevisionsRequest>) -> Answer<api::ListRevisionsResponse> {
        let (context, request) = self.enter(request)?;
        revisions::list(&context, request).await.map(Response::new)
    }

    async fn get_revision(&self, request: Request<api::GetRevisionRequest>) -> Answer<api::GetRevisionResponse> {
        let (context, request) = self.enter(request)?;
        revisions::get(&context, request)
            .await
            .map(|answer| of(&context, answer))
    }

    async fn diff_revisions(&self, request: Request<api::DiffRevisionsRequest>) -> Answer<api::DiffRevisionsResponse> {
        let (context, request) = self.enter(request)?;
        diff::diff(&context, request).await.map(Response::new)
    }

    async fn get_workflow_graph(
        &self,
        request: Request<api::GetWorkflowGraphRequest>,
    ) -> Answer<api::GetWorkflowGraphResponse> {
        let (context, request) = self.enter(request)?;
        graph::graph(&context, request).await.map(Response::new)
    }

    async fn export_workflow(
        &self,
        request: Request<api::ExportWorkflowRequest>,
    ) -> Answer<api::ExportWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        export::export(&context, request).await.map(Response::new)
    }

    async fn import_workflow(
        &self,
        request: Request<api::ImportWorkflowRequest>,
    ) -> Answer<api::ImportWorkflowResponse> {
        let (context, request) = self.enter(request)?;
        import::import(&context, request).await.map(Response::new)
    }
}

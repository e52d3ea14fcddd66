//! The service for callers: translates, and does nothing else.

use nexus_api::Namespace;
use nexus_api::definitions::v1 as api;
use nexus_api::definitions::v1::secrets_service_server::SecretsService;
use nexus_auth::Caller;
use tonic::{Request, Response, Status};

use super::operations::{Call, Context, delete, get, list, resolve, rotate, set, uses};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(super) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// Who asks for what, and about which namespace.
fn enter<T>(context: &Context, request: Request<T>) -> Result<(Call, T), Status> {
    let caller = Caller::of(&request)?;
    let origin = context.recorder.origin(&request);
    let (namespace, request) = Namespace::split(request)?;
    let call = Call {
        caller,
        namespace,
        origin,
    };
    Ok((call, request))
}

#[tonic::async_trait]
impl SecretsService for Service {
    async fn set_secret(&self, request: Request<api::SetSecretRequest>) -> Answer<api::SetSecretResponse> {
        let (call, request) = enter(&self.0, request)?;
        set::set(&self.0, &call, request).await.map(Response::new)
    }

    async fn get_secret(&self, request: Request<api::GetSecretRequest>) -> Answer<api::GetSecretResponse> {
        let (call, request) = enter(&self.0, request)?;
        get::get(&self.0, &call, &request).await.map(Response::new)
    }

    async fn list_secrets(&self, request: Request<api::ListSecretsRequest>) -> Answer<api::ListSecretsResponse> {
        let (call, request) = enter(&self.0, request)?;
        list::list(&self.0, &call, &request).await.map(Response::new)
    }

    async fn delete_secret(&self, request: Request<api::DeleteSecretRequest>) -> Answer<api::DeleteSecretResponse> {
        let (call, request) = enter(&self.0, request)?;
        delete::delete(&self.0, &call, &request).await.map(Response::new)
    }

    async fn list_secret_uses(
        &self,
        request: Request<api::ListSecretUsesRequest>,
    ) -> Answer<api::ListSecretUsesResponse> {
        let (call, request) = enter(&self.0, request)?;
        uses::uses(&self.0, &call, &request).await.map(Response::new)
    }

    async fn rotate_secret_keys(
        &self,
        request: Request<api::RotateSecretKeysRequest>,
    ) -> Answer<api::RotateSecretKeysResponse> {
        let (call, request) = enter(&self.0, request)?;
        rotate::rotate(&self.0, &call, &request).await.map(Response::new)
    }

    async fn resolve_secrets(
        &self,
        request: Request<api::ResolveSecretsRequest>,
    ) -> Answer<api::ResolveSecretsResponse> {
        let (call, request) = enter(&self.0, request)?;
        resolve::resolve(&self.0, &call, request).await.map(Response::new)
    }
}

//! The services for callers: they translate, and do nothing else.

use nexus_api::access::v1 as api;
use nexus_api::access::v1::access_service_server::AccessService;
use nexus_api::access::v1::authentication_service_server::AuthenticationService;
use nexus_api::access::v1::calls_service_server::CallsService;
use tonic::{Request, Response, Status};

use crate::Context;
use crate::caller::{Caller, address};
use crate::enter::From;
use crate::operations::{
    authenticate, begin_call, begin_oidc, change_password, claim, complete_oidc, create_key, create_role, create_user,
    delete_role, delete_user, finish_call, get_key, get_role, get_user, list_keys, list_roles, list_sessions,
    list_users, login, login_methods, logout, revoke_key, revoke_session, set_password, update_role, update_user,
};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// A call of somebody who was found out: each operation takes who it is and what they ask for.
macro_rules! known {
    ($($method:ident($request:ident) -> $response:ident: $operation:path;)+) => {
        #[tonic::async_trait]
        impl AccessService for Service {
            $(async fn $method(&self, request: Request<api::$request>) -> Answer<api::$response> {
                let context = self.0.called(&request);
                let caller = authenticate::anew(&context, Caller::of(&request)?).await?;
                $operation(&context, &caller, request.into_inner()).await.map(Response::new)
            })+
        }
    };
}

known! {
    create_api_key(CreateApiKeyRequest) -> CreateApiKeyResponse: create_key::create;
    get_api_key(GetApiKeyRequest) -> GetApiKeyResponse: get_key::get;
    list_api_keys(ListApiKeysRequest) -> ListApiKeysResponse: list_keys::list;
    revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse: revoke_key::revoke;
    create_user(CreateUserRequest) -> CreateUserResponse: create_user::create;
    get_user(GetUserRequest) -> GetUserResponse: get_user::get;
    list_users(ListUsersRequest) -> ListUsersResponse: list_users::list;
    update_user(UpdateUserRequest) -> UpdateUserResponse: update_user::update;
    set_user_password(SetUserPasswordRequest) -> SetUserPasswordResponse: set_password::set;
    delete_user(DeleteUserRequest) -> DeleteUserResponse: delete_user::delete;
    create_role(CreateRoleRequest) -> CreateRoleResponse: create_role::create;
    get_role(GetRoleRequest) -> GetRoleResponse: get_role::get;
    list_roles(ListRolesRequest) -> ListRolesResponse: list_roles::list;
    update_role(UpdateRoleRequest) -> UpdateRoleResponse: update_role::update;
    delete_role(DeleteRoleRequest) -> DeleteRoleResponse: delete_role::delete;
    list_sessions(ListSessionsRequest) -> ListSessionsResponse: list_sessions::list;
    revoke_session(RevokeSessionRequest) -> RevokeSessionResponse: revoke_session::revoke;
}

/// Where a call comes from.
fn from<T>(request: &Request<T>, client: &str) -> From {
    From {
        client: client.to_owned(),
        address: address(request),
    }
}

#[tonic::async_trait]
impl AuthenticationService for Service {
    async fn authenticate(&self, request: Request<api::AuthenticateRequest>) -> Answer<api::AuthenticateResponse> {
        let answer = authenticate::authenticate(&self.0, request.into_inner()).await;
        answer.map(Response::new)
    }

    async fn get_identity(&self, request: Request<api::GetIdentityRequest>) -> Answer<api::GetIdentityResponse> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(api::GetIdentityResponse {
            identity: Some(caller.identity().clone()),
        }))
    }

    async fn login(&self, request: Request<api::LoginRequest>) -> Answer<api::LoginResponse> {
        let context = self.0.called(&request);
        let from = from(&request, &request.get_ref().client);
        login::login(&context, from, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_login_methods(
        &self,
        _: Request<api::ListLoginMethodsRequest>,
    ) -> Answer<api::ListLoginMethodsResponse> {
        login_methods::list(&self.0).await.map(Response::new)
    }

    async fn begin_oidc_login(
        &self,
        request: Request<api::BeginOidcLoginRequest>,
    ) -> Answer<api::BeginOidcLoginResponse> {
        begin_oidc::begin(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn complete_oidc_login(
        &self,
        request: Request<api::CompleteOidcLoginRequest>,
    ) -> Answer<api::CompleteOidcLoginResponse> {
        let context = self.0.called(&request);
        let from = from(&request, &request.get_ref().client);
        let answer = complete_oidc::complete(&context, from, request.into_inner()).await;
        answer.map(Response::new)
    }

    async fn logout(&self, request: Request<api::LogoutRequest>) -> Answer<api::LogoutResponse> {
        let caller = Caller::of(&request)?;
        let context = self.0.called(&request);
        logout::logout(&context, &caller).await.map(Response::new)
    }

    async fn claim_administrator(
        &self,
        request: Request<api::ClaimAdministratorRequest>,
    ) -> Answer<api::ClaimAdministratorResponse> {
        let context = self.0.called(&request);
        let from = from(&request, &request.get_ref().client);
        claim::claim(&context, from, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn change_own_password(
        &self,
        request: Request<api::ChangeOwnPasswordRequest>,
    ) -> Answer<api::ChangeOwnPasswordResponse> {
        let context = self.0.called(&request);
        let caller = authenticate::anew(&context, Caller::of(&request)?).await?;
        let from = from(&request, "");
        let answer = change_password::change(&context, &caller, from, request.into_inner()).await;
        answer.map(Response::new)
    }
}

#[tonic::async_trait]
impl CallsService for Service {
    async fn begin_call(&self, request: Request<api::BeginCallRequest>) -> Answer<api::BeginCallResponse> {
        begin_call::begin(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn finish_call(&self, request: Request<api::FinishCallRequest>) -> Answer<api::FinishCallResponse> {
        finish_call::finish(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }
}

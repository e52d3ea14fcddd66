//! Stand-ins of the two services of access, which remember what they were asked.

mod access;

use std::sync::{Arc, Mutex, MutexGuard};

use nexus_api::ErrorReason;
use nexus_api::access::v1::access_service_server::AccessServiceServer;
use nexus_api::access::v1::authentication_service_server::{AuthenticationService, AuthenticationServiceServer};
use nexus_api::access::v1::*;
use nexus_api::error::ApiError;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What sessions begin with; it must never be shown.
pub const TOKEN: &str = "nxs_hush";
/// What passwords begin with; it must never be shown.
pub const PASSWORD: &str = "correct-horse";
/// The one-time token of the first administrator.
pub const CLAIM: &str = "claim-once";
/// What keys begin with; it is shown once.
pub const KEY: &str = "nxk_k1_whisper";

/// What was asked and what is there.
#[derive(Default)]
pub struct State {
    /// Of each call its name and the credential that it showed.
    pub calls: Vec<(&'static str, String)>,
    pub keys: Vec<(CreateApiKeyRequest, ApiKey)>,
    pub users: Vec<User>,
    pub roles: Vec<Role>,
    pub passwords: Vec<String>,
    /// Sessions that have not ended.
    pub sessions: Vec<String>,
    pub clients: Vec<String>,
    pub oidc_only: bool,
}

/// A server of its own, in a runtime of its own: tests wait for processes.
pub struct Fake {
    pub address: String,
    state: Shared,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Fake {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("runtime");
        let state = Shared::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let router = tonic::transport::Server::builder()
            .add_service(AccessServiceServer::new(state.clone()))
            .add_service(AuthenticationServiceServer::new(state.clone()));
        runtime.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            address,
            state,
            _runtime: runtime,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("state")
    }

    /// The credentials of the calls of a method.
    pub fn shown(&self, method: &str) -> Vec<String> {
        let state = self.state();
        let calls = state.calls.iter().filter(|(called, _)| *called == method);
        calls.map(|(_, credential)| credential.clone()).collect()
    }
}

fn bearer<T>(request: &Request<T>) -> String {
    let header = request.metadata().get("authorization");
    let text = header
        .map(|value| value.to_str().expect("text").to_owned())
        .unwrap_or_default();
    text.strip_prefix("Bearer ").unwrap_or(&text).to_owned()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("state")
    }

    fn note<T>(&self, method: &'static str, request: &Request<T>) -> String {
        let credential = bearer(request);
        self.state().calls.push((method, credential.clone()));
        credential
    }

    /// Whose a call is: anna's with a session, a key's otherwise. A key that says so may do nothing.
    fn caller<T>(&self, method: &'static str, request: &Request<T>) -> Result<String, Status> {
        let credential = self.note(method, request);
        if credential.contains("powerless") {
            let denied = ApiError::new(ErrorReason::PermissionMissing, "that is not allowed");
            return Err(denied.with("permission", "access.write").with("namespace", "*").into());
        }
        let known = credential.starts_with("nxk_") || self.state().sessions.contains(&credential);
        if known {
            return Ok(credential);
        }
        Err(ApiError::new(ErrorReason::CredentialInvalid, "the credential is not one").into())
    }

    fn begin(&self, client: String) -> (String, Session, Identity) {
        let mut state = self.state();
        let token = format!("{TOKEN}{}", state.clients.len());
        state.sessions.push(token.clone());
        state.clients.push(client);
        let session = Session {
            id: "s1".into(),
            user: "anna".into(),
            expire_time: Some(nexus_api::time::timestamp(4_000_000_000_000_000)),
            ..Session::default()
        };
        (token, session, identity("user:anna"))
    }
}

fn identity(subject: &str) -> Identity {
    Identity {
        subject: subject.into(),
        kind: IdentityKind::User.into(),
        allowances: vec![Allowance {
            namespaces: vec!["team-a".into()],
            permissions: vec!["workflows.read".into()],
        }],
        ..Identity::default()
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn refused<T>() -> Answer<T> {
    let refused = ApiError::new(ErrorReason::LoginRefused, "the name or the password is wrong");
    Err(refused.retry_after(std::time::Duration::from_secs(60)).into())
}

#[tonic::async_trait]
impl AuthenticationService for Shared {
    async fn authenticate(&self, _: Request<AuthenticateRequest>) -> Answer<AuthenticateResponse> {
        Err(Status::unimplemented("for services"))
    }

    async fn get_identity(&self, request: Request<GetIdentityRequest>) -> Answer<GetIdentityResponse> {
        let credential = self.caller("GetIdentity", &request)?;
        let subject = if credential.starts_with("nxk_") {
            "key:k1"
        } else {
            "user:anna"
        };
        Ok(Response::new(GetIdentityResponse {
            identity: Some(identity(subject)),
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Answer<LoginResponse> {
        self.note("Login", &request);
        let request = request.into_inner();
        if (request.user.as_str(), request.password.as_str()) != ("anna", PASSWORD) {
            return refused();
        }
        let (token, session, identity) = self.begin(request.client);
        Ok(Response::new(LoginResponse {
            token,
            session: Some(session),
            identity: Some(identity),
        }))
    }

    async fn list_login_methods(&self, request: Request<ListLoginMethodsRequest>) -> Answer<ListLoginMethodsResponse> {
        self.note("ListLoginMethods", &request);
        let mut answer = ListLoginMethodsResponse::default();
        answer.push_methods(LoginMethod::Oidc);
        if !self.state().oidc_only {
            answer.push_methods(LoginMethod::Password);
        }
        Ok(Response::new(answer))
    }

    async fn begin_oidc_login(&self, request: Request<BeginOidcLoginRequest>) -> Answer<BeginOidcLoginResponse> {
        self.note("BeginOidcLogin", &request);
        let redirect = request.into_inner().redirect_uri;
        Ok(Response::new(BeginOidcLoginResponse {
            authorization_url: format!("https://id.example/authorize?redirect_uri={redirect}"),
            state: "a-state".into(),
        }))
    }

    async fn complete_oidc_login(
        &self,
        request: Request<CompleteOidcLoginRequest>,
    ) -> Answer<CompleteOidcLoginResponse> {
        self.note("CompleteOidcLogin", &request);
        let request = request.into_inner();
        if (request.state.as_str(), request.code.as_str()) != ("a-state", "a-code") {
            return refused();
        }
        let (token, session, identity) = self.begin(request.client);
        Ok(Response::new(CompleteOidcLoginResponse {
            token,
            session: Some(session),
            identity: Some(identity),
        }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Answer<LogoutResponse> {
        let credential = self.caller("Logout", &request)?;
        self.state().sessions.retain(|session| *session != credential);
        Ok(Response::new(LogoutResponse {}))
    }

    async fn claim_administrator(
        &self,
        request: Request<ClaimAdministratorRequest>,
    ) -> Answer<ClaimAdministratorResponse> {
        self.note("ClaimAdministrator", &request);
        let request = request.into_inner();
        if request.claim_token != CLAIM {
            return refused();
        }
        self.state().passwords.push(request.password);
        let (token, session, identity) = self.begin(request.client);
        Ok(Response::new(ClaimAdministratorResponse {
            token,
            session: Some(session),
            identity: Some(identity),
        }))
    }

    async fn change_own_password(
        &self,
        request: Request<ChangeOwnPasswordRequest>,
    ) -> Answer<ChangeOwnPasswordResponse> {
        self.caller("ChangeOwnPassword", &request)?;
        let request = request.into_inner();
        self.state().passwords.extend([request.password, request.new_password]);
        Ok(Response::new(ChangeOwnPasswordResponse {}))
    }
}

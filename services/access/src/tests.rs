//! The operations as callers see them: over the generated clients, in process.

mod authenticate;
mod claim;
mod keys;
mod login;
mod oidc;
mod oidc_login;
mod provider;
mod real_provider;
mod roles;
mod taken;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use nexus_api::access::v1::access_service_client::AccessServiceClient;
use nexus_api::access::v1::authentication_service_client::AuthenticationServiceClient;
use nexus_api::error::reason_of;
use nexus_mesh::{Transport, transport};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::oidc::settings::Settings;
use crate::passwords::{Cost, Passwords};
use crate::store::sqlite::SqliteStore;
use crate::{Access, Parts, tokens};

/// A moment, in microseconds.
const NOW: i64 = 1_790_000_000_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// A password that is one.
const PASSWORD: &str = "purple lamp 9 herring";

/// The service over a database of its own, at a time that the test sets.
struct World {
    access: Access,
    people: AccessServiceClient<Transport>,
    door: AuthenticationServiceClient<Transport>,
    time: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

/// What a call is answered with, without its frame.
type Answer<T> = Result<T, Status>;

impl World {
    async fn new() -> Self {
        Self::with(None).await
    }

    /// With an OpenID provider.
    async fn with(provider: Option<Settings>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path()).await.expect("the store opens");
        let time = Arc::new(AtomicI64::new(NOW));
        let (now, random) = (Arc::clone(&time), tokens::system_random());
        let cost = Cost {
            memory: 64,
            passes: 1,
            at_once: 2,
        };
        let parts = Parts {
            clock: Arc::new(move || now.load(Ordering::SeqCst)),
            passwords: Passwords::new(cost, random.clone()).expect("passwords"),
            random,
            session_lifetime: Duration::from_secs(12 * 3_600),
            provider,
            recorder: nexus_audit::Recorder::off(),
            audit_retention: None,
        };
        let access = Access::new(Arc::new(store), parts);
        let way = |routes| transport::in_process(routes);
        Self {
            people: AccessServiceClient::new(way(Routes::new(access.access()))),
            door: AuthenticationServiceClient::new(way(Routes::new(access.authentication()))),
            access,
            time,
            _folder: folder,
        }
    }

    fn pass(&self, micros: i64) {
        self.time.fetch_add(micros, Ordering::SeqCst);
    }

    /// The first administrator.
    async fn administrator(&self) -> Someone {
        let token = self.access.claim().await.expect("a token").expect("there is none yet");
        let request = api::ClaimAdministratorRequest {
            claim_token: token.expose().to_owned(),
            user: "root".to_owned(),
            password: PASSWORD.to_owned(),
            client: "a test".to_owned(),
        };
        let claimed = said(self.door.clone().claim_administrator(request).await).expect("claimed");
        Someone::of(claimed.identity)
    }

    /// A user with roles, and with the password of all of them when they are a person.
    async fn user(&self, by: &Someone, name: &str, grants: &[(&str, &str)]) -> api::User {
        let created = self.try_user(by, name, grants).await.expect("created");
        created.user.expect("a user")
    }

    async fn try_user(&self, by: &Someone, name: &str, roles: &[(&str, &str)]) -> Answer<api::CreateUserResponse> {
        let program = name.starts_with("ci");
        let request = api::CreateUserRequest {
            name: name.to_owned(),
            display_name: String::new(),
            kind: if program {
                api::UserKind::ServiceAccount
            } else {
                api::UserKind::Person
            }
            .into(),
            grants: grants(roles),
            password: if program { "" } else { PASSWORD }.to_owned(),
        };
        said(self.people.clone().create_user(by.asks(request)).await)
    }

    async fn login(&self, user: &str, password: &str) -> Answer<api::LoginResponse> {
        let request = api::LoginRequest {
            user: user.to_owned(),
            password: password.to_owned(),
            client: "a browser".to_owned(),
        };
        said(self.door.clone().login(request).await)
    }

    /// A user who is logged in.
    async fn logged_in(&self, user: &str) -> Someone {
        Someone::of(self.login(user, PASSWORD).await.expect("logged in").identity)
    }

    async fn key(&self, by: &Someone, user: &str, roles: &[(&str, &str)]) -> Answer<api::CreateApiKeyResponse> {
        let request = api::CreateApiKeyRequest {
            user: user.to_owned(),
            grants: grants(roles),
            ..api::CreateApiKeyRequest::default()
        };
        said(self.people.clone().create_api_key(by.asks(request)).await)
    }

    async fn whose(&self, credential: &str) -> Answer<api::AuthenticateResponse> {
        let request = api::AuthenticateRequest {
            credential: credential.to_owned(),
        };
        said(self.door.clone().authenticate(request).await)
    }

    async fn update(&self, by: &Someone, user: &str, change: api::UpdateUserRequest) -> Answer<api::User> {
        let request = api::UpdateUserRequest {
            user: user.to_owned(),
            ..change
        };
        let changed = said(self.people.clone().update_user(by.asks(request)).await)?;
        Ok(changed.user.expect("a user"))
    }
}

/// Somebody whom the frame has found out.
#[derive(Debug, Clone)]
struct Someone(Arc<api::Identity>);

impl Someone {
    fn of(identity: Option<api::Identity>) -> Self {
        Self(Arc::new(identity.expect("an identity")))
    }

    /// A call of theirs.
    fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .extensions_mut()
            .insert(nexus_auth::Caller::new(self.0.as_ref().clone()));
        request
    }
}

fn said<T>(answer: Result<Response<T>, Status>) -> Answer<T> {
    answer.map(Response::into_inner)
}

fn grants(roles: &[(&str, &str)]) -> Vec<api::Grant> {
    let each = roles.iter().map(|(role, namespace)| api::Grant {
        role: (*role).to_owned(),
        namespaces: vec![(*namespace).to_owned()],
    });
    each.collect()
}

/// Whether an identity allows something in a namespace.
fn allows(identity: &api::Identity, permission: &str, namespace: &str) -> bool {
    let has = |names: &[String], name: &str| names.iter().any(|known| known == name);
    let mut each = identity.allowances.iter();
    each.any(|allowance| has(&allowance.permissions, permission) && has(&allowance.namespaces, namespace))
}

/// Why something was refused.
#[track_caller]
fn why<T: std::fmt::Debug>(answer: Answer<T>) -> ErrorReason {
    let status = answer.expect_err("it should have been refused");
    reason_of(&status).unwrap_or_else(|| panic!("no reason: {status:?}"))
}

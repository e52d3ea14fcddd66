//! Who may do what: logging in and out, keys, users, roles and sessions.

mod args;
mod audit;
mod grants;
mod keep;
mod keys;
mod login;
mod loopback;
mod password;
mod roles;
mod sessions;
mod show;
mod users;

use nexus_api::access::v1::access_service_client::AccessServiceClient;
use nexus_api::access::v1::authentication_service_client::AuthenticationServiceClient;
use nexus_api::access::v1::{GetIdentityRequest, LogoutRequest};
use nexus_api::audit::v1::audit_service_client::AuditServiceClient;
use nexus_cli_frame::{CliError, Exit, Output, Standing, Target};
use nexus_mesh::Transport;
use tonic::Status;

pub use args::{Audit, Keys, LoginArgs, Roles, Sessions, Users};

/// The two services, and what the commands here share.
struct Access<'a> {
    access: AccessServiceClient<Transport>,
    authentication: AuthenticationServiceClient<Transport>,
    audit: AuditServiceClient<Transport>,
    standing: Standing,
    target: &'a Target,
    output: &'a Output,
}

impl<'a> Access<'a> {
    fn new(target: &'a Target, output: &'a Output) -> Result<Self, CliError> {
        let way = target.way()?;
        Ok(Self {
            access: AccessServiceClient::new(way.clone()),
            authentication: AuthenticationServiceClient::new(way.clone()),
            audit: AuditServiceClient::new(way),
            standing: Standing::of(target),
            target,
            output,
        })
    }

    fn error(&self, status: Status) -> CliError {
        self.standing.error(status)
    }

    /// What was answered, or the error in words.
    fn answer<T>(&self, answer: Result<tonic::Response<T>, Status>) -> Result<T, CliError> {
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.error(status))
    }
}

/// `nexus login`; the target is one without a credential.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn login(args: &LoginArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    login::run(args, &Access::new(target, output)?).await
}

/// `nexus logout`: ends the session at the server, and forgets it here whatever the server says.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn logout(target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut access = Access::new(target, output)?;
    let ended = match keep::is_kept(target)? && target.is_authenticated() {
        true => access.authentication.logout(LogoutRequest {}).await.map(|_| ()),
        false => Ok(()),
    };
    let forgotten = keep::forget(target)?;
    match ended {
        Err(status) if status.code() == tonic::Code::Unauthenticated => {}
        Err(status) => {
            eprintln!("the session is forgotten here, and may go on at the server until it ends by itself");
            return Err(access.error(status));
        }
        Ok(()) => {}
    }
    let context = &target.settings.context.value;
    let told = if forgotten {
        "logged out"
    } else {
        "nobody was logged in"
    };
    output.line(&format!("{context}: {told}"))?;
    Ok(Exit::Ok)
}

/// `nexus whoami`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn whoami(target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut access = Access::new(target, output)?;
    let answer = access.authentication.get_identity(GetIdentityRequest {}).await;
    let identity = access.answer(answer)?.identity.unwrap_or_default();
    show::identity(&identity, output)?;
    Ok(Exit::Ok)
}

/// `nexus keys`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn keys(command: Keys, target: &Target, output: &Output) -> Result<Exit, CliError> {
    keys::run(command, &mut Access::new(target, output)?).await
}

/// `nexus users`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn users(command: Users, target: &Target, output: &Output) -> Result<Exit, CliError> {
    users::run(command, &mut Access::new(target, output)?).await
}

/// `nexus roles`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn roles(command: Roles, target: &Target, output: &Output) -> Result<Exit, CliError> {
    roles::run(command, &mut Access::new(target, output)?).await
}

/// `nexus audit`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn audit(command: Audit, target: &Target, output: &Output) -> Result<Exit, CliError> {
    audit::run(command, &mut Access::new(target, output)?).await
}

/// `nexus sessions`.
///
/// # Errors
/// When it cannot do what it should; the error says why.
pub async fn sessions(command: Sessions, target: &Target, output: &Output) -> Result<Exit, CliError> {
    sessions::run(command, &mut Access::new(target, output)?).await
}

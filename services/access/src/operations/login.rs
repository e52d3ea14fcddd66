//! Begins a session with a name and a password.

use nexus_api::access::v1::{LoginRequest, LoginResponse};
use tonic::Status;

use crate::enter::{self, From};
use crate::store::Method;
use crate::{Context, metrics, rules};

pub(crate) async fn login(context: &Context, from: From, request: LoginRequest) -> Result<LoginResponse, Status> {
    rules::text("client", &from.client)?;
    rules::user_name("user", &request.user)?;
    rules::shown_password("password", &request.password)?;
    let user = match enter::check_password(context, &request.user, &request.password, &from).await {
        Ok(user) => user,
        Err(kept) => {
            metrics::login("password", kept.outcome());
            return Err(kept.into());
        }
    };
    let begun = enter::begin(context, &user, Method::Password, Vec::new(), &from).await;
    metrics::login("password", if begun.is_ok() { "done" } else { "failed" });
    let begun = begun?;
    Ok(LoginResponse {
        token: begun.token,
        session: Some(begun.session),
        identity: Some(begun.identity),
    })
}

//! Makes the first administrator.

use nexus_api::access::v1::{ClaimAdministratorRequest, ClaimAdministratorResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use crate::enter::{self, From};
use crate::error::{About, about, storage, wrong_claim};
use crate::powers::{EVERYWHERE, Grant};
use crate::store::{Method, NewUser, UserKind};
use crate::tokens::Digest;
use crate::{Context, metrics, roles, rules};

pub(crate) async fn claim(
    context: &Context,
    from: From,
    request: ClaimAdministratorRequest,
) -> Result<ClaimAdministratorResponse, Status> {
    rules::text("client", &from.client)?;
    rules::user_name("user", &request.user)?;
    let token = Digest::of(&request.claim_token);
    // Before a password is hashed for nothing; it is looked at again with the creation.
    let offered = context.store.offered_claim().await.map_err(storage)?;
    if !offered.is_some_and(|offered| offered.matches(&token)) {
        metrics::login("claim", "wrong");
        return Err(wrong_claim().into());
    }
    rules::password("password", &request.user, &request.password)?;
    let password = context
        .passwords
        .hash(&request.password)
        .await
        .map_err(ApiError::from)?;
    let user = NewUser {
        name: request.user,
        display_name: String::new(),
        kind: UserKind::Person,
        grants: vec![Grant {
            role: roles::ADMIN.to_owned(),
            namespaces: vec![EVERYWHERE.to_owned()],
        }],
        password: Some(password),
        subject: None,
        at: (context.clock)(),
    };
    let beginning = enter::prepare(context, &user.name, Method::Password, Vec::new(), &from)?;
    let claimed = context
        .telling_as(&user, "user", &user.name)
        .claim(&token, &user, &beginning.row)
        .await;
    metrics::login("claim", if claimed.is_ok() { "done" } else { "failed" });
    let claimed = claimed.map_err(about(About::User(&user.name)))?;
    tracing::info!(user = user.name, "there is a first administrator");
    let begun = enter::told(context, &claimed, beginning).await?;
    Ok(ClaimAdministratorResponse {
        token: begun.token,
        session: Some(begun.session),
        identity: Some(begun.identity),
    })
}

//! Creates a user.

use nexus_api::access::v1::{CreateUserRequest, CreateUserResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use tonic::Status;

use crate::caller::Caller;
use crate::error::{About, about, storage};
use crate::identify::powers_of;
use crate::store::{NewUser, UserKind};
use crate::{Context, convert, rules};

pub(crate) async fn create(
    context: &Context,
    caller: &Caller,
    request: CreateUserRequest,
) -> Result<CreateUserResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    rules::user_name("name", &request.name)?;
    rules::text("display_name", &request.display_name)?;
    let kind = kind(request.kind)?;
    let grants = rules::grants(request.grants)?;
    let powers = powers_of(&*context.store, &grants).await.map_err(storage)?;
    caller.require_all_of(&powers, "nobody gives more than they have")?;
    let password = match request.password.as_str() {
        "" => None,
        _ if kind == UserKind::ServiceAccount => {
            return Err(ApiError::field("password", "a service account has none; create an API key for it").into());
        }
        password => {
            rules::password("password", &request.name, password)?;
            Some(context.passwords.hash(password).await.map_err(ApiError::from)?)
        }
    };
    let user = NewUser {
        name: request.name,
        display_name: request.display_name,
        kind,
        grants,
        password,
        subject: None,
        at: (context.clock)(),
    };
    let created = context.telling("user", &user.name).create_user(&user).await;
    let created = created.map_err(about(About::User(&user.name)))?;
    Ok(CreateUserResponse {
        user: Some(convert::user(created, None)),
    })
}

fn kind(number: i32) -> Result<UserKind, ApiError> {
    use nexus_api::access::v1::UserKind as Told;
    match Told::try_from(number) {
        Ok(Told::Unspecified | Told::Person) => Ok(UserKind::Person),
        Ok(Told::ServiceAccount) => Ok(UserKind::ServiceAccount),
        Err(_) => Err(ApiError::field("kind", format!("{number} is no kind of user"))),
    }
}

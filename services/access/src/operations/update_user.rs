//! Changes a user: name for people, roles, whether they are disabled.

use nexus_api::access::v1::{UpdateUserRequest, UpdateUserResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::{changes, check_mask, expected, find_user, require_power_over, shown};
use crate::caller::Caller;
use crate::error::{About, about, storage};
use crate::identify::powers_of;
use crate::store::UserChange;
use crate::{Context, rules};

const FIELDS: &[&str] = &["display_name", "grants", "disabled"];

pub(crate) async fn update(
    context: &Context,
    caller: &Caller,
    request: UpdateUserRequest,
) -> Result<UpdateUserResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    let mask = request.update_mask.as_ref();
    check_mask(mask, FIELDS)?;
    rules::text("display_name", &request.display_name)?;
    let version = expected(&request.etag)?;
    let user = find_user(context, &request.user).await?;
    require_power_over(context, caller, &user).await?;
    let mut change = UserChange {
        at: (context.clock)(),
        ..UserChange::default()
    };
    if changes(mask, "display_name", !request.display_name.is_empty()) {
        change.display_name = Some(request.display_name);
    }
    if changes(mask, "disabled", request.disabled) {
        change.disabled = Some(request.disabled);
    }
    if changes(mask, "grants", !request.grants.is_empty()) {
        let grants = rules::grants(request.grants)?;
        let powers = powers_of(&*context.store, &grants).await.map_err(storage)?;
        caller.require_all_of(&powers, "nobody gives more than they have")?;
        change.grants = Some(grants);
    }
    // What was looked at is what is changed: else somebody could have become more powerful in between.
    let version = Some(version.unwrap_or(user.version));
    let changed = context
        .telling("user", &user.name)
        .update_user(&user.name, version, &change)
        .await;
    let changed = changed.map_err(about(About::User(&user.name)))?;
    Ok(UpdateUserResponse {
        user: Some(shown(context, changed).await?),
    })
}

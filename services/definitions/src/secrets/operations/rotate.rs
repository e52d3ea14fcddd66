//! Wraps with the newest key what others have wrapped.

use nexus_api::definitions::v1::{RotateSecretKeysRequest, RotateSecretKeysResponse, SecretKeyUse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_auth::authorize::missing;
use nexus_auth::caller::EVERYWHERE;
use nexus_service::page;
use tonic::Status;

use super::{Call, Context};
use crate::error::storage;
use crate::secrets::errors::key;
use crate::secrets::keys::KeyError;
use crate::secrets::sealing::SealError;
use crate::store::secrets::{Place, Rewrap};

/// Versions of one call when it does not say, and at most.
const BATCH: u32 = 100;
const MAX_BATCH: i32 = 1_000;

pub(crate) async fn rotate(
    context: &Context,
    call: &Call,
    request: &RotateSecretKeysRequest,
) -> Result<RotateSecretKeysResponse, Status> {
    let limit = match request.batch_size {
        0 => BATCH,
        size @ 1..=MAX_BATCH => size.unsigned_abs(),
        _ => return Err(ApiError::field("batch_size", format!("must be from 0 to {MAX_BATCH}")).into()),
    };
    let all = request.all_namespaces;
    if all && !call.caller.may_everywhere(Permission::SecretsWrite) {
        return Err(missing(&call.caller, Permission::SecretsWrite, EVERYWHERE).into());
    }
    let namespace = (!all).then_some(&call.namespace);
    let newest = context.keys.newest().await.map_err(|error| key(&error))?;
    let query = format!(
        "rotate|{}",
        namespace.map_or(EVERYWHERE, |namespace| namespace.as_str())
    );
    let after = page::key(&query, &request.page_token)?.as_deref().map(place);
    let rows = context
        .store
        .wrapped_otherwise(namespace, &newest, after.as_ref(), limit);
    let rows = rows.await.map_err(storage)?;
    let next_page_token = match rows.last() {
        Some(last) if rows.len() == limit as usize => {
            let about = &last.about;
            page::token(&query, &format!("{}/{}/{}", about.namespace, about.name, about.version))
        }
        _ => String::new(),
    };
    let (mut rewraps, mut failed) = (Vec::with_capacity(rows.len()), 0);
    for found in rows {
        match context.sealer.rewrap(&found).await {
            Ok(wrapped) => rewraps.push(Rewrap { found, wrapped }),
            Err(SealError::Key(error @ (KeyError::None | KeyError::Away(_)))) => return Err(key(&error)),
            Err(error) => {
                tracing::warn!(%error, "a version of a secret keeps its old key");
                failed += 1;
            }
        }
    }
    let rewrapped = match rewraps.is_empty() {
        true => 0,
        false => {
            let telling = context.telling(call, "secret_keys", &newest, "");
            telling.rewrap(&rewraps).await.map_err(storage)?
        }
    };
    let mut keys = Vec::new();
    for (id, versions) in context.store.keys(namespace).await.map_err(storage)? {
        let missing = !context.keys.has(&id).await.map_err(|error| key(&error))?;
        keys.push(SecretKeyUse {
            newest: id == newest,
            key: id,
            versions,
            missing,
        });
    }
    Ok(RotateSecretKeysResponse {
        rewrapped,
        failed,
        next_page_token,
        keys,
    })
}

/// The place that a token names; no namespace and no secret has a slash in its name.
fn place(key: &str) -> Place {
    let mut parts = key.splitn(3, '/').map(str::to_owned);
    let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let version = parts.next().and_then(|number| number.parse().ok());
    (namespace, name, version.unwrap_or_default())
}

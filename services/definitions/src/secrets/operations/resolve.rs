//! Gives values to services, which have seen the lease that they ask for.

use std::collections::BTreeMap;

use nexus_api::definitions::v1::{ResolveSecretsRequest, ResolveSecretsResponse, ResolvedSecret};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_auth::authorize::missing;
use secrecy::ExposeSecret;
use tonic::Status;

use super::{Call, Context, own_name};
use crate::error::storage;
use crate::secrets::errors::{seal, torn};
use crate::secrets::keys::KeyError;
use crate::secrets::metrics::{Outcome, resolved};
use crate::secrets::sealing::SealError;

/// Names of one call at most.
const MAX_NAMES: usize = 100;

pub(crate) async fn resolve(
    context: &Context,
    call: &Call,
    request: ResolveSecretsRequest,
) -> Result<ResolveSecretsResponse, Status> {
    // A worker has the permission too, and gets what its leases need from the service that gave them.
    let service = Permission::ReplicasSpeak;
    if !call.caller.may_everywhere(service) {
        return Err(missing(&call.caller, service, nexus_auth::caller::EVERYWHERE).into());
    }
    if request.names.len() > MAX_NAMES {
        let problem = format!("has {} items, at most {MAX_NAMES} are taken", request.names.len());
        return Err(ApiError::field("names", problem).into());
    }
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in request.names {
        asked.entry(own_name("names", &name)?).or_default().push(name);
    }
    let names: Vec<String> = asked.keys().cloned().collect();
    let found = context.store.find(&call.namespace, &names).await.map_err(storage)?;
    let mut secrets = Vec::with_capacity(names.len());
    for found in found {
        let name = found.name.clone();
        let newest = found.newest().map_err(|error| {
            resolved(Outcome::Damaged);
            torn(&error)
        })?;
        let Some(newest) = newest else {
            resolved(Outcome::Absent);
            continue;
        };
        let value = context.sealer.open(&newest).await.map_err(|error| {
            resolved(match error {
                SealError::Key(KeyError::None | KeyError::Missing(_) | KeyError::Away(_)) => Outcome::KeyMissing,
                _ => Outcome::Damaged,
            });
            seal(&error)
        })?;
        resolved(Outcome::Given);
        let spelled = asked.remove(&name).unwrap_or_default();
        secrets.extend(spelled.into_iter().map(|name| ResolvedSecret {
            name,
            value: value.expose_secret().to_owned(),
            version: newest.about.version,
        }));
    }
    Ok(ResolveSecretsResponse { secrets })
}

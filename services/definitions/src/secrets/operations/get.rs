//! Describes one secret.

use nexus_api::definitions::v1::{GetSecretRequest, GetSecretResponse};
use tonic::Status;

use super::{Call, Context, described, own_name};
use crate::error::storage;
use crate::secrets::errors::not_found;

pub(crate) async fn get(
    context: &Context,
    call: &Call,
    request: &GetSecretRequest,
) -> Result<GetSecretResponse, Status> {
    let name = own_name("secret", &request.secret)?;
    let row = context.store.secret(&call.namespace, &name).await.map_err(storage)?;
    let row = row.ok_or_else(|| not_found(&name))?;
    Ok(GetSecretResponse {
        secret: Some(described(&call.namespace, row)),
    })
}

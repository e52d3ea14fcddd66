//! Deletes a secret with all its versions.

use nexus_api::definitions::v1::{DeleteSecretRequest, DeleteSecretResponse};
use tonic::Status;

use super::{Call, Context, own_name};
use crate::error::storage;
use crate::secrets::errors::not_found;

pub(crate) async fn delete(
    context: &Context,
    call: &Call,
    request: &DeleteSecretRequest,
) -> Result<DeleteSecretResponse, Status> {
    let name = own_name("secret", &request.secret)?;
    let at = (context.clock)();
    let telling = context.telling(call, "secret", &name, "");
    let deleted = telling.delete_secret(&call.namespace, &name, at).await;
    match deleted.map_err(storage)? {
        true => Ok(DeleteSecretResponse {}),
        false => Err(not_found(&name)),
    }
}

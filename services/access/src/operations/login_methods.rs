//! Says how people can log in.

use nexus_api::access::v1::{ListLoginMethodsResponse, LoginMethod};
use tonic::Status;

use crate::Context;
use crate::error::storage;

pub(crate) async fn list(context: &Context) -> Result<ListLoginMethodsResponse, Status> {
    let claimable = context.store.offered_claim().await.map_err(storage)?.is_some();
    let provider = context.provider.as_ref().map(|provider| &provider.settings);
    let provider = provider.filter(|settings| settings.client.is_some());
    let mut methods = vec![LoginMethod::Password.into()];
    methods.extend(provider.map(|_| i32::from(LoginMethod::Oidc)));
    Ok(ListLoginMethodsResponse {
        methods,
        oidc_issuer: provider.map(|provider| provider.issuer.clone()).unwrap_or_default(),
        claimable,
    })
}

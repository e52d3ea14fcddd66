//! Where the values of secrets come from: the definitions service, with each attempt anew, and kept nowhere.

use std::collections::BTreeSet;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_api::definitions::v1::ResolveSecretsRequest;
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_mesh::Transport;
use secrecy::SecretString;

use crate::credentials::Values;

/// Values cannot be had at present.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the secrets cannot be had: {0}")]
pub(crate) struct Away(String);

/// Gives values.
#[async_trait]
pub(crate) trait Secrets: Send + Sync {
    /// The values of some names, in small letters; those that there are.
    async fn values(&self, namespace: &Namespace, names: &BTreeSet<String>) -> Result<Values, Away>;
}

/// Those that NEXUS keeps.
pub(crate) struct Kept(pub(crate) Transport);

#[async_trait]
impl Secrets for Kept {
    async fn values(&self, namespace: &Namespace, names: &BTreeSet<String>) -> Result<Values, Away> {
        if names.is_empty() {
            return Ok(Values::new());
        }
        let request = ResolveSecretsRequest {
            names: names.iter().cloned().collect(),
        };
        let answer = SecretsServiceClient::new(self.0.clone())
            .resolve_secrets(namespace.request(request))
            .await
            .map_err(|status| Away(status.message().to_owned()))?;
        let secrets = answer.into_inner().secrets.into_iter();
        Ok(secrets
            .map(|secret| (secret.name.to_ascii_lowercase(), SecretString::from(secret.value)))
            .collect())
    }
}

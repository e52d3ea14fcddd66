//! Secrets that NEXUS keeps: encrypted by a key of their own for each version, which is wrapped by a key that the database
//! never sees ([`keys`]). What is stored of a version is bound to it ([`sealing`]), so that no row can stand in the place
//! of another.

mod errors;
pub mod file;
pub mod keys;
mod metrics;
mod operations;
pub mod random;
pub mod sealing;
mod service;
#[cfg(test)]
mod suite;

use std::sync::Arc;

use nexus_api::definitions::v1::secrets_service_server::SecretsServiceServer;
use nexus_mesh::Clock;

use nexus_audit::Recorder;

use crate::store::StoreError;
use crate::store::secrets::SecretStore;
use keys::{KeyError, Keys};
use operations::Context;
use random::Random;
use sealing::Sealer;

/// Largest message that is given: a hundred values of 64 KiB.
const MAX_MESSAGE: usize = 8 << 20;

/// The service.
#[derive(Clone)]
pub struct Secrets {
    context: Context,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// It is not known which keys are needed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be asked.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Secrets {
    /// The service over a store and keys.
    #[must_use]
    pub fn new(
        store: Arc<dyn SecretStore>,
        keys: Arc<dyn Keys>,
        random: Random,
        clock: Clock,
        recorder: Recorder,
    ) -> Self {
        Self {
            context: Context {
                store,
                sealer: Sealer::new(Arc::clone(&keys), random),
                keys,
                clock,
                recorder,
            },
        }
    }

    /// The service for callers.
    #[must_use]
    pub fn server(&self) -> SecretsServiceServer<service::Service> {
        SecretsServiceServer::new(service::Service(self.context.clone())).max_encoding_message_size(MAX_MESSAGE)
    }

    /// Says in the log which keys are needed and not there; to be called once at the start.
    ///
    /// # Errors
    /// When the store or the keys cannot be asked.
    pub async fn check_keys(&self) -> Result<(), CheckError> {
        metrics::describe();
        for (key, versions) in self.context.store.keys(None).await? {
            if !self.context.keys.has(&key).await? {
                tracing::error!(
                    key,
                    versions,
                    "versions of secrets are wrapped with a key that this process does not have: put it back \
                     (secrets.key_file, secrets.keys); what it has wrapped cannot be used"
                );
            }
        }
        Ok(())
    }
}

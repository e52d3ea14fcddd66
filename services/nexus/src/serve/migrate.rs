//! `nexus migrate`: brings the database of every service to the version that this program needs.

use crate::config::{ConfigError, Effective, missing};

/// The database cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The program was built without it.
    #[error("migrating a database is not available in this build")]
    NotAvailable,
}

/// Migrates; gives a line for each thing that was done.
#[expect(clippy::unused_async, reason = "a database is waited for")]
pub(crate) async fn run(effective: &Effective) -> Result<Vec<String>, MigrateError> {
    let Some(_url) = &effective.config.database.url else {
        return Err(missing("database.url", "it names what is to be migrated").into());
    };
    Err(MigrateError::NotAvailable)
}

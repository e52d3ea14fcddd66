//! `nexus migrate`: brings the database of every service to the version that this program needs.

use crate::config::{ConfigError, Effective, missing};
use crate::roles::{ALL, database_options};

/// The database cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A schema cannot be brought up to date.
    #[error("the schema {schema} cannot be migrated: {problem}")]
    Schema { schema: &'static str, problem: String },
}

/// Migrates; gives a line for each thing that was done.
pub(crate) async fn run(effective: &Effective) -> Result<Vec<String>, MigrateError> {
    let Some(url) = &effective.config.database.url else {
        return Err(missing("database.url", "it names what is to be migrated").into());
    };
    let mut done = Vec::new();
    for schema in ALL.iter().filter_map(|entry| entry.schema.as_ref()) {
        let options = database_options(&effective.config, "migrate");
        let migrated = (schema.migrate)(url.expose().to_owned(), options).await;
        migrated.map_err(|problem| MigrateError::Schema {
            schema: schema.name,
            problem,
        })?;
        done.push(format!("the schema {} is what this version needs", schema.name));
    }
    Ok(done)
}

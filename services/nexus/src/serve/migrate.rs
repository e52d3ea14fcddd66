//! `nexus migrate`: brings the database of every service to the version that this program needs.

use crate::config::{ConfigError, Effective, missing};

use super::frame::database_options;

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
    let options = || database_options(&effective.config, "migrate");
    let failed = |schema: &'static str| {
        move |error: &dyn std::fmt::Display| MigrateError::Schema {
            schema,
            problem: error.to_string(),
        }
    };
    let definitions = nexus_definitions::store::postgres::PostgresStore::connect(url.expose(), options()).await;
    let definitions = definitions.map_err(|error| failed("definitions")(&error))?;
    definitions
        .migrate()
        .await
        .map_err(|error| failed("definitions")(&error))?;
    definitions.close().await;
    let execution = nexus_execution::store::postgres::PostgresStore::connect(url.expose(), options()).await;
    let execution = execution.map_err(|error| failed("execution")(&error))?;
    execution.migrate().await.map_err(|error| failed("execution")(&error))?;
    execution.close().await;
    let line = |schema: &str| format!("the schema {schema} is what this version needs");
    Ok(vec![line("definitions"), line("execution")])
}

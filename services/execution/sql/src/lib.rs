//! The adapters of the execution service's storage port: SQL stands here and nowhere else in the service. What they must
//! do alike is in the `suite`, which runs over both and over the model.

#[cfg(test)]
mod differential;
mod postgres;
mod sqlite;
#[cfg(test)]
mod suite;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

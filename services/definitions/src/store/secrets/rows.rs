//! Rows of secrets as the port's words have them. Both databases have the same columns, so both adapters read them by this.

use nexus_api::Namespace;

use crate::store::StoreError;

pub(in crate::store) fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

pub(in crate::store) fn number(column: &str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Inconsistent(format!("{column} of a secret is {number}")))
}

pub(in crate::store) fn namespace(name: &str) -> Result<Namespace, StoreError> {
    let wrong = |_| StoreError::Inconsistent(format!("a secret belongs to {name:?}, which is no namespace"));
    name.parse().map_err(wrong)
}

/// Versions with the columns of their secrets that they are bound to.
macro_rules! sealed_where {
    ($rest:literal) => {
        concat!(
            "SELECT v.*, s.created_at AS first_at, s.created_by AS first_by
             FROM secret_versions v JOIN secrets s ON s.namespace = v.namespace AND s.name = v.name WHERE ",
            $rest
        )
    };
}

/// Secrets as they are described.
macro_rules! described_where {
    ($rest:literal) => {
        concat!(
            "SELECT s.name, s.version, s.created_at, s.created_by, v.description, v.created_at AS updated_at,
                 v.created_by AS updated_by,
                 (SELECT count(*) FROM secret_versions k WHERE k.namespace = s.namespace AND k.name = s.name) AS kept
             FROM secrets s
             JOIN secret_versions v ON v.namespace = s.namespace AND v.name = s.name AND v.version = s.version
             WHERE s.deleted_at IS NULL AND ",
            $rest
        )
    };
}

/// The functions that read a database's rows.
macro_rules! readers {
    ($row:ty) => {
        use sqlx::Row as _;

        use crate::store::StoreError;
        use crate::store::secrets::rows::{self, database};
        use crate::store::secrets::{About, Candidate, Found, Head, Sealed, SecretRow, Wrapped};

        fn head(row: &$row) -> Result<Head, StoreError> {
            let version = row.try_get("head").map_err(database)?;
            let deleted: Option<i64> = row.try_get("deleted_at").map_err(database)?;
            Ok(Head {
                version: rows::number("version", version)?,
                created_at: row.try_get("first_at").map_err(database)?,
                created_by: row.try_get("first_by").map_err(database)?,
                deleted: deleted.is_some(),
            })
        }

        fn described(row: &$row) -> Result<SecretRow, StoreError> {
            let version = row.try_get("version").map_err(database)?;
            let kept = row.try_get("kept").map_err(database)?;
            Ok(SecretRow {
                name: row.try_get("name").map_err(database)?,
                description: row.try_get("description").map_err(database)?,
                version: rows::number("version", version)?,
                created_at: row.try_get("created_at").map_err(database)?,
                created_by: row.try_get("created_by").map_err(database)?,
                updated_at: row.try_get("updated_at").map_err(database)?,
                updated_by: row.try_get("updated_by").map_err(database)?,
                kept: rows::number("kept", kept)?,
            })
        }

        fn sealed(row: &$row) -> Result<Sealed, StoreError> {
            let namespace: String = row.try_get("namespace").map_err(database)?;
            let version = row.try_get("version").map_err(database)?;
            let about = About {
                namespace: rows::namespace(&namespace)?,
                name: row.try_get("name").map_err(database)?,
                version: rows::number("version", version)?,
                description: row.try_get("description").map_err(database)?,
                created_at: row.try_get("created_at").map_err(database)?,
                created_by: row.try_get("created_by").map_err(database)?,
                request: row.try_get("request").map_err(database)?,
                first_at: row.try_get("first_at").map_err(database)?,
                first_by: row.try_get("first_by").map_err(database)?,
            };
            let wrapped = Wrapped {
                key: row.try_get("key_id").map_err(database)?,
                bytes: row.try_get("wrapped").map_err(database)?,
            };
            Ok(Sealed {
                about,
                wrapped,
                sealed: row.try_get("sealed").map_err(database)?,
            })
        }

        fn found(row: &$row) -> Result<Found, StoreError> {
            let known: Option<i64> = row.try_get("head").map_err(database)?;
            let highest: Option<i64> = row.try_get("highest").map_err(database)?;
            let key: Option<String> = row.try_get("key_id").map_err(database)?;
            Ok(Found {
                name: row.try_get("wanted").map_err(database)?,
                head: known.is_some().then(|| head(row)).transpose()?,
                highest: highest
                    .map(|highest| rows::number("version", highest))
                    .transpose()?,
                version: key.is_some().then(|| sealed(row)).transpose()?,
            })
        }

        fn candidate(row: &$row) -> Result<Candidate, StoreError> {
            let revision = row.try_get("number").map_err(database)?;
            Ok(Candidate {
                workflow: row.try_get("workflow").map_err(database)?,
                revision: rows::number("revision", revision)?,
                document: row.try_get("document").map_err(database)?,
            })
        }

        fn key(row: &$row) -> Result<(String, u64), StoreError> {
            let versions: i64 = row.try_get("versions").map_err(database)?;
            Ok((row.try_get("key_id").map_err(database)?, versions.unsigned_abs()))
        }
    };
}

pub(in crate::store) use {described_where, readers, sealed_where};

//! What can go wrong in a store, told apart by what a caller can do about it.

use sqlx::error::ErrorKind;

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another writer held the database for too long, or the statement lost a race. The call may be repeated.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// A row with the same key is there already.
    #[error("a row with the same key exists ({constraint})")]
    UniqueViolation {
        /// What the database says about the key.
        constraint: String,
    },
    /// A row refers to one that does not exist, or holds what its table forbids.
    #[error("the row breaks a rule of its table ({constraint})")]
    Constraint {
        /// What the database says about the rule.
        constraint: String,
    },
    /// What was read is damaged, or is not what this version writes.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The disk is full.
    #[error("the disk is full")]
    Full(#[source] sqlx::Error),
    /// The database may only be read.
    #[error("the database is read-only")]
    ReadOnly(#[source] sqlx::Error),
    /// The database did not answer in time or at all. The call may be repeated.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error(transparent)]
    Migration(#[from] crate::migrate::MigrationError),
    /// The database's directory cannot be made.
    #[error("cannot make the directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else: a bug in a statement.
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
}

/// Errors after which the same call may succeed.
pub trait Transient {
    /// True when the call may be repeated as it is.
    fn is_transient(&self) -> bool;
}

impl Transient for StorageError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unavailable(_))
    }
}

impl StorageError {
    /// What was read is not what this version writes.
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// True when a row with the same key exists.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::UniqueViolation { .. })
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.kind() {
                ErrorKind::UniqueViolation => Self::UniqueViolation {
                    constraint: database.message().to_owned(),
                },
                ErrorKind::ForeignKeyViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation => {
                    Self::Constraint {
                        constraint: database.message().to_owned(),
                    }
                }
                _ => {
                    let code = database.code().and_then(|code| code.parse::<u32>().ok());
                    let message = database.message().to_owned();
                    from_sqlite_code(code, message, error)
                }
            },
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error)
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            _ => Self::Statement(error),
        }
    }
}

/// SQLite's result codes; the low byte is the primary one (<https://sqlite.org/rescode.html>).
fn from_sqlite_code(code: Option<u32>, message: String, error: sqlx::Error) -> StorageError {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    const NOTADB: u32 = 26;
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED) => StorageError::Busy(error),
        Some(READONLY) => StorageError::ReadOnly(error),
        Some(CORRUPT | NOTADB) => StorageError::Corrupt(message),
        Some(FULL) => StorageError::Full(error),
        Some(IOERR | CANTOPEN) => StorageError::Unavailable(error),
        _ => StorageError::Statement(error),
    }
}

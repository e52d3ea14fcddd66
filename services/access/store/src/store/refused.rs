//! Why a store did not do what it was asked.

/// A write that was not done, and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not there.
    #[error("it is not there")]
    Absent,
    /// Another one has the name.
    #[error("the name is taken")]
    Exists,
    /// It has another version.
    #[error("it was changed meanwhile")]
    Changed,
    /// A grant names a role that is not there.
    #[error("there is no role {0}")]
    UnknownRole(String),
    /// Somebody has the role.
    #[error("the role is in use")]
    InUse,
    /// There would be no administrator any more.
    #[error("there would be no administrator")]
    LastAdministrator,
    /// There are as many as there may be.
    #[error("there are {0} of them, as many as there may be")]
    Full(i64),
    /// The token of the first administrator is another, or was used.
    #[error("the token is not the one")]
    WrongToken,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store holds something that no version of NEXUS wrote.
    #[error("the store is inconsistent: {0}")]
    Inconsistent(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexus_storage::Error),
}

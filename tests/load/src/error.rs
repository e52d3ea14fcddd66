//! Why a workload gave no figure.

use std::io;

/// Why a workload gave no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The server says no to what was asked, for instance to a graph above its limits.
    #[error("{0}")]
    Refused(String),
    /// A call went wrong.
    #[error("a call failed: {} ({:?})", .0.message(), .0.code())]
    Call(tonic::Status),
    /// The operating system said no.
    #[error(transparent)]
    System(#[from] io::Error),
    /// A database said no.
    #[error("the database: {0}")]
    Database(String),
    /// Servers or the mesh cannot be had.
    #[error(transparent)]
    Mesh(#[from] nexus_fleet::Error),
    /// Something is not as it must be for a figure to mean anything.
    #[error("{0}")]
    Broken(String),
}

impl From<tonic::Status> for BenchError {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code::{FailedPrecondition, InvalidArgument, OutOfRange, ResourceExhausted};
        match status.code() {
            InvalidArgument | OutOfRange | FailedPrecondition | ResourceExhausted => {
                Self::Refused(status.message().to_owned())
            }
            _ => Self::Call(status),
        }
    }
}

impl From<sqlx::Error> for BenchError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<nexus_storage::Error> for BenchError {
    fn from(error: nexus_storage::Error) -> Self {
        Self::Database(error.report())
    }
}

impl From<nexus_servers::Error> for BenchError {
    fn from(error: nexus_servers::Error) -> Self {
        Self::Mesh(error.into())
    }
}

/// Something is not as it must be.
pub(crate) fn broken(what: impl Into<String>) -> BenchError {
    BenchError::Broken(what.into())
}

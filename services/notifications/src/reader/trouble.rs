//! Why reading stops for a moment.

use tonic::Status;

use crate::store::StoreError;

/// Why reading stops for a moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", .0.message())]
    Call(#[from] Status),
}

//! Rows as the port's words have them.

use nexus_api::notifications::v1::{Notice, delivery};
use prost::Message;

use crate::store::StoreError;

pub(in crate::store) fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

/// A text that both databases store. None with a NUL is there, so none such can be found.
pub(in crate::store) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// A small number that is stored as a large one.
pub(in crate::store) fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Inconsistent(format!("{number} is out of range")))
}

/// A position as databases count.
pub(in crate::store) fn large(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The message of the contract that is stored.
pub(in crate::store) fn decode<M: Message + Default>(content: &[u8]) -> Result<M, StoreError> {
    M::decode(content).map_err(|error| StoreError::Inconsistent(format!("a stored message: {error}")))
}

pub(in crate::store) fn notice(content: &[u8]) -> Result<Notice, StoreError> {
    decode(content)
}

pub(in crate::store) fn state(number: i64) -> Result<delivery::State, StoreError> {
    let known = i32::try_from(number)
        .ok()
        .and_then(|number| delivery::State::try_from(number).ok());
    known.ok_or_else(|| StoreError::Inconsistent(format!("a delivery in state {number}")))
}

pub(in crate::store) fn suppression(number: i64) -> Result<delivery::Suppression, StoreError> {
    let known = i32::try_from(number)
        .ok()
        .and_then(|number| delivery::Suppression::try_from(number).ok());
    known.ok_or_else(|| StoreError::Inconsistent(format!("a delivery is suppressed by {number}")))
}

pub(in crate::store) fn durations(text: &str) -> Result<Vec<i64>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Inconsistent(format!("a workflow's durations: {error}")))
}

//! The SQL of both adapters: the statements are the same, the drivers' types are not, so each adapter has them by macros.
//! What falls due is judged by the database's own clock, which each statement is given.

mod objects;
mod progress;
mod queue;

use nexus_api::notifications::v1::{Notice, delivery};
use prost::Message;

use super::StoreError;

pub(super) use objects::objects;
pub(super) use progress::progress;
pub(super) use queue::queue;

pub(super) fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

/// A text that both databases store. None with a NUL is there, so none such can be found.
pub(super) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// A small number that is stored as a large one.
pub(super) fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Inconsistent(format!("{number} is out of range")))
}

/// A position as databases count.
pub(super) fn large(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The message of the contract that is stored.
pub(super) fn decode<M: Message + Default>(content: &[u8]) -> Result<M, StoreError> {
    M::decode(content).map_err(|error| StoreError::Inconsistent(format!("a stored message: {error}")))
}

pub(super) fn notice(content: &[u8]) -> Result<Notice, StoreError> {
    decode(content)
}

pub(super) fn state(number: i64) -> Result<delivery::State, StoreError> {
    let known = i32::try_from(number)
        .ok()
        .and_then(|number| delivery::State::try_from(number).ok());
    known.ok_or_else(|| StoreError::Inconsistent(format!("a delivery in state {number}")))
}

pub(super) fn suppression(number: i64) -> Result<delivery::Suppression, StoreError> {
    let known = i32::try_from(number)
        .ok()
        .and_then(|number| delivery::Suppression::try_from(number).ok());
    known.ok_or_else(|| StoreError::Inconsistent(format!("a delivery is suppressed by {number}")))
}

pub(super) fn durations(text: &str) -> Result<Vec<i64>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Inconsistent(format!("a workflow's durations: {error}")))
}

/// An adapter: its store, and what differs between databases.
macro_rules! adapter {
    (
        store: $store:ident,
        connection: $connection:ty,
        row: $row:ty,
        driver: $driver:ty,
        clock: $clock:literal,
        lock: $lock:literal,
        skip: $skip:literal $(,)?
    ) => {
        impl $store {
            /// The database's clock, in microseconds since 1970.
            async fn clock(connection: &mut $connection) -> Result<i64, crate::store::StoreError> {
                let row = sqlx::query($clock)
                    .fetch_one(connection)
                    .await
                    .map_err($crate::store::sql::database)?;
                sqlx::Row::try_get(&row, 0).map_err($crate::store::sql::database)
            }
        }

        $crate::store::sql::objects!($store, $row, $driver, $lock);
        $crate::store::sql::progress!($store, $connection, $row, $driver, $lock);
        $crate::store::sql::queue!($store, $row, $driver, $skip);
    };
}
pub(super) use adapter;

//! The SQL of both adapters: the statements are the same, the drivers' types are not, so each adapter has them by macros.
//! What falls due is judged by the database's own clock, which each statement is given.

mod objects;
mod progress;
mod queue;
pub(super) mod read;

pub(super) use objects::objects;
pub(super) use progress::progress;
pub(super) use queue::queue;

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
                    .map_err($crate::store::sql::read::database)?;
                sqlx::Row::try_get(&row, 0).map_err($crate::store::sql::read::database)
            }
        }

        $crate::store::sql::objects!($store, $row, $driver, $lock);
        $crate::store::sql::progress!($store, $connection, $row, $driver, $lock);
        $crate::store::sql::queue!($store, $row, $driver, $skip);
    };
}
pub(super) use adapter;

//! What every storage adapter shares: SQLite pools ([`sqlite`]), migrations ([`migrate`]), the lock of the data
//! directory ([`lock`]), errors ([`error`]), retries ([`retry`]), clocks ([`clock`]), ids ([`id`]), page tokens
//! ([`page`]) and list filters ([`filter`]).
//!
//! Nothing here knows a service's tables; each service keeps its own SQL in its own folder.

pub mod clock;
pub mod error;
pub mod filter;
pub mod id;
pub mod lock;
pub mod migrate;
pub mod page;
pub mod retry;
pub mod sqlite;

pub use clock::Clock;
pub use error::StorageError;
pub use filter::Filter;
pub use lock::DataLock;
pub use migrate::Migration;
pub use sqlite::Database;

//! What every storage adapter stands on: databases with migrations, errors in one vocabulary, and the lock that keeps a
//! second process off the same files.

mod error;
pub mod filter;
pub mod lock;
mod migration;
pub mod outbox;
pub mod page;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod retry;
pub mod sqlite;

pub use error::{Error, ErrorKind};
pub use migration::Migration;

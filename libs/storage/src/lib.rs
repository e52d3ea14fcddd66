//! What every storage adapter stands on: databases with migrations, errors in one vocabulary, and the lock that keeps a
//! second process off the same files.

mod error;
pub mod filter;
pub mod lock;
pub mod page;
pub mod sqlite;

pub use error::{Error, ErrorKind};

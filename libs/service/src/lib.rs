//! The frame that every service stands in. A process is a list of [`Role`]s behind one port ([`process`]); a role is
//! started from its configuration, waits for what is not there yet ([`startup`]), watches what it depends on
//! ([`dependency`]) and ends in order. What its operations repeat is here too: pages ([`page`]), idempotency keys
//! ([`idempotency`]), storage errors as statuses ([`error`]), and the tests that every storage adapter must pass
//! ([`conformance!`]).

mod conformance;
pub mod dependency;
pub mod error;
pub mod idempotency;
pub mod page;
pub mod process;
mod role;
pub mod startup;

pub use nexus_supervise::Background;
pub use process::{Broken, Process};
pub use role::Role;

//! The audit log: what an entry says ([`entry`]), its canonical form ([`canonical`]), how entries are chained ([`chain`]) and
//! how they travel ([`message`]); how a service makes one of a call ([`origin`]), what becomes of refused calls ([`denials`]),
//! and the way from a service's outbox to the log ([`ship`]).
//!
//! Invariants:
//! - No payload and no secret is in an entry: it is made of names, ids and addresses only.
//! - An entry of a change is stored with the change or not at all.
//! - Nothing here holds up or fails a call.

pub mod canonical;
pub mod chain;
pub mod denials;
pub mod entry;
pub mod message;
pub mod origin;
pub mod ship;

pub use entry::{Actor, Entry, Object, Outcome};
pub use origin::{Origin, Recorder};

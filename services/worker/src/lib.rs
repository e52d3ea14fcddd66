//! Leases tasks over `nexus.worker.v1` and runs them with `nexus-tasks`.
//!
//! The worker owns nothing: it knows one address, keeps what it runs in memory, and gives back what it cannot finish. It
//! runs no more tasks than it has slots, reports each attempt only after its log, and stops an attempt whose lease it
//! can no longer be sure of.

mod attempt;
mod backoff;
mod convert;
mod link;
pub mod metrics;
mod options;
mod pool;
mod secrets;
mod session;
mod shipper;
mod slots;
mod standing;
mod state;
mod vault;
mod window;
mod worker;

pub use options::Options;
pub use worker::Worker;

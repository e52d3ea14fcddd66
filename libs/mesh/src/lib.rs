//! The frame that every service of NEXUS stands in: how it is reached ([`transport`]), how it is served
//! ([`server`]), who is let in ([`gate`]), with which certificates ([`tls`]), how it says that it is ready ([`health`]), how long a call may take
//! ([`deadline`]) and how a trace travels with it ([`trace`]).
//!
//! A generated client runs over a [`Transport`], which is either a network channel or the other service's routes in
//! the same process: near and far are the same code.

mod answers;
mod balance;
pub mod clock;
pub mod deadline;
mod dial;
pub mod front;
pub mod gate;
pub mod health;
mod incoming;
mod measure;
mod methods;
mod retry;
pub mod server;
mod shed;
pub mod tls;
pub mod trace;
pub mod transport;

pub use measure::describe as describe_metrics;

pub use clock::{Clock, steady_clock, system_clock};
pub use transport::Transport;

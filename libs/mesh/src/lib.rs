//! The frame that every service of NEXUS stands in: how it is reached ([`transport`]), how it is served
//! ([`server`]), how long a call may take ([`deadline`]) and how a trace travels with it ([`trace`]). And where tests let it die
//! ([`failpoint`]).
//!
//! A generated client runs over a [`Transport`], which is either a network channel or the other service's routes in
//! the same process: near and far are the same code.

pub mod clock;
pub mod deadline;
pub mod failpoint;
pub mod server;
pub mod trace;
pub mod transport;

pub use clock::{Clock, steady_clock, system_clock};
pub use transport::Transport;

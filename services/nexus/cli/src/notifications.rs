//! `nexus channels`, `nexus rules` and `nexus deliveries`: who is told of what, and what became of it.

mod channels;
mod client;
mod deliveries;
mod form;
mod rules;

pub(super) use channels::run as channels;
pub(super) use deliveries::run as deliveries;
pub(super) use rules::run as rules;

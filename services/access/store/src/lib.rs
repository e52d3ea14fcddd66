//! What the access service keeps: the storage port with its two adapters ([`store`]), and what both the port and the service
//! speak of: tokens and what is kept of them ([`tokens`]), roles ([`roles`]), what they allow ([`powers`]), and how often a
//! password may be wrong ([`lockout`]).

pub mod lockout;
pub mod powers;
pub mod roles;
pub mod store;
pub mod tokens;

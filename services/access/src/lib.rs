//! The access service.

pub mod lockout;
pub mod powers;
pub mod roles;
pub mod store;
pub mod tokens;

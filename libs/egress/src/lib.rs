//! Requests to addresses that somebody named: which may be reached ([`Allowed`], [`is_public`]), how a name becomes addresses
//! that were looked at ([`Resolver`]), and the one HTTP client that connects to those and nothing else ([`client`]).

mod allowed;
mod client;
mod public;
mod resolver;
mod trouble;

pub use allowed::{Allowed, NotAllowed};
pub use client::{ClientError, client};
pub use public::is_public;
pub use resolver::{Lookup, Refused, Resolver};
pub use trouble::{chain, is_tls};

//! The OpenID provider of an organisation, where there is one: how it is set up ([`settings`]), what it says of itself and
//! its keys (`provider.rs`, `freshness.rs`), what a token of it proves (`verify.rs`), and how a person comes back from it
//! with a code (`exchange.rs`).

mod exchange;
mod freshness;
mod http;
mod provider;
pub mod settings;
mod verify;

pub(crate) use exchange::{Ticket, address_of, redeem};
pub(crate) use provider::{Provider, ProviderError};
pub(crate) use verify::Claims;

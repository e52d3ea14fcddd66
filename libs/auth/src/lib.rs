//! The door of every service. A credential is what a call shows as `authorization: Bearer …`; [`Guard`] finds out whose it
//! is ([`verify`]), whether they may do what the method's contract asks for ([`authorize`]), and lets the call in with its
//! [`Caller`] and how it came ([`arrival`]) or not, as often as it may ([`rates`]). What a process shows when it calls others is in [`outgoing`]; the tokens by which processes of one
//! NEXUS know each other are in [`service_key`].

pub mod arrival;
pub mod authorize;
pub mod caller;
mod credential;
pub mod guard;
pub mod outgoing;
pub mod rates;
pub mod service_key;
pub mod verify;

pub use arrival::{Arrival, Denial, Witness};
pub use caller::Caller;
pub use guard::{Guard, describe as describe_metrics};
pub use service_key::ServiceKey;

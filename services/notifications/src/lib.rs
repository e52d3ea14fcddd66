//! The notifications service: says who is told of what, and sees to it that they are.

mod credentials;
mod events;
mod facts;
mod message;
mod quiet;
mod retry;
mod rules;
mod send;
pub mod store;
mod texts;

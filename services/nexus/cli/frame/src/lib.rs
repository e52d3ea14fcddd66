//! What every command of the client stands on: what can be typed with each ([`Global`]), what holds for it ([`settings`]), whom it
//! is about ([`Target`]), how it prints ([`Output`]) and how it ends ([`Exit`], [`CliError`]).

mod args;
mod error;
mod exit;
pub mod files;
pub mod namespace;
pub mod output;
pub mod settings;
mod standing;
pub mod table;
mod target;
pub mod time;

pub use args::{Format, Global, Page, secret};
pub use error::CliError;
pub use exit::Exit;
pub use output::Output;
pub use standing::{MAX_RECONNECTS, Standing, is_away, pause};
pub use target::Target;

//! The workflow file: reading it ([`parse()`]), its form as data ([`model`]), expressions ([`expr`]), parameters
//! ([`params`]) and everything that is said about it ([`diagnostic`]).
//!
//! This crate is pure: no clock, no randomness, no I/O.

mod codes;
pub mod diagnostic;
pub mod diff;
pub mod document;
pub mod duration;
pub mod expr;
pub mod import;
pub mod input;
mod kinds;
pub mod model;
pub mod params;
pub mod parse;
pub mod schema;
pub mod size;
mod source;
pub mod sql;
mod suggest;
pub mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use duration::Span;
pub use input::{Effective, InputTemplate};
pub use kinds::{Kind, KindName};
pub use model::{Task, Workflow};
pub use params::{ParamError, validate_params};
pub use parse::{MAX_BYTES, ParseOutcome, parse};
pub use suggest::nearest;
pub use yaml::to_yaml;

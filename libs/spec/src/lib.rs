//! The workflow file: reading it ([`parse()`]), its form as data ([`model`]), expressions (`nexus-expr`), parameters
//! ([`params`]) and everything that is said about it ([`diagnostic`]).
//!
//! This crate is pure: no clock, no randomness, no I/O.

mod codes;
pub mod diagnostic;
pub mod diff;
pub mod document;
mod findings;
pub mod import;
pub mod input;
mod kinds;
pub mod model;
mod names;
pub mod params;
pub mod parse;
mod place;
pub mod schema;
pub mod size;
mod source;
pub mod sql;
pub mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use input::{Effective, InputTemplate};
pub use kinds::{Kind, KindName};
pub use model::{Task, Workflow};
pub use nexus_duration::{self as duration, Span};
pub use nexus_expr::nearest;
pub use params::{ParamError, validate_params};
pub use parse::{MAX_BYTES, ParseOutcome, parse};
pub use yaml::to_yaml;

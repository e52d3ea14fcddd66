//! The workflow file: its form as data ([`model`]), spans of time ([`duration`]) and expressions ([`expr`]).
//!
//! This crate is pure: no clock, no randomness, no I/O.

pub mod document;
pub mod duration;
pub mod expr;
pub mod input;
pub mod model;
mod suggest;

pub use duration::Span;
pub use input::{Effective, InputTemplate};
pub use model::{Kind, Task, Workflow};

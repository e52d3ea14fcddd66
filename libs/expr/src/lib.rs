//! Expressions: `{{ … }}` in values and bare ones in `if`.
//!
//! - A string that is wholly one `{{ expr }}` (blanks around it aside) keeps the value's JSON type; integers stay exact.
//! - Other text renders a string: strings as they are, everything else as compact JSON.
//! - Roots: `params`, `tasks.<id>.{output,state,error}`, `execution.id`, `workflow.{name,revision}`,
//!   `secrets.<name>`.
//! - What is undefined is an error that names the path; `| default(…)` opts out and replaces `null` too.
//! - A secret stands alone (`{{ secrets.name }}`) and renders a placeholder that only the worker can fill.
//! - What an expression yields is data: it is never read as a template again.
//!
//! Texts and conditions over other facts, as messages need them, are [`text`].
//!
//! Compile once, render often: [`Template`] and [`Condition`] are cheap to clone and may be shared between threads.

mod condition;
mod convert;
mod environment;
mod error;
mod nearest;
mod references;
mod scan;
mod scope;
mod template;
pub mod text;
mod words;

pub use condition::Condition;
pub use error::ExprError;
pub use nearest::nearest;
pub use references::References;
pub use scope::{Scope, TaskView};
pub use template::{Rendered, SecretUse, Template};
pub use words::{FILTERS, FUNCTIONS, TESTS};

/// Longest expression, in bytes of its source.
pub const MAX_SOURCE: usize = 4 * 1024;
/// Largest rendered value, in bytes of JSON text (about).
pub const MAX_OUTPUT: usize = 1024 * 1024;
/// Deepest nesting of a value that is compiled or rendered.
pub const MAX_DEPTH: usize = 120;
/// How much work one evaluation may be: every instruction and every 64 bytes of data cost one.
pub const FUEL: u64 = 50_000;

#[cfg(test)]
mod tests;

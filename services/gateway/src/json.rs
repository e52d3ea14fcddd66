//! Messages as JSON: names as the contracts write them, every field there, payloads as the JSON that they are. [`write()`]
//! shows a message, [`read`] takes one. Pure.

mod read;
mod scalar;
mod write;

pub use read::{Mistake, Place, read, read_field};
pub use scalar::{Unfit, of_text};
pub use write::{write, write_value};

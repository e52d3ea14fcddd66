//! What must hold for any input: one function per target, which panics when it does not.
//!
//! The same functions are run over the corpus and over mutated inputs by `tests/short.rs`, and under libFuzzer by
//! `make fuzz` (`libfuzzer/`). An input that once broke one of them stays in `corpus/`.

mod decoder;
mod durations;
mod expressions;
pub mod mutate;
mod parser;
mod redactor;
mod transcoder;

pub use decoder::decoder;
pub use durations::durations;
pub use expressions::expressions;
pub use parser::parser;
pub use redactor::redactor;
pub use transcoder::transcoder;

/// A target: its name, which is also its folder in the corpus, what it checks, and words that its inputs are made of.
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Words of the input's language.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "parser",
        run: parser,
        words: parser::WORDS,
    },
    Target {
        name: "expressions",
        run: expressions,
        words: expressions::WORDS,
    },
    Target {
        name: "durations",
        run: durations,
        words: durations::WORDS,
    },
    Target {
        name: "redactor",
        run: redactor,
        words: redactor::WORDS,
    },
    Target {
        name: "decoder",
        run: decoder,
        words: decoder::WORDS,
    },
    Target {
        name: "transcoder",
        run: transcoder,
        words: transcoder::WORDS,
    },
];

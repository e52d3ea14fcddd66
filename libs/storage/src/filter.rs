//! List filters, a subset of AIP-160: `state = "FAILED" AND labels.team = "data" AND create_time > "2026-11-01T00:00:00Z"`.
//!
//! A filter is terms joined by AND. The caller says which fields there are and of what kind; the result is plain data
//! that an adapter turns into bound SQL.

mod lexer;
mod parser;

pub use parser::parse;

/// Longest filter, in bytes.
pub const MAX_LENGTH: usize = 2 * 1024;
/// Most terms in a filter.
pub const MAX_TERMS: usize = 20;

/// A field that a list can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as the contract spells it.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a field holds, and so which comparisons it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text: `=`, `!=` and `:` (contains).
    Text,
    /// One of these words: `=` and `!=`.
    Enum(&'static [&'static str]),
    /// A whole number: every comparison but `:`.
    Integer,
    /// True or false: `=` and `!=`.
    Bool,
    /// A point in time in RFC 3339: every comparison but `:` and `!=`.
    Time,
    /// Text by key (`labels.team`): `=`, `!=` and `:` (contains).
    Map,
}

/// A filter: every term must hold. Without terms everything does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The terms, in the order of the text.
    pub terms: Vec<Term>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field's name as the caller declared it.
    pub field: &'static str,
    /// The key, for a field that is a map.
    pub key: Option<String>,
    /// The comparison.
    pub op: Op,
    /// What the field is compared with.
    pub value: Operand,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `:`, contains, without regard to case.
    Has,
}

impl Op {
    /// The comparison in SQL; `like` for [`Op::Has`], whose operand goes through [`like_pattern`].
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => "like",
        }
    }

    /// The comparison as the filter spells it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// Text, or a word of an enum.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// Microseconds since the Unix epoch.
    Time(i64),
}

/// Why a filter cannot be read. Its Display says what and where (characters from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {position})")]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// Where, in characters from 1.
    pub position: usize,
}

/// The pattern of a `like … escape '\'` that finds a text anywhere.
#[must_use]
pub fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

//! What can be wrong with an expression, when it is compiled and when it is evaluated.

use std::fmt;

/// An expression that cannot be compiled or evaluated. Its Display is a sentence that says what and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// How to mend it, when there is advice.
    pub fix: Option<String>,
    /// JSON pointer from the compiled value to the string with the expression; empty for the value itself.
    pub path: String,
    /// Where in that string the fault is, in characters from 0, where known.
    pub offset: Option<usize>,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            fix: None,
            path: String::new(),
            offset: None,
        }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Moves the place by so many characters: an expression inside a string, a string inside a block.
    pub(crate) fn shifted(mut self, by: usize) -> Self {
        self.offset = Some(self.offset.unwrap_or_default() + by);
        self
    }

    /// Puts a key or an index before the path.
    pub(crate) fn within(mut self, segment: &str) -> Self {
        self.path = format!("/{}{}", segment.replace('~', "~0").replace('/', "~1"), self.path);
        self
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(fix) = &self.fix {
            write!(f, "; {fix}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ExprError {}

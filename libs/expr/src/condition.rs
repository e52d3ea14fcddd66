//! Bare expressions that are true or false: `if`.

use std::sync::Arc;

use super::environment::{Compiled, abbreviate};
use super::error::ExprError;
use super::references::{Need, References};
use super::scope::Scope;
use super::template::evaluation_error;

/// A compiled bare expression. Clones share the compiled form.
#[derive(Clone)]
pub struct Condition(Arc<Inner>);

struct Inner {
    compiled: Compiled,
    references: References,
    need: Need,
}

impl Condition {
    /// Compiles a bare expression, such as `tasks.clean.output.count > 0`.
    ///
    /// # Errors
    /// When it is wrapped in braces, cannot be read, is too long, or refers to something that does not exist in any
    /// scope (or to a secret).
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let trimmed = source.trim();
        let lead = source.chars().take_while(|c| c.is_whitespace()).count();
        if trimmed.is_empty() {
            return Err(ExprError::new("the condition is empty").fix("write an expression such as params.day != ''"));
        }
        if trimmed.starts_with("{{") && trimmed.ends_with("}}") {
            return Err(ExprError::new("a condition is a bare expression, without braces")
                .fix(format!("write {}", trimmed[2..trimmed.len() - 2].trim()))
                .at(lead));
        }
        let (compiled, references) = Compiled::new(trimmed).map_err(|error| error.shifted(lead))?;
        let mut need = Need::default();
        for path in &compiled.paths {
            need.add(path.iter().map(String::as_str));
        }
        Ok(Self(Arc::new(Inner {
            compiled,
            references,
            need,
        })))
    }

    /// What the expression refers to.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.0.references
    }

    /// True when the expression's value is true, not zero and not empty; `null` is false.
    ///
    /// # Errors
    /// When something in it is undefined, or it cannot be evaluated within its budget.
    pub fn eval(&self, scope: &Scope) -> Result<bool, ExprError> {
        let context = scope.context(&self.0.need);
        let value = self
            .0
            .compiled
            .eval(&context)
            .map_err(|error| evaluation_error(&self.0.compiled, scope, &error))?;
        if value.is_undefined() {
            let shown = abbreviate(&self.0.compiled.source);
            let message = self.0.compiled.paths.iter().find_map(|path| scope.explain(path));
            return Err(ExprError::new(
                message.unwrap_or_else(|| format!("`{shown}` is undefined")),
            ));
        }
        Ok(value.is_true())
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.0.compiled.source).finish()
    }
}

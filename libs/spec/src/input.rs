//! What a task needs to run: its edges, what a worker is given, and what holds for it after defaults.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::duration::Span;
use crate::model::{Priority, Retry, Task, Workflow};
use nexus_expr::{Condition, ExprError, References, Rendered, Scope, Template};

/// Time limit of one attempt when nothing is said anywhere.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(3_600);
/// Queue when nothing is said anywhere.
pub const DEFAULT_QUEUE: &str = "default";

/// What holds for a task: its own word over the workflow's defaults over the built-in ones. A `retry` block counts as
/// a whole: what it leaves out has the built-in value.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Time limit of one attempt, from lease to report.
    pub timeout: Span,
    /// When to try again.
    pub retry: Retry,
    /// Queue that it is handed out from.
    pub queue: String,
    /// Which tasks of a queue go first.
    pub priority: Priority,
    /// Time limit from ready to leased.
    pub schedule_to_start_timeout: Option<Span>,
    /// Time limit from first ready to the end.
    pub total_timeout: Option<Span>,
}

/// The compiled input of a task: the object under its kind key, with expressions in the fields that take them and
/// `code`, `run` and `statement` verbatim.
#[derive(Debug, Clone)]
pub struct InputTemplate(Template);

impl InputTemplate {
    /// What the expressions refer to.
    #[must_use]
    pub fn references(&self) -> &References {
        self.0.references()
    }

    /// The object that a worker gets.
    ///
    /// # Errors
    /// When an expression cannot be evaluated.
    pub fn render(&self, scope: &Scope) -> Result<Rendered, ExprError> {
        self.0.render(scope)
    }
}

impl Task {
    /// Compiles what a worker is given when the task runs.
    ///
    /// # Errors
    /// When an expression cannot be read; a workflow that was validated has none of these.
    pub fn compile_input(&self) -> Result<InputTemplate, ExprError> {
        let object = self.kind.to_object();
        Template::compile_fields(&object, self.kind.templated_fields()).map(InputTemplate)
    }

    /// Compiles the task's `if`; nothing when it has none.
    ///
    /// # Errors
    /// When the expression cannot be read; a workflow that was validated has none of these.
    pub fn compile_condition(&self) -> Result<Option<Condition>, ExprError> {
        self.condition.as_deref().map(Condition::compile).transpose()
    }

    /// What the task's `if` and input refer to.
    ///
    /// # Errors
    /// When an expression cannot be read.
    pub fn references(&self) -> Result<References, ExprError> {
        let mut references = self.compile_input()?.references().clone();
        if let Some(condition) = self.compile_condition()? {
            references.extend(condition.references());
        }
        Ok(references)
    }
}

impl Workflow {
    /// The tasks that must end before a task may start: those it needs, those it handles and those its expressions refer
    /// to, each once, in the order of the file. Empty for an unknown task. Names of tasks that do not exist are left out.
    #[must_use]
    pub fn dependencies(&self, task: &str) -> Vec<String> {
        let Some(found) = self.tasks.get(task) else {
            return Vec::new();
        };
        let references = found.references().unwrap_or_default();
        let positions: BTreeSet<usize> = found
            .needs
            .iter()
            .chain(found.handled())
            .chain(&references.tasks)
            .filter(|name| *name != task)
            .filter_map(|name| self.tasks.get_index_of(name.as_str()))
            .collect();
        positions
            .into_iter()
            .filter_map(|position| self.tasks.get_index(position))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What holds for a task: its own word over `defaults` over the built-in values.
    #[must_use]
    pub fn effective(&self, task: &Task) -> Effective {
        let defaults = &self.defaults;
        Effective {
            timeout: task.timeout.or(defaults.timeout).unwrap_or(DEFAULT_TIMEOUT),
            retry: task
                .retry
                .clone()
                .or_else(|| defaults.retry.clone())
                .unwrap_or_default(),
            queue: task
                .queue
                .clone()
                .or_else(|| defaults.queue.clone())
                .unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
            priority: task.priority.or(defaults.priority).unwrap_or_default(),
            schedule_to_start_timeout: task.schedule_to_start_timeout,
            total_timeout: task.total_timeout,
        }
    }

    /// A task's input before rendering: the JSON object under its kind key. `null` for an unknown task.
    #[must_use]
    pub fn input_template(&self, task: &str) -> Value {
        self.tasks
            .get(task)
            .map_or(Value::Null, |task| Value::Object(task.kind.to_object()))
    }

    /// Compiles the workflow's `output`; nothing when it has none.
    ///
    /// # Errors
    /// When an expression cannot be read; a workflow that was validated has none of these.
    pub fn compile_output(&self) -> Result<Option<Template>, ExprError> {
        self.output.as_ref().map(Template::compile).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workflow() -> Workflow {
        serde_json::from_value(json!({
            "name": "w",
            "defaults": {"timeout": "10m", "retry": {"max_attempts": 3}, "queue": "gpu"},
            "tasks": {
                "first": {"noop": {}},
                "second": {"bash": {"run": "echo {{ not an expression"}, "timeout": "5s", "queue": "small"},
                "third": {"needs": ["second"], "if": "tasks.first.output", "python": {
                    "code": "def main(x): return '{{ x }}'", "args": {"x": "{{ tasks.second.output.y }}"}}},
            }
        }))
        .unwrap()
    }

    #[test]
    fn edges_come_from_needs_conditions_and_inputs_in_file_order() {
        let workflow = workflow();
        assert_eq!(workflow.dependencies("third"), ["first", "second"]);
        assert!(workflow.dependencies("first").is_empty());
        assert!(workflow.dependencies("nobody").is_empty());
    }

    #[test]
    fn own_word_over_defaults_over_built_in() {
        let workflow = workflow();
        let second = workflow.effective(&workflow.tasks["second"]);
        assert_eq!((second.timeout, second.queue.as_str()), (Span::from_secs(5), "small"));
        assert_eq!(second.retry.max_attempts, 3);
        let third = workflow.effective(&workflow.tasks["third"]);
        assert_eq!((third.timeout, third.queue.as_str()), (Span::from_secs(600), "gpu"));
        let bare = Workflow {
            defaults: Default::default(),
            ..workflow
        };
        let first = bare.effective(&bare.tasks["first"]);
        assert_eq!(
            (first.timeout, first.retry.max_attempts, first.queue.as_str()),
            (DEFAULT_TIMEOUT, 1, "default")
        );
    }

    #[test]
    fn code_is_verbatim_and_arguments_are_rendered() {
        let workflow = workflow();
        let mut scope = Scope::default();
        scope.tasks.insert(
            "second".into(),
            nexus_expr::TaskView {
                state: "SUCCEEDED".into(),
                output: Some(std::sync::Arc::new(json!({"y": [1, 2]}))),
                error: None,
            },
        );
        let input = workflow.tasks["third"].compile_input().unwrap();
        assert_eq!(
            input.render(&scope).unwrap().value,
            json!({"code": "def main(x): return '{{ x }}'", "args": {"x": [1, 2]}})
        );
        let input = workflow.tasks["second"].compile_input().unwrap();
        assert_eq!(
            input.render(&scope).unwrap().value,
            json!({"run": "echo {{ not an expression"})
        );
    }
}

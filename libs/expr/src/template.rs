//! Compiled JSON values whose strings may hold expressions.

use std::sync::Arc;

use minijinja::value::Value as JinjaValue;
use minijinja::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::convert::{Budget, Unfit, to_json};
use super::environment::{Compiled, abbreviate};
use super::error::ExprError;
use super::references::{Need, References, lone_secret};
use super::scan::{self, Part};
use super::scope::Scope;
use super::{FUEL, MAX_DEPTH};

/// A compiled JSON value whose strings may hold `{{ … }}`. Clones share the compiled form.
#[derive(Debug, Clone)]
pub struct Template(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    references: References,
    need: Need,
}

/// A rendered value and the secrets whose placeholders it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The value, with placeholders where secrets go.
    pub value: Value,
    /// The secrets that are used, each once, in the order of their first use.
    pub secrets: Vec<SecretUse>,
}

/// A secret that a rendered value uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// The text that stands for it in the value.
    pub placeholder: String,
    /// Its name.
    pub name: String,
}

enum Node {
    Literal(Value),
    Expr(Box<Compiled>),
    Secret(String),
    Text(Vec<Piece>),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

enum Piece {
    Literal(String),
    Expr(Box<Compiled>),
    Secret(String),
}

impl Template {
    /// Compiles a value.
    ///
    /// # Errors
    /// When an expression in it cannot be read, is too long, or refers to something that exists in no scope; the error
    /// holds the JSON pointer to the string.
    pub fn compile(value: &Value) -> Result<Self, ExprError> {
        let mut compiler = Compiler::default();
        let node = compiler.node(value, 0)?;
        Ok(compiler.finish(node))
    }

    /// Compiles an object of which only some fields may hold expressions; the others are passed on verbatim.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_fields(object: &Map<String, Value>, templated: &[&str]) -> Result<Self, ExprError> {
        let mut compiler = Compiler::default();
        let mut entries = Vec::with_capacity(object.len());
        for (key, value) in object {
            let node = if templated.contains(&key.as_str()) {
                compiler.node(value, 1).map_err(|error| error.within(key))?
            } else {
                Node::Literal(value.clone())
            };
            entries.push((key.clone(), node));
        }
        Ok(compiler.finish(object_node(entries)))
    }

    /// What the expressions refer to.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.0.references
    }

    /// Evaluates every expression and puts the results in their places.
    ///
    /// # Errors
    /// When something is undefined (the message names the path), an expression fails or runs out of its budget, or the
    /// result is too large or too deep.
    pub fn render(&self, scope: &Scope) -> Result<Rendered, ExprError> {
        let mut renderer = Renderer {
            scope,
            context: scope.context(&self.0.need),
            budget: Budget::new(),
            secrets: Vec::new(),
        };
        let value = renderer.node(&self.0.node)?;
        Ok(Rendered {
            value,
            secrets: renderer.secrets,
        })
    }
}

/// Collects what the expressions of one template refer to while they are compiled.
#[derive(Default)]
struct Compiler {
    references: References,
    need: Need,
}

impl Compiler {
    fn finish(self, node: Node) -> Template {
        Template(Arc::new(Inner {
            node,
            references: self.references,
            need: self.need,
        }))
    }

    fn node(&mut self, value: &Value, depth: usize) -> Result<Node, ExprError> {
        if depth > MAX_DEPTH {
            return Err(ExprError::new(format!("the value is nested deeper than {MAX_DEPTH}")));
        }
        match value {
            Value::String(text) if scan::may_hold_expression(text) => self.text(text),
            Value::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    nodes.push(
                        self.node(item, depth + 1)
                            .map_err(|error| error.within(&i.to_string()))?,
                    );
                }
                Ok(array_node(nodes))
            }
            Value::Object(map) => {
                let mut entries = Vec::with_capacity(map.len());
                for (key, entry) in map {
                    if key.contains("{{") {
                        return Err(ExprError::new("a key cannot hold an expression, only a value can").within(key));
                    }
                    let node = self.node(entry, depth + 1).map_err(|error| error.within(key))?;
                    entries.push((key.clone(), node));
                }
                Ok(object_node(entries))
            }
            other => Ok(Node::Literal(other.clone())),
        }
    }

    fn text(&mut self, text: &str) -> Result<Node, ExprError> {
        let parts = scan::split(text)?;
        // Blanks around a lone expression are not part of it: a YAML block always ends with a line break.
        let mut solid = parts
            .iter()
            .filter(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
        if let (Some(Part::Expr { source, offset }), None) = (solid.next(), solid.next()) {
            return Ok(match self.expression(source, *offset)? {
                Piece::Secret(name) => Node::Secret(name),
                Piece::Expr(compiled) => Node::Expr(compiled),
                Piece::Literal(text) => Node::Literal(Value::String(text)),
            });
        }
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Literal(text.to_owned()),
                Part::Expr { source, offset } => self.expression(source, offset)?,
            });
        }
        Ok(Node::Text(pieces))
    }

    fn expression(&mut self, source: &str, offset: usize) -> Result<Piece, ExprError> {
        if let Some(name) = lone_secret(source) {
            self.references.secrets.insert(name.to_owned());
            return Ok(Piece::Secret(name.to_owned()));
        }
        let (compiled, references) = Compiled::new(source).map_err(|error| error.shifted(offset))?;
        self.references.extend(&references);
        for path in &compiled.paths {
            self.need.add(path.iter().map(String::as_str));
        }
        Ok(Piece::Expr(Box::new(compiled)))
    }
}

/// An object of literals is itself a literal: what holds no expression costs one clone.
fn object_node(entries: Vec<(String, Node)>) -> Node {
    if entries.iter().all(|(_, node)| matches!(node, Node::Literal(_))) {
        let literal = entries
            .into_iter()
            .filter_map(|(key, node)| Some((key, literal(node)?)));
        return Node::Literal(Value::Object(literal.collect()));
    }
    Node::Object(entries)
}

fn array_node(nodes: Vec<Node>) -> Node {
    if nodes.iter().all(|node| matches!(node, Node::Literal(_))) {
        return Node::Literal(Value::Array(nodes.into_iter().filter_map(literal).collect()));
    }
    Node::Array(nodes)
}

fn literal(node: Node) -> Option<Value> {
    match node {
        Node::Literal(value) => Some(value),
        _ => None,
    }
}

struct Renderer<'a> {
    scope: &'a Scope,
    context: JinjaValue,
    budget: Budget,
    secrets: Vec<SecretUse>,
}

impl Renderer<'_> {
    fn node(&mut self, node: &Node) -> Result<Value, ExprError> {
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Expr(compiled) => self.value(compiled),
            Node::Secret(name) => Ok(Value::String(self.secret(name))),
            Node::Text(pieces) => self.text(pieces).map(Value::String),
            Node::Array(nodes) => {
                let mut items = Vec::with_capacity(nodes.len());
                for (i, node) in nodes.iter().enumerate() {
                    items.push(self.node(node).map_err(|error| error.within(&i.to_string()))?);
                }
                Ok(Value::Array(items))
            }
            Node::Object(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, node) in entries {
                    let value = self.node(node).map_err(|error| error.within(key))?;
                    map.insert(key.clone(), value);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn text(&mut self, pieces: &[Piece]) -> Result<String, ExprError> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Secret(name) => text.push_str(&self.secret(name)),
                Piece::Expr(compiled) => match self.value(compiled)? {
                    Value::String(string) => text.push_str(&string),
                    other => text.push_str(&other.to_string()),
                },
            }
        }
        Ok(text)
    }

    fn value(&mut self, compiled: &Compiled) -> Result<Value, ExprError> {
        let value = compiled
            .eval(&self.context)
            .map_err(|error| evaluation_error(compiled, self.scope, &error))?;
        to_json(&value, &mut self.budget, 0).map_err(|unfit| match unfit {
            Unfit::Undefined => undefined(compiled, self.scope, None),
            Unfit::Other(message) => ExprError::new(format!("`{}`: {message}", abbreviate(&compiled.source))),
        })
    }

    fn secret(&mut self, name: &str) -> String {
        let placeholder = self.scope.placeholder(name);
        if !self.secrets.iter().any(|known| known.name == name) {
            self.secrets.push(SecretUse {
                placeholder: placeholder.clone(),
                name: name.to_owned(),
            });
        }
        placeholder
    }
}

/// What went wrong in an evaluation, in terms of the scope.
pub(super) fn evaluation_error(compiled: &Compiled, scope: &Scope, error: &Error) -> ExprError {
    let shown = abbreviate(&compiled.source);
    match error.kind() {
        ErrorKind::UndefinedError => undefined(compiled, scope, error.detail()),
        ErrorKind::OutOfFuel => ExprError::new(format!("`{shown}` is too much work (more than {FUEL} steps)"))
            .fix("compute it in a task and refer to the task's output"),
        kind => {
            let detail = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
            ExprError::new(format!("`{shown}` failed: {detail}"))
        }
    }
}

/// Names the path that is undefined: the one that minijinja names, or else the first one that breaks off.
fn undefined(compiled: &Compiled, scope: &Scope, detail: Option<&str>) -> ExprError {
    let explained: Vec<String> = compiled.paths.iter().filter_map(|path| scope.explain(path)).collect();
    let named = detail
        .and_then(|detail| detail.split('`').nth(1))
        .map(|path| format!("`{path}`"));
    let message = explained
        .iter()
        .find(|text| named.as_ref().is_some_and(|named| text.starts_with(named)))
        .or_else(|| explained.first())
        .cloned()
        .or_else(|| detail.map(str::to_owned))
        .unwrap_or_else(|| format!("`{}` is undefined", abbreviate(&compiled.source)));
    ExprError::new(message).fix("give it a value, or say | default(…) if it may be absent")
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::Expr(compiled) => write!(f, "{{{{ {} }}}}", compiled.source),
            Self::Secret(name) => write!(f, "{{{{ secrets.{name} }}}}"),
            Self::Text(pieces) => write!(f, "text of {} pieces", pieces.len()),
            Self::Array(nodes) => f.debug_list().entries(nodes).finish(),
            Self::Object(entries) => f.debug_map().entries(entries.iter().map(|(k, v)| (k, v))).finish(),
        }
    }
}

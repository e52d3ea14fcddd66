//! The graph as a Mermaid flowchart.

use std::collections::HashMap;
use std::fmt::Write;

use super::Picture;
use crate::graph::Graph;

/// A Mermaid flowchart, left to right.
#[must_use]
pub fn mermaid(graph: &Graph, picture: Picture<'_>) -> String {
    let mut text = String::from("flowchart LR\n");
    let numbers: HashMap<&str, usize> = graph.ids().iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    for (i, id) in graph.ids().iter().enumerate() {
        let kind = (picture.kind)(id);
        let label = if kind.is_empty() {
            escape(id)
        } else {
            format!("{}<br/><small>{}</small>", escape(id), escape(&kind))
        };
        // Writing to a String never fails. Ids are numbered because Mermaid reserves words such as `end`.
        let _ = writeln!(text, "  t{i}[\"{label}\"]");
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  t{} --> t{}", numbers[from], numbers[to]);
    }
    text
}

/// Everything but letters, digits and a few harmless signs as a character code.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '-') {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}

//! The graph in Graphviz's language.

use std::fmt::Write;

use super::Picture;
use crate::graph::Graph;

/// A Graphviz digraph, left to right.
#[must_use]
pub fn dot(graph: &Graph, picture: Picture<'_>) -> String {
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = writeln!(text, "digraph {} {{", quote(picture.title));
    text.push_str("  rankdir=LR;\n");
    text.push_str("  node [shape=box, style=\"rounded,filled\", fillcolor=\"#f8fafc\", color=\"#94a3b8\", fontname=\"Helvetica\"];\n");
    text.push_str("  edge [color=\"#94a3b8\", arrowsize=0.7];\n");
    for id in graph.ids() {
        let kind = (picture.kind)(id);
        let label = if kind.is_empty() {
            quote(id)
        } else {
            // `\n` inside the quotes is Graphviz's own line break.
            let (id, kind) = (quote(id), quote(&kind));
            format!("{}\\n{}", &id[..id.len() - 1], &kind[1..])
        };
        let _ = writeln!(text, "  {} [label={label}];", quote(id));
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  {} -> {};", quote(from), quote(to));
    }
    text.push_str("}\n");
    text
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

//! Pictures of a graph: JSON for programs, Mermaid, Graphviz DOT, and a standalone SVG. None of them shows states, so
//! that a picture stays true whatever an execution does.

mod dot;
mod json;
mod layout;
mod mermaid;
mod svg;

pub use dot::dot;
pub use json::json;
pub use mermaid::mermaid;
pub use svg::svg;

/// What a picture shows beside the graph.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The title: the workflow's name.
    pub title: &'a str,
    /// A word under a task's id: its kind. Nothing is shown for an empty one.
    pub kind: &'a dyn Fn(&str) -> String,
    /// Expected seconds of a task, which weigh the critical path; 1 when nothing is known.
    pub expected: &'a dyn Fn(&str) -> f64,
}

#[cfg(test)]
mod tests;

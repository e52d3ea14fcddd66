//! The graph as JSON, for programs that draw it themselves.

use serde::Serialize;

use super::Picture;
use crate::graph::Graph;

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge<'a>>,
    order: Vec<&'a str>,
    groups: Vec<Vec<&'a str>>,
    roots: Vec<&'a str>,
    leaves: Vec<&'a str>,
    critical_path: Critical,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    kind: String,
    group: usize,
}

#[derive(Serialize)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct Critical {
    tasks: Vec<String>,
    seconds: f64,
}

/// The graph as a JSON text: `{title, nodes: [{id, kind, group}], edges: [{from, to}], order, groups, roots, leaves,
/// critical_path: {tasks, seconds}}`.
#[must_use]
pub fn json(graph: &Graph, picture: Picture<'_>) -> String {
    let critical = graph.critical_path(picture.expected);
    let document = Document {
        title: picture.title,
        nodes: graph
            .ids()
            .iter()
            .map(|id| Node {
                id,
                kind: (picture.kind)(id),
                group: graph.group_of(id).unwrap_or_default(),
            })
            .collect(),
        edges: graph.edges().into_iter().map(|(from, to)| Edge { from, to }).collect(),
        order: graph.order(),
        groups: graph.groups(),
        roots: graph.roots(),
        leaves: graph.leaves(),
        critical_path: Critical {
            tasks: critical.tasks,
            seconds: critical.seconds,
        },
    };
    // Text and numbers only; the sum of finite weights may still overflow, which JSON writes as null.
    serde_json::to_string(&document).unwrap_or_default()
}

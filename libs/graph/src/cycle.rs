//! Finds cycles and names them task by task.

use std::collections::VecDeque;
use std::fmt;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// A cycle: each id leads to the next one, and the last leads to the first. Shown as `a → b → c → a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The ids, from the one that stands first in the file.
    pub ids: Vec<String>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in &self.ids {
            write!(f, "{id} → ")?;
        }
        f.write_str(self.ids.first().map_or("", String::as_str))
    }
}

/// One shortest cycle for each knot of the graph (strongly connected component), through the node of the knot that
/// stands first in the file; sorted by that node.
pub(crate) fn find(graph: &DiGraph<(), ()>, ids: &[String]) -> Vec<Cycle> {
    let mut found: Vec<Vec<NodeIndex>> = Vec::new();
    // Kosaraju's algorithm and not Tarjan's: petgraph's Tarjan recurses.
    for component in kosaraju_scc(graph) {
        let Some(start) = component.iter().copied().min() else {
            continue;
        };
        if component.len() == 1 && !graph.contains_edge(start, start) {
            continue;
        }
        found.push(shortest_through(graph, start));
    }
    found.sort_by_key(|cycle| cycle.first().copied());
    found
        .into_iter()
        .map(|cycle| Cycle {
            ids: cycle.into_iter().map(|node| ids[node.index()].clone()).collect(),
        })
        .collect()
}

/// A shortest way from a node back to itself, breadth first. The node must lie on a cycle.
fn shortest_through(graph: &DiGraph<(), ()>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from: Vec<Option<NodeIndex>> = vec![None; graph.node_count()];
    let mut waiting = VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(node).collect();
        next.sort_unstable();
        for neighbour in next {
            if neighbour == start {
                let mut cycle = vec![node];
                let mut here = node;
                while let Some(before) = came_from[here.index()] {
                    cycle.push(before);
                    here = before;
                }
                cycle.reverse();
                return cycle;
            }
            if came_from[neighbour.index()].is_none() {
                came_from[neighbour.index()] = Some(node);
                waiting.push_back(neighbour);
            }
        }
    }
    vec![start]
}

//! The graph itself: built once, checked once, asked often.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};

use crate::cycle::{self, Cycle};

/// A directed acyclic graph of tasks. An edge leads from a task to one that waits for it.
#[derive(Debug, Clone)]
pub struct Graph {
    ids: Vec<String>,
    index: HashMap<String, NodeIndex>,
    inner: DiGraph<(), ()>,
    order: Vec<NodeIndex>,
    level: Vec<usize>,
}

/// Why ids and edges make no task graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two tasks have the same id.
    #[error("task {0:?} appears twice")]
    Duplicate(String),
    /// An edge names a task that does not exist.
    #[error("the edge {from} → {to} names a task that does not exist")]
    Unknown {
        /// Where the edge starts.
        from: String,
        /// Where it ends.
        to: String,
    },
    /// Tasks wait for each other.
    #[error("cycle: {}", show(.0))]
    Cycles(Vec<Cycle>),
}

fn show(cycles: &[Cycle]) -> String {
    let shown: Vec<String> = cycles.iter().map(Cycle::to_string).collect();
    shown.join("; ")
}

/// The way through a graph that takes longest: no execution can be faster than its sum.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticalPath {
    /// The tasks, first to last.
    pub tasks: Vec<String>,
    /// The sum of their expected seconds.
    pub seconds: f64,
}

impl Graph {
    /// Builds a graph from ids, in the order of the file, and edges (from, to), where `to` waits for `from`. An edge
    /// that is given twice counts once.
    ///
    /// # Errors
    /// When an id is there twice, an edge names an unknown one, or tasks wait for each other.
    pub fn new<I, E, F, T>(ids: I, edges: E) -> Result<Self, GraphError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
        E: IntoIterator<Item = (F, T)>,
        F: AsRef<str>,
        T: AsRef<str>,
    {
        let ids: Vec<String> = ids.into_iter().map(Into::into).collect();
        let mut inner = DiGraph::with_capacity(ids.len(), ids.len());
        let mut index = HashMap::with_capacity(ids.len());
        for id in &ids {
            let node = inner.add_node(());
            if index.insert(id.clone(), node).is_some() {
                return Err(GraphError::Duplicate(id.clone()));
            }
        }
        let mut seen = HashSet::new();
        for (from, to) in edges {
            let (from, to) = (from.as_ref(), to.as_ref());
            let (Some(&source), Some(&target)) = (index.get(from), index.get(to)) else {
                return Err(GraphError::Unknown {
                    from: from.to_owned(),
                    to: to.to_owned(),
                });
            };
            if seen.insert((source, target)) {
                inner.add_edge(source, target, ());
            }
        }
        let (order, level) = sort(&inner);
        if order.len() < ids.len() {
            return Err(GraphError::Cycles(cycle::find(&inner, &ids)));
        }
        Ok(Self {
            ids,
            index,
            inner,
            order,
            level,
        })
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids, in the order of the file.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The ids in an order that respects every edge; among tasks that could come next, the file's order decides.
    #[must_use]
    pub fn order(&self) -> Vec<&str> {
        self.order.iter().map(|node| self.id(*node)).collect()
    }

    /// Groups of tasks that may run side by side: the first holds the tasks that wait for nothing, each further one the
    /// tasks whose last dependency is in the group before. In the order of the file.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<&str>> {
        let depth = self.level.iter().max().map_or(0, |deepest| deepest + 1);
        let mut groups = vec![Vec::new(); depth];
        for (id, level) in self.ids.iter().zip(&self.level) {
            groups[*level].push(id.as_str());
        }
        groups
    }

    /// The number of a task's group, from 0; nothing for an unknown task.
    #[must_use]
    pub fn group_of(&self, id: &str) -> Option<usize> {
        self.index.get(id).map(|node| self.level[node.index()])
    }

    /// Every edge (from, to), each once, in the order of the file by `to`, then by `from`.
    #[must_use]
    pub fn edges(&self) -> Vec<(&str, &str)> {
        let mut edges: Vec<(NodeIndex, NodeIndex)> = self
            .inner
            .raw_edges()
            .iter()
            .map(|edge| (edge.target(), edge.source()))
            .collect();
        edges.sort_unstable();
        edges
            .into_iter()
            .map(|(to, from)| (self.id(from), self.id(to)))
            .collect()
    }

    /// The tasks that a task waits for directly, in the order of the file.
    #[must_use]
    pub fn dependencies(&self, id: &str) -> Vec<&str> {
        self.neighbours(id, Direction::Incoming)
    }

    /// The tasks that wait for a task directly, in the order of the file.
    #[must_use]
    pub fn dependents(&self, id: &str) -> Vec<&str> {
        self.neighbours(id, Direction::Outgoing)
    }

    /// Every task that must end before a task may start, in the order of the file.
    #[must_use]
    pub fn ancestors(&self, id: &str) -> Vec<&str> {
        let Some(&start) = self.index.get(id) else {
            return Vec::new();
        };
        let mut search = Dfs::new(Reversed(&self.inner), start);
        self.sorted(std::iter::from_fn(|| search.next(Reversed(&self.inner))).filter(|node| *node != start))
    }

    /// Every task that waits for a task, directly or not, in the order of the file.
    #[must_use]
    pub fn descendants(&self, id: &str) -> Vec<&str> {
        let Some(&start) = self.index.get(id) else {
            return Vec::new();
        };
        let mut search = Dfs::new(&self.inner, start);
        self.sorted(std::iter::from_fn(|| search.next(&self.inner)).filter(|node| *node != start))
    }

    /// The tasks that wait for nothing.
    #[must_use]
    pub fn roots(&self) -> Vec<&str> {
        self.sorted(self.inner.externals(Direction::Incoming))
    }

    /// The tasks that nothing waits for.
    #[must_use]
    pub fn leaves(&self) -> Vec<&str> {
        self.sorted(self.inner.externals(Direction::Outgoing))
    }

    /// The longest way through the graph, each task weighed by its expected seconds; a weight that is negative or no
    /// number counts as 1. Among equally long ways the file's order decides.
    #[must_use]
    pub fn critical_path(&self, expected: impl Fn(&str) -> f64) -> CriticalPath {
        let mut total = vec![0.0_f64; self.len()];
        let mut before: Vec<Option<NodeIndex>> = vec![None; self.len()];
        let mut last: Option<NodeIndex> = None;
        for &node in &self.order {
            let mut longest = 0.0;
            let mut incoming: Vec<NodeIndex> = self.inner.neighbors_directed(node, Direction::Incoming).collect();
            incoming.sort_unstable();
            for dependency in incoming {
                if before[node.index()].is_none() || total[dependency.index()] > longest {
                    longest = total[dependency.index()];
                    before[node.index()] = Some(dependency);
                }
            }
            let weight = expected(self.id(node));
            let weight = if weight.is_finite() && weight >= 0.0 {
                weight
            } else {
                1.0
            };
            total[node.index()] = longest + weight;
            if last.is_none_or(|last| total[node.index()] > total[last.index()]) {
                last = Some(node);
            }
        }
        let seconds = last.map_or(0.0, |last| total[last.index()]);
        let mut tasks = Vec::new();
        while let Some(node) = last {
            tasks.push(self.id(node).to_owned());
            last = before[node.index()];
        }
        tasks.reverse();
        CriticalPath { tasks, seconds }
    }

    fn id(&self, node: NodeIndex) -> &str {
        &self.ids[node.index()]
    }

    fn neighbours(&self, id: &str, direction: Direction) -> Vec<&str> {
        match self.index.get(id) {
            Some(&node) => self.sorted(self.inner.neighbors_directed(node, direction)),
            None => Vec::new(),
        }
    }

    fn sorted(&self, nodes: impl Iterator<Item = NodeIndex>) -> Vec<&str> {
        let mut nodes: Vec<NodeIndex> = nodes.collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|node| self.id(node)).collect()
    }
}

/// Kahn's algorithm with the ready nodes in a heap, so that the file's order decides among them. The order is shorter
/// than the graph when there are cycles. The level of a node is the length of the longest way to it.
fn sort(graph: &DiGraph<(), ()>) -> (Vec<NodeIndex>, Vec<usize>) {
    let mut missing: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.neighbors_directed(node, Direction::Incoming).count())
        .collect();
    let mut ready: BinaryHeap<Reverse<NodeIndex>> = graph
        .node_indices()
        .filter(|node| missing[node.index()] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(graph.node_count());
    let mut level = vec![0; graph.node_count()];
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for next in graph.neighbors(node) {
            level[next.index()] = level[next.index()].max(level[node.index()] + 1);
            missing[next.index()] -= 1;
            if missing[next.index()] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    (order, level)
}

#[cfg(test)]
mod tests;

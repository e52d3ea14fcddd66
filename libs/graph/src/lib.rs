//! Task graphs: order, parallel groups, cycles, the critical path ([`graph`]) and pictures of them ([`render`]).
//!
//! petgraph stays inside this crate. Nothing recurses over the graph, so its depth is bounded by memory alone.

pub mod cycle;
pub mod graph;
pub mod render;

pub use cycle::Cycle;
pub use graph::{CriticalPath, Graph, GraphError};

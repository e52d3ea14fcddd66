//! Known small graphs, random ones against plain definitions, and very deep ones.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn diamond() -> Graph {
    let edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("a", "b")];
    Graph::new(["d", "c", "b", "a", "alone"], edges).unwrap()
}

#[test]
fn a_diamond_is_ordered_grouped_and_searched() {
    let graph = diamond();
    assert_eq!(graph.order(), ["a", "c", "b", "d", "alone"]);
    assert_eq!(graph.groups(), [vec!["a", "alone"], vec!["c", "b"], vec!["d"]]);
    assert_eq!(graph.ancestors("d"), ["c", "b", "a"]);
    assert_eq!(graph.descendants("a"), ["d", "c", "b"]);
    assert_eq!(graph.dependencies("d"), ["c", "b", "a"]);
    assert_eq!(graph.dependents("b"), ["d"]);
    assert_eq!(
        (graph.roots(), graph.leaves()),
        (vec!["a", "alone"], vec!["d", "alone"])
    );
    assert_eq!(
        graph.edges(),
        [("c", "d"), ("b", "d"), ("a", "d"), ("a", "c"), ("a", "b")]
    );
    assert!(graph.ancestors("nobody").is_empty());
}

#[test]
fn the_critical_path_is_weighed() {
    let graph = diamond();
    assert_eq!(graph.critical_path(|_| 1.0).tasks, ["a", "c", "d"]);
    let slow = graph.critical_path(|id| if id == "b" { 5.0 } else { f64::NAN });
    assert_eq!(
        (slow.tasks, slow.seconds),
        (vec!["a".into(), "b".into(), "d".into()], 7.0)
    );
    let lonely = graph.critical_path(|id| if id == "alone" { 50.0 } else { -1.0 });
    assert_eq!(lonely.tasks, ["alone"]);
    let empty = Graph::new(Vec::<String>::new(), Vec::<(String, String)>::new()).unwrap();
    assert_eq!(empty.critical_path(|_| 1.0).seconds, 0.0);
}

#[test]
fn cycles_are_named_task_by_task() {
    let edges = [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("c", "d"),
        ("x", "x"),
        ("e", "f"),
        ("f", "e"),
        ("b", "e"),
    ];
    let error = Graph::new(["a", "b", "c", "d", "x", "e", "f"], edges).unwrap_err();
    assert_eq!(error.to_string(), "cycle: a → b → c → a; x → x; e → f → e");
}

#[test]
fn unknown_and_doubled_ids_are_refused() {
    assert_eq!(
        Graph::new(["a", "a"], Vec::<(&str, &str)>::new()).unwrap_err(),
        GraphError::Duplicate("a".into())
    );
    assert!(matches!(
        Graph::new(["a"], [("a", "b")]),
        Err(GraphError::Unknown { .. })
    ));
}

#[test]
fn a_hundred_thousand_tasks_in_a_row_do_not_recurse() {
    const LENGTH: usize = 100_000;
    let ids: Vec<String> = (0..LENGTH).map(|i| format!("t{i}")).collect();
    let edges: Vec<(&str, &str)> = ids
        .windows(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let graph = Graph::new(ids.clone(), edges.clone()).unwrap();
    assert_eq!(graph.groups().len(), LENGTH);
    assert_eq!(graph.ancestors(&ids[LENGTH - 1]).len(), LENGTH - 1);
    assert_eq!(graph.critical_path(|_| 1.0).tasks.len(), LENGTH);
    let closing = (ids[LENGTH - 1].as_str(), ids[0].as_str());
    let Err(GraphError::Cycles(cycles)) = Graph::new(ids.clone(), edges.into_iter().chain([closing])) else {
        panic!("a ring is a cycle");
    };
    assert_eq!(cycles[0].ids.len(), LENGTH);
}

fn any_edges(nodes: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..nodes, 0..nodes), 0..nodes * 2)
}

fn build(nodes: usize, edges: &[(usize, usize)]) -> Result<Graph, GraphError> {
    let name = |i: usize| format!("t{i}");
    Graph::new((0..nodes).map(name), edges.iter().map(|(a, b)| (name(*a), name(*b))))
}

proptest! {
    #[test]
    fn orders_and_groups_respect_every_edge(edges in any_edges(20)) {
        let forward: Vec<(usize, usize)> = edges.into_iter().filter(|(a, b)| a < b).collect();
        let graph = build(20, &forward).unwrap();
        let place: HashMap<&str, usize> = graph.order().into_iter().enumerate().map(|(i, id)| (id, i)).collect();
        prop_assert_eq!(place.len(), 20);
        for (from, to) in graph.edges() {
            prop_assert!(place[from] < place[to]);
            prop_assert!(graph.group_of(from) < graph.group_of(to));
            prop_assert!(graph.descendants(from).contains(&to));
            prop_assert!(graph.ancestors(to).contains(&from));
        }
        // A task is no later than it must be: one of its dependencies is in the group before.
        for id in graph.ids() {
            let level = graph.group_of(id).unwrap();
            let latest = graph.dependencies(id).into_iter().filter_map(|d| graph.group_of(d)).max();
            prop_assert_eq!(latest.map_or(0, |l| l + 1), level);
        }
        // Its critical path with equal weights is as long as there are groups.
        prop_assert_eq!(graph.critical_path(|_| 1.0).tasks.len(), graph.groups().len());
    }

    #[test]
    fn a_graph_is_ordered_or_its_cycles_are_real(edges in any_edges(12)) {
        match build(12, &edges) {
            Ok(graph) => prop_assert_eq!(graph.order().len(), 12),
            Err(GraphError::Cycles(cycles)) => {
                prop_assert!(!cycles.is_empty());
                for cycle in cycles {
                    let number = |id: &String| id[1..].parse::<usize>().unwrap();
                    for (i, id) in cycle.ids.iter().enumerate() {
                        let next = &cycle.ids[(i + 1) % cycle.ids.len()];
                        prop_assert!(edges.contains(&(number(id), number(next))));
                    }
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

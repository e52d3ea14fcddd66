//! Every picture of one graph, and that no label can break out of any of them.

use super::*;
use crate::graph::Graph;

fn picture(title: &str) -> Picture<'_> {
    Picture {
        title,
        kind: &|id| {
            if id == "extract" {
                "http".to_owned()
            } else {
                "python".to_owned()
            }
        },
        expected: &|_| 1.0,
    }
}

fn graph() -> Graph {
    let edges = [
        ("extract", "clean"),
        ("extract", "count"),
        ("clean", "load"),
        ("count", "load"),
        ("extract", "load"),
    ];
    Graph::new(["extract", "clean", "count", "load"], edges).unwrap()
}

#[test]
fn json_holds_everything() {
    let value: serde_json::Value = serde_json::from_str(&json(&graph(), picture("orders"))).unwrap();
    assert_eq!(
        value["nodes"][0],
        serde_json::json!({"id": "extract", "kind": "http", "group": 0})
    );
    assert_eq!(value["edges"][0], serde_json::json!({"from": "extract", "to": "clean"}));
    assert_eq!(
        value["groups"],
        serde_json::json!([["extract"], ["clean", "count"], ["load"]])
    );
    assert_eq!(
        value["critical_path"]["tasks"],
        serde_json::json!(["extract", "clean", "load"])
    );
    assert_eq!(value["critical_path"]["seconds"], 3.0);
}

#[test]
fn mermaid_and_dot_are_as_written_here() {
    assert_eq!(
        mermaid(&graph(), picture("orders")),
        r#"flowchart LR
  t0["extract<br/><small>http</small>"]
  t1["clean<br/><small>python</small>"]
  t2["count<br/><small>python</small>"]
  t3["load<br/><small>python</small>"]
  t0 --> t1
  t0 --> t2
  t0 --> t3
  t1 --> t3
  t2 --> t3
"#
    );
    let dot = dot(&graph(), picture("orders"));
    assert!(dot.starts_with("digraph \"orders\" {\n  rankdir=LR;\n"), "{dot}");
    assert!(dot.contains("  \"extract\" [label=\"extract\\nhttp\"];\n"), "{dot}");
    assert!(dot.ends_with("  \"count\" -> \"load\";\n}\n"), "{dot}");
}

#[test]
fn svg_is_well_formed_and_tasks_do_not_overlap() {
    let text = svg(&graph(), picture("orders"));
    assert!(text.starts_with("<svg xmlns="));
    assert_eq!(text.matches("<rect class=\"task\"").count(), 4);
    assert_eq!(text.matches("<path class=\"edge").count(), 5);
    assert_eq!(text.matches("edge critical").count(), 2);
    assert_eq!(text.matches("<g>").count(), text.matches("</g>").count());
    let layout = layout::layout(&graph());
    for a in 0..layout.y.len() {
        for b in 0..a {
            if layout.layer[a] == layout.layer[b] {
                assert!((layout.y[a] - layout.y[b]).abs() >= 28.0 - 1e-6, "{a} and {b} overlap");
            }
        }
    }
}

#[test]
fn labels_cannot_break_out() {
    let evil = "\"]; </title><script>alert(1)</script> `x` & \\ \u{0} #";
    let graph = Graph::new([evil, "b"], [(evil, "b")]).unwrap();
    let picture = Picture {
        title: evil,
        ..picture("")
    };
    let svg = svg(&graph, picture);
    assert!(!svg.contains("<script") && !svg.contains('\u{0}'));
    let mermaid = mermaid(&graph, picture);
    assert!(!mermaid.contains("<script") && !mermaid.contains('`'));
    let dot = dot(&graph, picture);
    assert!(dot.contains("\\\"]; </title>"));
    assert!(serde_json::from_str::<serde_json::Value>(&json(&graph, picture)).is_ok());
}

#[test]
fn empty_and_large_graphs_are_drawn() {
    let empty = Graph::new(Vec::<String>::new(), Vec::<(String, String)>::new()).unwrap();
    assert!(svg(&empty, picture("nothing")).ends_with("</svg>\n"));
    let ids: Vec<String> = (0..5_000).map(|i| format!("t{i}")).collect();
    let edges: Vec<(String, String)> = (1..5_000).map(|i| (ids[i / 2].clone(), ids[i].clone())).collect();
    let large = Graph::new(ids.clone(), edges).unwrap();
    assert_eq!(svg(&large, picture("large")).matches("<rect").count(), 5_000);
}

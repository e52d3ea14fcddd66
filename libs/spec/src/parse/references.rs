//! Checks that every task that is named exists and that no tasks wait for each other.

use std::collections::HashSet;

use nexus_graph::{Graph, GraphError};

use super::MAX_EDGES;
use super::expressions::{Expressions, Use};
use super::tasks::RawTask;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::TriggerRule;
use crate::source::Place;
use nexus_expr::nearest;

/// Checks the edges; the graph comes back when they are sound.
pub(super) fn check(tasks: &[(String, RawTask)], expressions: &Expressions, findings: &mut Findings) -> Option<Graph> {
    let known: HashSet<&str> = tasks.iter().map(|(id, _)| id.as_str()).collect();
    let mut edges: Vec<(&str, &str)> = Vec::new();
    for (id, task) in tasks {
        for used in task.edges() {
            if used.task == *id {
                let handled = task.handles.iter().flatten().any(|handled| handled.path == used.path);
                let does = if handled { "handles" } else { "waits for" };
                let finding = Finding::error(codes::SELF_REFERENCE, used.place, format!("task {id:?} {does} itself"));
                findings.add(
                    finding
                        .path(used.path.clone())
                        .fix("refer to another task, or remove this"),
                );
            } else if known.contains(used.task.as_str()) {
                edges.push((&used.task, id));
            } else {
                let finding = unknown(used, tasks, id, findings.are_many());
                findings.add(finding);
            }
        }
        if let Some(place) = task.rule_place
            && !matches!(task.rule, TriggerRule::AllSuccess | TriggerRule::Always)
            && task.edges().next().is_none()
        {
            let message = format!("trigger_rule has no effect: task {id:?} waits for nothing");
            let finding = Finding::warning(codes::IDLE_TRIGGER_RULE, place, message);
            findings.add(
                finding
                    .path(format!("/tasks/{id}/trigger_rule"))
                    .fix("add needs, or remove it"),
            );
        }
    }
    for used in expressions.uses() {
        if !known.contains(used.task.as_str()) {
            let finding = unknown(used, tasks, "", findings.are_many());
            findings.add(finding);
        }
    }
    edges.sort_unstable();
    edges.dedup();
    if edges.len() > MAX_EDGES {
        let message = format!("there are {} edges; a workflow has at most {MAX_EDGES}", edges.len());
        findings.add(Finding::error(codes::TOO_MANY_TASKS, Place { line: 1, column: 1 }, message).path("/tasks"));
        return None;
    }
    match Graph::new(tasks.iter().map(|(id, _)| id.as_str()), edges) {
        Ok(graph) => Some(graph),
        Err(GraphError::Cycles(cycles)) => {
            for cycle in cycles {
                let place = cycle
                    .ids
                    .first()
                    .and_then(|id| find(tasks, id))
                    .map(|task| task.place)
                    .unwrap_or_default();
                let finding = Finding::error(codes::CYCLE, place, format!("cycle: {cycle}"));
                let path = format!("/tasks/{}", cycle.ids.first().map_or("", String::as_str));
                findings.add(finding.path(path).fix(break_here(tasks, &cycle.ids)));
            }
            None
        }
        // Keys are unique and unknown names were left out above.
        Err(GraphError::Duplicate(_) | GraphError::Unknown { .. }) => None,
    }
}

fn unknown(used: &Use, tasks: &[(String, RawTask)], except: &str, brief: bool) -> Finding {
    let finding = Finding::error(codes::UNKNOWN_TASK, used.place, format!("unknown task {:?}", used.task));
    let finding = finding.path(used.path.clone());
    if brief {
        return finding;
    }
    let others = tasks.iter().map(|(id, _)| id.as_str()).filter(|id| *id != except);
    match nearest(&used.task, others.clone()) {
        Some(near) => finding.fix(format!("did you mean {near:?}?")),
        None => {
            let mut names: Vec<&str> = others.take(13).collect();
            if names.len() > 12 {
                names[12] = "…";
            }
            finding.fix(match names.as_slice() {
                [] => "there is no other task".to_owned(),
                names => format!("the other tasks are {}", names.join(", ")),
            })
        }
    }
}

/// Where the cycle closes: the reference that leads back to its first task.
fn break_here(tasks: &[(String, RawTask)], cycle: &[String]) -> String {
    let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else {
        return String::new();
    };
    let reference = find(tasks, first).and_then(|task| task.edges().find(|used| used.task == *last));
    match reference {
        Some(used) => format!(
            "remove one of these edges; {first} needs {last} on line {}",
            used.place.line
        ),
        None => "remove one of these references".to_owned(),
    }
}

fn find<'t>(tasks: &'t [(String, RawTask)], id: &str) -> Option<&'t RawTask> {
    tasks.iter().find(|(known, _)| known == id).map(|(_, task)| task)
}

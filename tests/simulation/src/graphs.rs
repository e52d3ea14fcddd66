//! Random workflows: graphs, trigger rules, handlers, conditions, retries, limits and deliveries of every sort.

use std::sync::Arc;

use fastrand::Rng;
use nexus_engine::Plan;
use nexus_spec::Workflow;
use serde_json::{Map, Value, json};

/// Trigger rules with their weights; the usual one is the most frequent.
const RULES: &[(&str, u32)] = &[
    ("all_success", 24),
    ("all_failed", 1),
    ("all_done", 4),
    ("all_done_min_one_success", 1),
    ("all_skipped", 1),
    ("one_failed", 2),
    ("one_success", 1),
    ("one_done", 1),
    ("none_failed", 2),
    ("none_failed_min_one_success", 1),
    ("none_skipped", 1),
    ("always", 1),
];

/// The queues that tasks stand in.
pub const QUEUES: [&str; 2] = ["default", "other"];

/// A random workflow made ready to run.
///
/// # Panics
/// When the document that it makes is no workflow: that is a bug in here.
#[must_use]
pub fn plan(rng: &mut Rng, number: u32) -> Arc<Plan> {
    let tasks = match rng.u32(0..10) {
        0 => 1,
        1..=7 => rng.u32(2..9),
        _ => rng.u32(9..24),
    };
    let shape = rng.u32(0..4);
    let mut map = Map::new();
    for task in 0..tasks {
        map.insert(format!("t{task}"), Value::Object(self::task(rng, task, tasks, shape)));
    }
    let mut document = Map::new();
    document.insert("name".into(), json!(format!("w{number}")));
    document.insert("tasks".into(), Value::Object(map));
    if rng.u32(0..8) == 0 {
        document.insert("fail_fast".into(), json!(true));
    }
    if rng.u32(0..8) == 0 {
        document.insert("timeout".into(), json!(format!("{}s", rng.u32(1..40))));
    }
    let workflow: Workflow = serde_json::from_value(Value::Object(document)).expect("the document is a workflow");
    Arc::new(Plan::new(&workflow, 1).expect("the graph has no cycle"))
}

fn task(rng: &mut Rng, task: u32, tasks: u32, shape: u32) -> Map<String, Value> {
    let mut fields = Map::new();
    let needs = needs(rng, task, tasks, shape);
    if !needs.is_empty() {
        let total: u32 = RULES.iter().map(|(_, weight)| weight).sum();
        let mut chosen = rng.u32(0..total);
        let mut rule = RULES[0].0;
        for (name, weight) in RULES {
            if chosen < *weight {
                rule = name;
                break;
            }
            chosen -= weight;
        }
        fields.insert("trigger_rule".into(), json!(rule));
        handles(rng, &needs, &mut fields);
    }
    if rng.u32(0..10) == 0 {
        fields.insert("if".into(), json!("params.n > 3"));
    }
    if rng.u32(0..2) == 0 {
        let attempts = rng.u32(1..5);
        let retry = json!({"max_attempts": attempts, "initial_interval": "700ms", "backoff_coefficient": 2.0,
                           "max_interval": "5s", "jitter": 0.3});
        fields.insert("retry".into(), retry);
    }
    for (field, odds, text) in [
        ("timeout", 6, format!("{}s", rng.u32(1..20))),
        ("total_timeout", 12, format!("{}s", rng.u32(2..40))),
        ("schedule_to_start_timeout", 16, format!("{}s", rng.u32(1..20))),
    ] {
        if rng.u32(0..odds) == 0 {
            fields.insert(field.into(), json!(text));
        }
    }
    if rng.u32(0..8) == 0 {
        fields.insert("delivery".into(), json!("at_most_once"));
    }
    if rng.u32(0..10) == 0 {
        fields.insert("continue_on_error".into(), json!(true));
    }
    if rng.u32(0..5) == 0 {
        fields.insert("queue".into(), json!(QUEUES[1]));
    }
    fields.insert("priority".into(), json!(["high", "normal", "low"][rng.usize(0..3)]));
    // A reference is an edge too.
    let output = match needs.first() {
        Some(first) if rng.u32(0..4) == 0 => json!({"output": format!("{{{{ tasks.{first}.state }}}}")}),
        _ => json!({}),
    };
    fields.insert("needs".into(), json!(needs));
    fields.insert("noop".into(), output);
    fields
}

/// Makes a task a repair now and then, of some of the tasks that it needs, mostly under the rule of repairs. Failures
/// that are handled must be frequent enough to be told from those that are not.
fn handles(rng: &mut Rng, needs: &[String], fields: &mut Map<String, Value>) {
    if rng.u32(0..6) > 0 {
        return;
    }
    let handled: Vec<&String> = needs.iter().filter(|_| rng.u32(0..3) > 0).collect();
    fields.insert("handles".into(), json!(handled));
    if rng.u32(0..4) > 0 {
        fields.remove("trigger_rule");
    }
}

/// Tasks before this one: a chain, a star, layers, or anything.
fn needs(rng: &mut Rng, task: u32, tasks: u32, shape: u32) -> Vec<String> {
    let name = |task: u32| format!("t{task}");
    if task == 0 {
        return Vec::new();
    }
    match shape {
        0 => vec![name(task - 1)],
        1 if task + 1 == tasks => (1..task.max(2)).map(name).collect(),
        1 => vec![name(0)],
        _ => {
            let wanted = rng.u32(0..4.min(task + 1));
            let mut needs: Vec<u32> = (0..wanted).map(|_| rng.u32(0..task)).collect();
            needs.sort_unstable();
            needs.dedup();
            needs.into_iter().map(name).collect()
        }
    }
}

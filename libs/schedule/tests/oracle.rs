//! What others say: fire times that `oracle/generate.py` made with `cronsim` and by brute force over Python's zones.

use nexus_schedule::{DayMatch, DstPolicy, Plan, SECOND, Spec};
use serde_json::Value;

const CASES: &str = include_str!("oracle/cases.jsonl");

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn fire_times_are_those_that_other_programs_find_in_both_directions() {
    let mut differences = Vec::new();
    let mut count = 0;
    for line in CASES.lines() {
        let case: Vec<Value> = serde_json::from_str(line).expect("a line of JSON");
        let [zone, cron, policy, day_match, after, fires] = case.as_slice() else {
            panic!("{line}");
        };
        let spec = Spec {
            crons: vec![text(cron).to_owned()],
            timezone: text(zone).to_owned(),
            dst_policy: match text(policy) {
                "literal" => DstPolicy::Literal,
                _ => DstPolicy::Adjust,
            },
            day_match: match text(day_match) {
                "and" => DayMatch::And,
                _ => DayMatch::Or,
            },
            ..Spec::default()
        };
        let expected: Vec<i64> = serde_json::from_value(fires.clone()).expect("numbers");
        let plan = Plan::of(&spec).unwrap_or_else(|error| panic!("{line}: {error}"));
        let after = after.as_i64().expect("a number") * SECOND;
        let found: Vec<i64> = plan
            .after(after)
            .take(expected.len())
            .map(|at| at.expect("found") / SECOND)
            .collect();
        let mut back = Vec::new();
        let mut before = expected.last().expect("at least one") * SECOND + 1;
        for _ in &expected {
            before = plan.previous(before).expect("found").expect("there is one");
            back.insert(0, before / SECOND);
        }
        count += 1;
        if found != expected || back != expected {
            differences.push(format!("{line}\n  found {found:?}\n  back  {back:?}"));
        }
    }
    assert!(count >= 3_990, "only {count} cases");
    assert!(
        differences.is_empty(),
        "{} of {count} differ, such as\n{}",
        differences.len(),
        differences[..differences.len().min(8)].join("\n")
    );
}

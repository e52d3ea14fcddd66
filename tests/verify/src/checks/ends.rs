//! I8 for executions: how one ended is what its tasks say, by the rule of the version that concluded it.

use std::collections::BTreeSet;

use crate::Case;
use crate::database::Stored;
use crate::document::Document;
use crate::findings::{Findings, Invariant};
use crate::fold::number as n;

/// What ends an execution early.
const CANCELLED: i64 = 1;
const TIMED_OUT: i64 = 2;

/// The newest rule that is known here.
const NEWEST: i64 = 2;

/// The state of an end fits to the states of the tasks.
pub(super) fn fits(case: &Case, id: &str, stored: &Stored, findings: &mut Findings) {
    let Some(document) = case.database.document(stored) else {
        return;
    };
    let Some(end) = stored.events.iter().find(|event| event.kind == n::FINISHED) else {
        return;
    };
    // Versions that knew one rule wrote none down: what they concluded is judged by theirs, and nothing else is.
    let rule = end.data["rule"].as_i64().unwrap_or(1);
    findings.check(Invariant::Truth, id, (1..=NEWEST).contains(&rule), || {
        format!("its end was made by rule {rule}, which nobody knows")
    });
    let left = unhandled(document, stored, rule);
    let expression = end.data["failure"]["type"] == "Expression";
    let good = match stored.closing {
        CANCELLED => end.state == n::CANCELLED,
        TIMED_OUT => end.state == n::TIMED_OUT,
        _ if left.is_empty() => end.state == n::SUCCEEDED || (end.state == n::FAILED && expression),
        _ => end.state == n::FAILED,
    };
    findings.check(Invariant::Truth, id, good, || {
        format!(
            "it ended in state {} by rule {rule}, and the failures of {left:?} are unhandled",
            end.state
        )
    });
}

/// The tasks whose failure is one of the execution.
fn unhandled<'d>(document: &'d Document, stored: &Stored, rule: i64) -> Vec<&'d str> {
    let state = |position: usize| {
        let position = i64::try_from(position).unwrap_or(-1);
        stored.tasks.get(&position).map_or(n::TASK_IS_WAITING, |row| row.state)
    };
    let mut handled: BTreeSet<usize> = BTreeSet::new();
    for (position, task) in document.tasks.iter().enumerate() {
        if rule == 1 && state(position) == n::TASK_SUCCEEDED {
            if matches!(task.rule.as_str(), "one_failed" | "all_failed") {
                handled.extend(&task.needs);
            }
        } else if rule > 1 && matches!(state(position), n::TASK_SUCCEEDED | n::TASK_CACHED) {
            handled.extend(&task.handles);
        }
    }
    let tasks = document.tasks.iter().enumerate();
    let failed = tasks.filter(|(position, task)| {
        let failed = matches!(state(*position), n::TASK_FAILED | n::TASK_TIMED_OUT | n::TASK_UNKNOWN);
        failed && !task.continue_on_error && !handled.contains(position)
    });
    failed.map(|(_, task)| task.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::database::{Database, EventRow, TaskRow};

    const DOCUMENT: &str = r#"{"tasks":{"load":{"noop":null},
        "alarm":{"needs":["load"],"trigger_rule":"one_failed","noop":null},
        "repair":{"handles":["load"],"noop":null}}}"#;

    /// What is found of an execution whose `load` failed and that ended in a state by a rule.
    fn found(alarm: i64, repair: i64, state: i64, data: serde_json::Value) -> usize {
        let row = |state| TaskRow {
            state,
            ..TaskRow::default()
        };
        let stored = Stored {
            workflow: "w".into(),
            revision: 1,
            state,
            tasks: BTreeMap::from([(0, row(n::TASK_FAILED)), (1, row(alarm)), (2, row(repair))]),
            events: vec![EventRow {
                sequence: 1,
                at: 1,
                kind: n::FINISHED,
                task: -1,
                attempt: 0,
                state,
                data,
            }],
            ..Stored::default()
        };
        let case = Case {
            database: Database {
                documents: BTreeMap::from([(("w".to_owned(), 1), Document::parse(DOCUMENT).expect("document"))]),
                ..Database::default()
            },
            witness: crate::witness::Log::default(),
            ledger: crate::ledger::Calls::default(),
            shards: Vec::new(),
            has_witness: false,
            has_ledger: false,
            quiet_since: None,
            lazy_ns: 0,
            wrong_clocks: false,
        };
        let mut findings = Findings::default();
        fits(&case, "e", &stored, &mut findings);
        findings.breaches().len()
    }

    #[test]
    fn an_end_is_judged_by_the_rule_that_made_it() {
        let (new, old) = (json!({"rule": 2}), json!({}));
        let (well, skipped) = (n::TASK_SUCCEEDED, n::TASK_SKIPPED);
        assert_eq!(found(well, skipped, n::FAILED, new.clone()), 0);
        assert_eq!(
            found(well, skipped, n::SUCCEEDED, new.clone()),
            1,
            "an alarm is not a repair"
        );
        assert_eq!(found(well, skipped, n::SUCCEEDED, old), 0, "before, it was one");
        assert_eq!(found(skipped, well, n::SUCCEEDED, new.clone()), 0);
        assert_eq!(found(skipped, n::TASK_CACHED, n::SUCCEEDED, new.clone()), 0);
        assert_eq!(found(skipped, well, n::FAILED, new), 1, "it was repaired");
        assert_eq!(found(well, well, n::SUCCEEDED, json!({"rule": 3})), 1);
    }
}

//! I8: what is stored as a success is what a task really gave.

use serde_json::Value;

use crate::Case;
use crate::database::Stored;
use crate::findings::{Findings, Invariant};
use crate::fold::{Folded, number as n};

/// Outputs stand where something succeeded, and nowhere else.
pub(super) fn stored(id: &str, stored: &Stored, folded: &Folded, findings: &mut Findings) {
    for (position, task) in &folded.tasks {
        let has = stored.outputs.contains_key(position);
        let succeeded = task.state == n::TASK_SUCCEEDED;
        findings.check(Invariant::Truth, id, has == succeeded, || {
            format!("task {position} has state {} and an output: {has}", task.state)
        });
    }
    for position in stored.outputs.keys().filter(|position| **position >= 0) {
        let known = folded.tasks.contains_key(position);
        findings.check(Invariant::Truth, id, known, || {
            format!("an output stands at {position}, where nothing ever happened")
        });
    }
}

/// A task that succeeded has told the witness so in that attempt, with the output that is stored.
pub(super) fn witnessed(case: &Case, findings: &mut Findings) {
    for (id, stored) in &case.database.executions {
        let Some(document) = case.database.document(stored) else {
            continue;
        };
        let successes = stored
            .events
            .iter()
            .filter(|event| event.kind == n::TASK_FINISHED && event.state == n::TASK_SUCCEEDED);
        for event in successes {
            let place = usize::try_from(event.task).ok();
            let Some(task) = place.and_then(|place| document.tasks.get(place)) else {
                continue;
            };
            if !task.witnessed {
                continue;
            }
            let output: Value = stored
                .outputs
                .get(&event.task)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let nonce = output["nonce"].as_str().unwrap_or_default();
            let told = case.witness.of(id, &task.id).iter().any(|run| {
                let end = run.end.as_ref();
                run.run.attempt == event.attempt
                    && end.is_some_and(|end| end.ok && !end.nonce.is_empty() && end.nonce == nonce)
            });
            findings.check(Invariant::Truth, id, told, || {
                format!(
                    "{} attempt {} is stored as a success with {output}, and told the witness of no such end",
                    task.id, event.attempt
                )
            });
        }
    }
}

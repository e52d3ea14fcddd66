//! I6: a task begins after the tasks that it needs.

use std::collections::BTreeMap;

use crate::Case;
use crate::database::Stored;
use crate::document::{Document, TaskDocument};
use crate::findings::{Findings, Invariant};
use crate::fold::number as n;

/// How needed tasks stand at some moment.
#[derive(Debug, Default)]
struct Needs {
    open: u32,
    succeeded: u32,
    failed: u32,
    skipped: u32,
}

/// By the history: when a task becomes ready its trigger rule holds.
pub(super) fn rules(case: &Case, id: &str, stored: &Stored, findings: &mut Findings) {
    let Some(document) = case.database.document(stored) else {
        return;
    };
    let mut ended: BTreeMap<i64, i64> = BTreeMap::new();
    for event in &stored.events {
        let place = usize::try_from(event.task).ok();
        match event.kind {
            n::TASK_FINISHED => drop(ended.insert(event.task, event.state)),
            n::TASK_SCHEDULED => {
                let Some(task) = place.and_then(|place| document.tasks.get(place)) else {
                    continue;
                };
                let needs = count(document, task, &ended);
                // What handles failures waits for all that it handles, whatever its rule.
                let mut handled = task.handles.iter().filter_map(|handled| i64::try_from(*handled).ok());
                let over = handled.all(|handled| ended.contains_key(&handled));
                findings.check(Invariant::Order, id, over && holds(&task.rule, &needs), || {
                    format!("{} became ready under {} over {needs:?}", task.id, task.rule)
                });
            }
            _ => {}
        }
    }
}

fn count(document: &Document, task: &TaskDocument, ended: &BTreeMap<i64, i64>) -> Needs {
    let mut needs = Needs::default();
    for needed in &task.needs {
        let state = i64::try_from(*needed).ok().and_then(|needed| ended.get(&needed));
        let forgiven = document.tasks[*needed].continue_on_error;
        match state {
            None => needs.open += 1,
            Some(&(n::TASK_SUCCEEDED | n::TASK_CACHED)) => needs.succeeded += 1,
            Some(&n::TASK_SKIPPED) => needs.skipped += 1,
            Some(&(n::TASK_FAILED | n::TASK_TIMED_OUT | n::TASK_UNKNOWN)) if forgiven => needs.succeeded += 1,
            Some(_) => needs.failed += 1,
        }
    }
    needs
}

fn holds(rule: &str, needs: &Needs) -> bool {
    let Needs {
        open,
        succeeded,
        failed,
        skipped,
    } = *needs;
    match rule {
        "all_success" => open + failed + skipped == 0,
        "all_failed" => open + succeeded + skipped == 0,
        "all_done" => open == 0,
        "all_done_min_one_success" => open == 0 && succeeded > 0,
        "all_skipped" => open + succeeded + failed == 0,
        "one_failed" => failed > 0,
        "one_success" => succeeded > 0,
        "one_done" => succeeded + failed > 0,
        "none_failed" => open + failed == 0,
        "none_failed_min_one_success" => open + failed == 0 && succeeded > 0,
        "none_skipped" => open + skipped == 0,
        "always" => true,
        _ => false,
    }
}

/// By the witness: under `all_success` a run begins after a good end of every task that it needs.
pub(super) fn witnessed(case: &Case, findings: &mut Findings) {
    for ((id, task), runs) in &case.witness.runs {
        let Some(stored) = case.database.executions.get(id) else {
            continue;
        };
        let Some(document) = case.database.document(stored) else {
            continue;
        };
        let Some(position) = document.position(task) else {
            continue;
        };
        let planned = &document.tasks[position];
        if planned.rule != "all_success" {
            continue;
        }
        for needed in planned.needs.iter().map(|needed| &document.tasks[*needed]) {
            // A forgiven failure counts as a success and has no good end.
            if !needed.witnessed || needed.continue_on_error {
                continue;
            }
            let ends = case.witness.of(id, &needed.id).iter();
            let first = ends
                .filter_map(|run| run.end.as_ref().filter(|end| end.ok).map(|end| end.seq))
                .min();
            for run in runs {
                let after = first.is_some_and(|first| first < run.begin_seq);
                findings.check(Invariant::Order, id, after, || {
                    format!(
                        "{task} attempt {} began before {} had ended well",
                        run.run.attempt, needed.id
                    )
                });
            }
        }
    }
}

//! Checks what tasks say of failures: handlers that can never handle, and tasks that react to failures which stay
//! failures of the execution.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::tasks::RawTask;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::TriggerRule;

/// Most tasks that one message lists.
const MAX_LISTED: usize = 20;

/// Checks every task; edges and names are checked elsewhere.
pub(super) fn check(tasks: &[(String, RawTask)], findings: &mut Findings) {
    let by_id: HashMap<&str, &RawTask> = tasks.iter().map(|(id, task)| (id.as_str(), task)).collect();
    let handled: HashSet<&str> = tasks
        .iter()
        .flat_map(|(_, task)| task.handles.iter().flatten())
        .map(|used| used.task.as_str())
        .collect();
    for (id, task) in tasks {
        match &task.handles {
            Some(handles) if !handles.is_empty() => handler(id, task, &by_id, findings),
            // It was said that it handles nothing: an alarm.
            Some(_) => {}
            None => unhandled(id, task, &by_id, &handled, findings),
        }
    }
}

/// A task that names what it handles must be able to run after a failure of it.
fn handler(id: &str, task: &RawTask, by_id: &HashMap<&str, &RawTask>, findings: &mut Findings) {
    let others: BTreeSet<&str> = task.edges().map(|used| used.task.as_str()).collect();
    let never = match task.rule {
        TriggerRule::AllSuccess
        | TriggerRule::AllSkipped
        | TriggerRule::NoneFailed
        | TriggerRule::NoneFailedMinOneSuccess => true,
        // One task cannot both fail and succeed.
        TriggerRule::AllDoneMinOneSuccess | TriggerRule::OneSuccess => others.len() == 1,
        _ => false,
    };
    if let Some(place) = task.rule_place.filter(|_| never) {
        let word = word(task.rule);
        let message =
            format!("task {id:?} never runs after a failure under trigger_rule: {word}, so it handles nothing");
        let finding = Finding::error(codes::IDLE_HANDLER, place, message).path(format!("/tasks/{id}/trigger_rule"));
        findings.add(finding.fix("remove trigger_rule: a task with handles runs when one of them failed"));
    }
    for used in task.handles.iter().flatten() {
        let forgiven = by_id.get(used.task.as_str()).is_some_and(|task| task.continue_on_error);
        if forgiven {
            let name = &used.task;
            let message = format!(
                "there is nothing to handle: {name:?} has continue_on_error, and its failure counts as a success"
            );
            let finding = Finding::error(codes::IDLE_HANDLER, used.place, message).path(used.path.clone());
            findings.add(finding.fix(format!("remove continue_on_error from {name}, or {name} from handles")));
        }
    }
}

/// A task that asks for failures was once taken to have handled them when it succeeded.
fn unhandled(
    id: &str,
    task: &RawTask,
    by_id: &HashMap<&str, &RawTask>,
    handled: &HashSet<&str>,
    findings: &mut Findings,
) {
    if !matches!(task.rule, TriggerRule::OneFailed | TriggerRule::AllFailed) {
        return;
    }
    let Some(place) = task.rule_place else { return };
    let mut listed = HashSet::new();
    let left: Vec<&str> = task
        .edges()
        .map(|used| used.task.as_str())
        .filter(|name| *name != id && !handled.contains(name) && listed.insert(*name))
        .filter(|name| by_id.get(name).is_some_and(|task| !task.continue_on_error))
        .collect();
    if left.is_empty() {
        return;
    }
    let mut names = left.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    if left.len() > MAX_LISTED {
        names.push_str(", …");
    }
    let message = format!("task {id:?} reacts to a failure of {names}, and the execution is FAILED all the same");
    let fix =
        format!("if {id} repairs the failure, add to it: handles: [{names}]; if it only tells of it, add: handles: []");
    let finding = Finding::warning(codes::UNHANDLED, place, message).path(format!("/tasks/{id}/trigger_rule"));
    findings.add(finding.fix(fix));
}

/// A rule as the file spells it.
fn word(rule: TriggerRule) -> String {
    let value = serde_json::to_value(rule).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

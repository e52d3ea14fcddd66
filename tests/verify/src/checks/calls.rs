//! What callers were promised: I1, and the calls' part of I8.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Findings, Invariant};
use crate::fold::number as n;
use crate::ledger::{Call, Called, Stage};
use crate::{Case, fold};

/// Every acknowledged start has its execution, a key has one at most, and none comes from nowhere.
pub(super) fn starts(case: &Case, findings: &mut Findings) {
    let mut by_key: BTreeMap<&str, Vec<&Called>> = BTreeMap::new();
    for called in case.ledger.of(Call::Start) {
        by_key.entry(&called.subject.request_id).or_default().push(called);
        let counter = match called.stage {
            Stage::Ok => "starts_ok",
            Stage::Fail => "starts_fail",
            Stage::Info | Stage::Invoke => "starts_info",
        };
        findings.count(counter, 1);
    }
    findings.count("keys", by_key.len() as u64);
    for (key, calls) in &by_key {
        key_is_kept(case, key, calls, findings);
    }
    let mut named: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (key, execution) in &case.database.requests {
        named.entry(execution).or_default().push(key);
        let exists = case.database.executions.contains_key(execution);
        findings.check(Invariant::DurableStart, execution, exists, || {
            format!("key {key} names an execution that does not exist")
        });
    }
    for id in case.database.executions.keys() {
        let keys = named.get(id).map_or(0, Vec::len);
        findings.check(Invariant::DurableStart, id, keys == 1, || {
            format!("{keys} keys name this execution; every client of the test gave it exactly one")
        });
        let asked = named
            .get(id)
            .is_some_and(|keys| keys.iter().all(|key| by_key.contains_key(key.as_str())));
        findings.check(Invariant::DurableStart, id, asked, || {
            "no client asked for this execution".to_owned()
        });
    }
}

fn key_is_kept(case: &Case, key: &str, calls: &[&Called], findings: &mut Findings) {
    let stored = case.database.requests.get(key);
    let acknowledged: BTreeSet<&str> = calls
        .iter()
        .filter(|called| called.stage == Stage::Ok)
        .map(|called| called.subject.execution.as_str())
        .collect();
    findings.count("keys_ok", u64::from(!acknowledged.is_empty()));
    let subject = acknowledged.first().copied().unwrap_or_default().to_owned();
    findings.check(Invariant::DurableStart, &subject, acknowledged.len() <= 1, || {
        format!("key {key} was answered with several executions: {acknowledged:?}")
    });
    for execution in &acknowledged {
        let kept =
            stored.is_some_and(|stored| stored == execution) && case.database.executions.contains_key(*execution);
        findings.check(Invariant::DurableStart, execution, kept, || {
            format!("the start with key {key} was acknowledged, the store has {stored:?} for it")
        });
    }
    let refused = calls.iter().all(|called| called.stage == Stage::Fail);
    findings.check(
        Invariant::DurableStart,
        &subject,
        !(refused && stored.is_some()),
        || format!("the start with key {key} was refused, and exists all the same"),
    );
}

/// A cancel that was acknowledged is in the history, unless the execution had ended before the answer.
pub(super) fn cancels(case: &Case, findings: &mut Findings) {
    for called in case.ledger.of(Call::Cancel) {
        let id = &called.subject.execution;
        findings.count("cancels_ok", u64::from(called.stage == Stage::Ok));
        if called.stage != Stage::Ok {
            continue;
        }
        let stored = case.database.executions.get(id);
        let cancelling = stored.is_some_and(|stored| stored.events.iter().any(|event| event.kind == n::CANCELLING));
        let ended = stored
            .and_then(|stored| stored.finished_at)
            .is_some_and(|at| at.saturating_mul(1_000) <= called.answered_ns);
        findings.check(Invariant::DurableStart, id, cancelling || ended, || {
            "its cancel was acknowledged, and it neither was cancelled nor had it ended".to_owned()
        });
    }
}

/// A report that was accepted has closed its attempt.
pub(super) fn reports(case: &Case, findings: &mut Findings) {
    for called in case.ledger.of(Call::Report) {
        let subject = &called.subject;
        let counter = match (called.stage, called.value.as_str()) {
            (Stage::Ok, "accepted") => "reports_accepted",
            (Stage::Ok, "stale") => "reports_stale",
            _ => "reports_other",
        };
        findings.count(counter, 1);
        if counter != "reports_accepted" {
            continue;
        }
        let stored = case.database.executions.get(&subject.execution);
        let document = stored.and_then(|stored| case.database.document(stored));
        let position = document.and_then(|document| document.position(&subject.task));
        let closed = stored.zip(position).is_some_and(|(stored, position)| {
            stored.events.iter().any(|event| {
                usize::try_from(event.task).ok() == Some(position)
                    && event.attempt == subject.attempt
                    && matches!(event.kind, n::TASK_RETRYING | n::TASK_LOST | n::TASK_FINISHED)
            })
        });
        findings.check(Invariant::Truth, &subject.execution, closed, || {
            format!(
                "the report of {} attempt {} was accepted and is in no event",
                subject.task, subject.attempt
            )
        });
    }
    let open = |id: &String| {
        let stored = case.database.executions.get(id);
        stored.is_some_and(|stored| stored.tasks.values().any(|task| !fold::is_terminal(task.state)))
    };
    let open = case.database.executions.keys().filter(|id| open(id)).count();
    findings.count("executions_open", open as u64);
}

//! Attempts: given out once (I3), never unasked and never too often (I4), overlapping only with a cause (I5).

use std::collections::BTreeMap;

use super::history::closes;
use crate::Case;
use crate::database::Stored;
use crate::findings::{Findings, Invariant};
use crate::fold::{Folded, number as n};
use crate::witness::Witnessed;

/// Losses after which a task is given up.
const MAX_INFRA_LOSSES: i64 = 5;

/// What the history alone says of attempts.
pub(super) fn bounds(case: &Case, id: &str, stored: &Stored, folded: &Folded, findings: &mut Findings) {
    let mut grants: BTreeMap<(i64, i64), u32> = BTreeMap::new();
    for event in stored.events.iter().filter(|event| event.kind == n::TASK_STARTED) {
        *grants.entry((event.task, event.attempt)).or_default() += 1;
    }
    for ((task, attempt), times) in grants {
        findings.check(Invariant::UniqueGrant, id, times == 1, || {
            format!("task {task} attempt {attempt} was given out {times} times")
        });
    }
    let document = case.database.document(stored);
    findings.check(Invariant::NoGhosts, id, document.is_some(), || {
        format!("revision {} of {} does not exist", stored.revision, stored.workflow)
    });
    let Some(document) = document else { return };
    for (position, task) in &folded.tasks {
        let planned = usize::try_from(*position)
            .ok()
            .and_then(|place| document.tasks.get(place));
        let Some(planned) = planned else {
            findings.check(Invariant::NoGhosts, id, false, || {
                format!("task {position} is not in the revision")
            });
            continue;
        };
        let spent = task.leases - task.returned;
        findings.check(Invariant::NoGhosts, id, spent <= planned.max_attempts, || {
            format!("{} spent {spent} attempts of {}", planned.id, planned.max_attempts)
        });
        findings.check(Invariant::NoGhosts, id, task.infra_losses <= MAX_INFRA_LOSSES, || {
            format!("{} was lost {} times", planned.id, task.infra_losses)
        });
        findings.count("infra_losses", u64::try_from(task.infra_losses).unwrap_or(0));
        findings.count("returned", u64::try_from(task.returned).unwrap_or(0));
        findings.count("unknown", u64::from(task.state == n::TASK_UNKNOWN));
        findings.count("retries", u64::try_from(spent - 1).unwrap_or(0));
    }
}

/// Every run was given out, and once in a life.
pub(super) fn witnessed(case: &Case, findings: &mut Findings) {
    for odd in &case.witness.odd {
        findings.check(Invariant::NoGhosts, "", false, || format!("the witness: {odd}"));
    }
    for ((id, task), runs) in &case.witness.runs {
        let mut begins: BTreeMap<(i64, &str), u32> = BTreeMap::new();
        for run in runs {
            *begins.entry((run.run.attempt, &run.run.life)).or_default() += 1;
            was_given_out(case, id, task, run, findings);
        }
        for ((attempt, life), times) in begins {
            findings.check(Invariant::UniqueGrant, id, times == 1, || {
                format!("{task} attempt {attempt} began {times} times in life {life}")
            });
        }
    }
}

fn was_given_out(case: &Case, id: &str, task: &str, run: &Witnessed, findings: &mut Findings) {
    let known = case.database.executions.get(id).and_then(|stored| {
        let document = case.database.document(stored)?;
        Some((stored, i64::try_from(document.position(task)?).ok()?))
    });
    findings.check(Invariant::NoGhosts, id, known.is_some(), || {
        format!("{task} began, and the store knows no such execution or task")
    });
    let Some((stored, position)) = known else { return };
    let started = stored
        .events
        .iter()
        .any(|event| event.kind == n::TASK_STARTED && event.task == position && event.attempt == run.run.attempt);
    if started {
        return findings.check(Invariant::NoGhosts, id, true, String::new);
    }
    // A lease is stored with a later commit: a process that dies in between takes the memory of it along.
    let window = case.witness.killed(&run.run).map(|killed| killed - run.begin_ns);
    let excused = window.is_some_and(|window| window <= case.lazy_ns);
    findings.check(Invariant::NoGhosts, id, excused, || {
        format!(
            "{task} attempt {} began in life {} and has no TASK_STARTED; its process died {} later",
            run.run.attempt,
            run.run.life,
            window.map_or_else(|| "never".to_owned(), |window| format!("{} ms", window / 1_000_000))
        )
    });
    if excused {
        findings.count("begins_before_their_lease_was_stored", 1);
        let millis = window.map_or(0, |window| u64::try_from(window / 1_000_000).unwrap_or(0));
        findings.largest("longest_unstored_lease_ms", millis);
    }
}

/// Two runs of a task overlap only when the first one's process died or its lease was over.
pub(super) fn overlap(case: &Case, findings: &mut Findings) {
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
        let place = i64::try_from(position).unwrap_or(-1);
        for (index, later) in runs.iter().enumerate() {
            for earlier in &runs[..index] {
                let over = earlier.end.as_ref().is_some_and(|end| end.seq < later.begin_seq);
                let cause = over || has_cause(case, stored, place, earlier, later);
                findings.check(Invariant::Overlap, id, cause, || {
                    format!(
                        "{task} attempt {} (life {}) began while attempt {} (life {}) ran, without a cause",
                        later.run.attempt, later.run.life, earlier.run.attempt, earlier.run.life
                    )
                });
                findings.count("runs_repeated", u64::from(cause));
                findings.count("runs_repeated_while_the_first_was_not_over", u64::from(!over && cause));
            }
        }
        if document.tasks[position].at_most_once {
            // What the worker itself reported as failed is tried again by the policy; nothing else is.
            let retried = stored
                .events
                .iter()
                .filter(|event| event.kind == n::TASK_RETRYING && event.task == place);
            let allowed = 1 + retried.count();
            findings.check(Invariant::Overlap, id, runs.len() <= allowed, || {
                format!(
                    "{task} is at_most_once and began {} times, {allowed} allowed",
                    runs.len()
                )
            });
            findings.count("at_most_once_runs", runs.len() as u64);
        }
    }
}

fn has_cause(case: &Case, stored: &Stored, task: i64, earlier: &Witnessed, later: &Witnessed) -> bool {
    let other_life = earlier.run.life != later.run.life;
    // Either the first one's process was dead, or the second is itself a straggler of a process that was.
    let dead = |run| case.witness.killed(run).is_some_and(|killed| killed <= later.begin_ns);
    let killed = dead(&earlier.run) || dead(&later.run);
    let closed = |run: &Witnessed| {
        stored.events.iter().any(|event| {
            closes(event.kind)
                && event.task == task
                && event.attempt == run.run.attempt
                && event.at.saturating_mul(1_000) <= later.begin_ns
        })
    };
    let (first, second) = (earlier.run.attempt, later.run.attempt);
    // The usual order; and a word of a closed attempt that was under way for longer than its successor's.
    let over = (first < second && closed(earlier)) || (second < first && closed(later));
    (other_life && killed) || over
}

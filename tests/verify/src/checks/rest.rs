//! The end: what is terminal stays so (I7), everything ends (I2), nothing is left over (I12).

use crate::Case;
use crate::database::Stored;
use crate::findings::{Findings, Invariant};
use crate::fold::{self, number as n};

/// How long a word to the witness may be under way.
const UNDER_WAY_NS: i64 = 1_000_000_000;

/// Nothing follows the end of an execution, and it has one end.
pub(super) fn terminal(case: &Case, id: &str, stored: &Stored, findings: &mut Findings) {
    let end = stored.events.iter().position(|event| event.kind == n::FINISHED);
    let last = end.is_none_or(|end| end + 1 == stored.events.len());
    findings.check(Invariant::Terminal, id, last, || {
        "the history goes on after the end".to_owned()
    });
    let is_terminal = stored.state >= n::FIRST_TERMINAL;
    findings.check(
        Invariant::Terminal,
        id,
        is_terminal == stored.finished_at.is_some(),
        || format!("state {} and finished_at {:?}", stored.state, stored.finished_at),
    );
    if case.quiet_since.is_some() {
        findings.check(Invariant::Liveness, id, is_terminal, || {
            format!("it is in state {} after everything has become quiet", stored.state)
        });
    }
    if is_terminal {
        let tasks = case
            .database
            .document(stored)
            .map_or(0, |document| document.tasks.len());
        let ended = stored.tasks.values().filter(|task| fold::is_terminal(task.state));
        let ended = ended.count();
        findings.check(Invariant::NothingLeft, id, ended == tasks, || {
            format!("it has ended, and {ended} of its {tasks} tasks have")
        });
    }
}

/// No run begins after its execution has ended, nor a run of a task that was not to run.
pub(super) fn after_the_end(case: &Case, findings: &mut Findings) {
    for ((id, task), runs) in &case.witness.runs {
        let Some(stored) = case.database.executions.get(id) else {
            continue;
        };
        let position = case
            .database
            .document(stored)
            .and_then(|document| document.position(task))
            .and_then(|position| i64::try_from(position).ok());
        let state = position
            .and_then(|position| stored.tasks.get(&position))
            .map(|row| row.state);
        let ran = !matches!(state, Some(n::TASK_SKIPPED | n::TASK_UPSTREAM_FAILED));
        findings.check(Invariant::Terminal, id, ran, || {
            format!("{task} ran although it was not to run")
        });
        let Some(finished) = stored.finished_at.map(|at| at.saturating_mul(1_000)) else {
            continue;
        };
        for run in runs {
            // A process that was dead or frozen by then leaves stragglers; what they report is stale.
            let excused = case
                .witness
                .killed(&run.run)
                .is_some_and(|killed| killed <= run.begin_ns)
                || case.witness.was_stopped_before(&run.run, run.begin_ns);
            // So does a run that was stopped while its word was under way: then it never ended by its own word.
            let under_way = stored.closing != 0 && run.end.is_none() && run.begin_ns - finished <= UNDER_WAY_NS;
            let excused = excused || under_way;
            let before = case.wrong_clocks || run.begin_ns <= finished;
            findings.check(Invariant::Terminal, id, before || excused, || {
                format!(
                    "{task} attempt {} began {} ms after the execution had ended",
                    run.run.attempt,
                    (run.begin_ns - finished) / 1_000_000
                )
            });
            findings.count("stragglers_after_the_end", u64::from(!before && excused));
        }
    }
}

/// No row stands without its execution, and no execution without its params.
pub(super) fn nothing_left(case: &Case, findings: &mut Findings) {
    let orphans = &case.database.orphans;
    findings.check(Invariant::NothingLeft, "", orphans.is_empty(), || {
        format!("rows without an execution: {orphans:?}")
    });
    for (id, stored) in &case.database.executions {
        findings.check(Invariant::NothingLeft, id, stored.has_params, || {
            "its params are missing".to_owned()
        });
    }
    if let Some(quiet) = case.quiet_since {
        let late = case.ledger.calls.iter().filter(|called| called.answered_ns > quiet);
        let late = late.count();
        findings.check(Invariant::Liveness, "", late == 0, || {
            format!("{late} calls were answered after the moment that is said to be quiet")
        });
    }
}

//! What the database says of itself: I9 and I10.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Case;
use crate::database::{Stored, TaskRow};
use crate::findings::{Findings, Invariant};
use crate::fold::{Folded, number as n};

/// All shards have one owner under one epoch, and every life that became ready has raised it.
pub(super) fn shards(case: &Case, findings: &mut Findings) {
    let owners: BTreeSet<(&String, i64)> = case
        .database
        .shards
        .iter()
        .map(|(_, owner, epoch)| (owner, *epoch))
        .collect();
    findings.check(Invariant::SingleWriter, "", owners.len() <= 1, || {
        format!("the shards have several owners in one process: {owners:?}")
    });
    let epoch = owners.first().map_or(0, |(_, epoch)| *epoch);
    let ready = case.witness.lives.values().filter(|life| life.ready).count();
    findings.check(
        Invariant::SingleWriter,
        "",
        usize::try_from(epoch).is_ok_and(|epoch| epoch >= ready),
        || format!("the epoch is {epoch} after {ready} lives that claimed the shards"),
    );
    let numbers = case.database.shards.iter().map(|(id, _, _)| *id);
    let whole = case.database.shards.is_empty() || numbers.eq(0..64);
    findings.check(Invariant::SingleWriter, "", whole, || {
        "some shards have no owner".to_owned()
    });
}

/// The history counts 1..n and the execution's row says n.
pub(super) fn sequence(id: &str, stored: &Stored, findings: &mut Findings) {
    let numbers = stored.events.iter().map(|event| event.sequence);
    let count = i64::try_from(stored.events.len()).unwrap_or(i64::MAX);
    findings.check(Invariant::SingleWriter, id, numbers.eq(1..=count), || {
        "the history has gaps".to_owned()
    });
    findings.check(Invariant::SingleWriter, id, stored.sequence == count, || {
        format!("the row is at event {}, the history at {count}", stored.sequence)
    });
    let last_byte = id.get(34..).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    findings.check(
        Invariant::SingleWriter,
        id,
        last_byte.map(|byte| byte % 64) == Some(stored.shard),
        || format!("it stands in shard {}, which is not its id's", stored.shard),
    );
}

/// Folding the history gives the rows.
pub(super) fn replay(id: &str, stored: &Stored, folded: &Folded, findings: &mut Findings) {
    for problem in &folded.illegal {
        findings.check(Invariant::Replay, id, false, || problem.clone());
    }
    let pairs: [(&str, Value, Value); 7] = [
        ("state", stored.state.into(), folded.state.into()),
        ("closing", stored.closing.into(), folded.closing.into()),
        (
            "closing_reason",
            stored.closing_reason.clone().into(),
            folded.closing_reason.clone().into(),
        ),
        ("created_at", stored.created_at.into(), folded.created_at.into()),
        ("started_at", stored.started_at.into(), folded.started_at.into()),
        ("finished_at", stored.finished_at.into(), folded.finished_at.into()),
        (
            "failure",
            stored.failure.clone().unwrap_or_default(),
            folded.failure.clone().unwrap_or_default(),
        ),
    ];
    for (what, row, history) in pairs {
        findings.check(Invariant::Replay, id, row == history, || {
            format!("{what} is {row} in the row and {history} by the history")
        });
    }
    let positions: BTreeSet<i64> = stored.tasks.keys().chain(folded.tasks.keys()).copied().collect();
    for position in positions {
        let (row, history) = (stored.tasks.get(&position), folded.tasks.get(&position));
        findings.check(Invariant::Replay, id, row == history, || {
            format!("task {position} {}", difference(row, history))
        });
    }
}

fn difference(row: Option<&TaskRow>, history: Option<&TaskRow>) -> String {
    match (row, history) {
        (Some(row), Some(history)) => format!("is {row:?} in the row and {history:?} by the history"),
        (Some(_), None) => "has a row and no history".to_owned(),
        _ => "has a history and no row".to_owned(),
    }
}

/// Whether an event closes an attempt.
pub(super) fn closes(kind: i64) -> bool {
    matches!(kind, n::TASK_RETRYING | n::TASK_LOST | n::TASK_FINISHED)
}

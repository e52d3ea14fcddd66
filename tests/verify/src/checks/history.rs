//! What the database says of itself: I9 and I10.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Case;
use crate::database::{Stored, TaskRow};
use crate::findings::{Findings, Invariant};
use crate::fold::{Folded, number as n};

/// Who owns the shards: one process, or the replicas of a mesh.
pub(super) fn shards(case: &Case, findings: &mut Findings) {
    match &case.database.replicas {
        None => one_owner(case, findings),
        Some(replicas) => {
            shared(case, replicas, findings);
            course(case, findings);
        }
    }
    let numbers = case.database.shards.iter().map(|(id, _, _)| *id);
    let whole = case.database.shards.is_empty() || numbers.eq(0..64);
    findings.check(Invariant::SingleWriter, "", whole, || {
        "some shards have no owner".to_owned()
    });
}

/// All shards have one owner under one epoch, and every life that became ready has raised it.
fn one_owner(case: &Case, findings: &mut Findings) {
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
}

/// After quiet every shard is owned by a replica that is there, if any is.
fn shared(case: &Case, replicas: &BTreeSet<String>, findings: &mut Findings) {
    if case.quiet_since.is_none() || replicas.is_empty() {
        return;
    }
    for (shard, owner, epoch) in &case.database.shards {
        findings.check(Invariant::SingleWriter, "", replicas.contains(owner), || {
            format!("shard {shard} (epoch {epoch}) is owned by {owner:?}, which is none of the replicas {replicas:?}")
        });
    }
}

/// What was seen of the shards: their epochs never fell, and none had two owners under one epoch.
fn course(case: &Case, findings: &mut Findings) {
    let mut last: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    let now = case.database.shards.iter();
    let now = now.map(|(shard, owner, epoch)| (*shard, owner, *epoch));
    let seen = case.shards.iter().map(|seen| (seen.shard, &seen.owner, seen.epoch));
    for (shard, owner, epoch) in seen.chain(now) {
        let (before, of) = last.entry(shard).or_default();
        findings.check(Invariant::SingleWriter, "", epoch >= *before, || {
            format!("the epoch of shard {shard} fell from {before} to {epoch}")
        });
        if epoch > *before {
            of.clear();
            findings.count("shards_changed_hands", u64::from(*before > 0));
        }
        let same = owner.is_empty() || of.is_empty() || of == owner;
        findings.check(Invariant::SingleWriter, "", same, || {
            format!("shard {shard} was owned by {of} and by {owner} under epoch {epoch}")
        });
        *before = epoch;
        if !owner.is_empty() {
            of.clone_from(owner);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::shards::Seen;

    /// A mesh in which `a` owns everything under epoch 3, after what was seen.
    fn mesh(seen: &[(i64, &str, i64)]) -> Case {
        let seen = seen.iter().map(|(shard, owner, epoch)| Seen {
            shard: *shard,
            owner: (*owner).to_owned(),
            epoch: *epoch,
        });
        Case {
            database: Database {
                shards: (0..64).map(|shard| (shard, "a".to_owned(), 3)).collect(),
                replicas: Some(BTreeSet::from(["a".to_owned()])),
                ..Database::default()
            },
            witness: crate::witness::Log::default(),
            ledger: crate::ledger::Calls::default(),
            shards: seen.collect(),
            has_witness: false,
            has_ledger: false,
            quiet_since: Some(0),
            lazy_ns: 0,
            wrong_clocks: false,
        }
    }

    fn problems(case: &Case) -> Vec<String> {
        let mut findings = Findings::default();
        shards(case, &mut findings);
        findings
            .breaches()
            .iter()
            .map(|breach| breach.problem.clone())
            .collect()
    }

    #[test]
    fn shards_that_change_hands_under_new_epochs_are_sound() {
        let sound = mesh(&[(7, "", 0), (7, "b", 1), (7, "", 1), (7, "c", 2), (7, "", 2)]);
        assert_eq!(problems(&sound), Vec::<String>::new());
    }

    #[test]
    fn epochs_that_fall_and_two_owners_under_one_epoch_are_found() {
        assert!(problems(&mesh(&[(7, "a", 4)]))[0].contains("fell from 4 to 3"));
        assert!(problems(&mesh(&[(7, "b", 3)]))[0].contains("owned by b and by a under epoch 3"));
        let twice = [(7, "b", 2), (7, "", 2), (7, "c", 2)];
        assert!(problems(&mesh(&twice))[0].contains("owned by b and by c under epoch 2"));
    }

    #[test]
    fn a_shard_that_nobody_or_a_stranger_owns_after_quiet_is_found() {
        for owner in ["", "gone"] {
            let mut case = mesh(&[]);
            case.database.shards[9].1 = owner.to_owned();
            assert!(problems(&case)[0].contains("which is none of the replicas"));
            case.quiet_since = None;
            assert_eq!(problems(&case), Vec::<String>::new(), "it may be on its way");
        }
    }
}

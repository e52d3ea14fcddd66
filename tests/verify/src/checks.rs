//! The invariants, a file for each group.

mod attempts;
mod calls;
mod ends;
mod history;
mod order;
mod rest;
mod results;

use crate::findings::Findings;
use crate::fold::{self, Folded};
use crate::{Case, Invariant};

/// Checks everything that the inputs allow to check.
pub(crate) fn all(case: &Case, findings: &mut Findings) {
    for (file, said) in &case.database.integrity {
        findings.check(Invariant::Integrity, "", said == "ok", || format!("{file}: {said}"));
    }
    if case.has_ledger {
        calls::starts(case, findings);
        calls::cancels(case, findings);
        calls::reports(case, findings);
    }
    history::shards(case, findings);
    for (id, stored) in &case.database.executions {
        let folded: Folded = fold::fold(&stored.events);
        history::sequence(id, stored, findings);
        history::replay(id, stored, &folded, findings);
        attempts::bounds(case, id, stored, &folded, findings);
        order::rules(case, id, stored, findings);
        ends::fits(case, id, stored, findings);
        results::stored(id, stored, &folded, findings);
        rest::terminal(case, id, stored, findings);
        if findings.breaches().iter().any(|breach| breach.execution == *id) {
            findings.history(id, stored.events.iter().map(fold::told).collect());
        }
    }
    if case.has_witness {
        attempts::witnessed(case, findings);
        attempts::overlap(case, findings);
        order::witnessed(case, findings);
        results::witnessed(case, findings);
        rest::after_the_end(case, findings);
        findings.count("witnessed_begins", case.witness.begins);
        findings.count("lives", case.witness.lives.len() as u64);
        let killed = case.witness.lives.values().filter(|life| life.killed_ns.is_some());
        findings.count("lives_killed", killed.count() as u64);
    }
    rest::nothing_left(case, findings);
    for breach in findings.breaches().to_vec() {
        if let Some(stored) = case.database.executions.get(&breach.execution) {
            findings.history(&breach.execution, stored.events.iter().map(fold::told).collect());
        }
    }
    findings.count("executions", case.database.executions.len() as u64);
}

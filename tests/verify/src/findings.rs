//! What was checked and what was found.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What must hold. The numbers are those of `docs/faults.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// The database file itself is sound.
    Integrity,
    /// An acknowledged call is in the store; one execution a key.
    DurableStart,
    /// After quiet, everything has ended.
    Liveness,
    /// An attempt is given out once.
    UniqueGrant,
    /// Nothing runs that was not given out; attempts stay within their bounds.
    NoGhosts,
    /// Attempts of one task overlap only with a cause.
    Overlap,
    /// A task begins after those that it needs.
    Order,
    /// What is terminal stays so.
    Terminal,
    /// A success is what a task really gave.
    Truth,
    /// One writer, a history without gaps.
    SingleWriter,
    /// The rows are the fold of the history.
    Replay,
    /// Nothing is left over.
    NothingLeft,
}

impl Invariant {
    /// Its short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrity => "I0",
            Self::DurableStart => "I1",
            Self::Liveness => "I2",
            Self::UniqueGrant => "I3",
            Self::NoGhosts => "I4",
            Self::Overlap => "I5",
            Self::Order => "I6",
            Self::Terminal => "I7",
            Self::Truth => "I8",
            Self::SingleWriter => "I9",
            Self::Replay => "I10",
            Self::NothingLeft => "I12",
        }
    }

    /// What it says, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Integrity => "sound file",
            Self::DurableStart => "durable start",
            Self::Liveness => "liveness",
            Self::UniqueGrant => "unique grant",
            Self::NoGhosts => "no ghost runs, bounded attempts",
            Self::Overlap => "overlap only with a cause",
            Self::Order => "order",
            Self::Terminal => "terminal is final",
            Self::Truth => "truth of results",
            Self::SingleWriter => "single writer",
            Self::Replay => "replay equality",
            Self::NothingLeft => "nothing left over",
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Breach {
    /// What was broken.
    pub invariant: Invariant,
    /// The execution that it is about; empty for none.
    pub execution: String,
    /// What is wrong.
    pub problem: String,
}

/// What was checked and what was found.
#[derive(Debug, Default)]
pub struct Findings {
    checked: BTreeMap<Invariant, u64>,
    breaches: Vec<Breach>,
    counters: BTreeMap<&'static str, u64>,
    histories: BTreeMap<String, Vec<String>>,
}

impl Findings {
    /// Checks one thing; `problem` tells what is wrong when it does not hold.
    pub(crate) fn check(
        &mut self,
        invariant: Invariant,
        execution: &str,
        holds: bool,
        problem: impl FnOnce() -> String,
    ) {
        *self.checked.entry(invariant).or_default() += 1;
        if !holds {
            self.breaches.push(Breach {
                invariant,
                execution: execution.to_owned(),
                problem: problem(),
            });
        }
    }

    /// Counts something worth knowing.
    pub(crate) fn count(&mut self, what: &'static str, by: u64) {
        *self.counters.entry(what).or_default() += by;
    }

    /// Notes the largest value of something.
    pub(crate) fn largest(&mut self, what: &'static str, value: u64) {
        let entry = self.counters.entry(what).or_default();
        *entry = (*entry).max(value);
    }

    /// Notes an execution's history, to be shown with its breaches.
    pub(crate) fn history(&mut self, execution: &str, lines: Vec<String>) {
        self.histories.insert(execution.to_owned(), lines);
    }

    /// What is wrong.
    #[must_use]
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// How often an invariant was checked.
    #[must_use]
    pub fn checked(&self, invariant: Invariant) -> u64 {
        self.checked.get(&invariant).copied().unwrap_or_default()
    }

    /// A counter by its name, as in the summary.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// Everything that is wrong, in words, with the histories of the executions concerned.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for breach in &self.breaches {
            let Breach {
                invariant,
                execution,
                problem,
            } = breach;
            let subject = if execution.is_empty() { "-" } else { execution };
            text += &format!(
                "BREACH {} ({}) {subject}: {problem}\n",
                invariant.name(),
                invariant.title()
            );
        }
        for (execution, lines) in &self.histories {
            if self.breaches.iter().any(|breach| breach.execution == *execution) {
                text += &format!("history of {execution}:\n");
                for line in lines {
                    text += &format!("  {line}\n");
                }
            }
        }
        text
    }

    /// One line for machines.
    #[must_use]
    pub fn summary(&self) -> Value {
        let checked: BTreeMap<&str, u64> = self.checked.iter().map(|(what, n)| (what.name(), *n)).collect();
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        for breach in &self.breaches {
            *by.entry(breach.invariant.name()).or_default() += 1;
        }
        json!({"checked": checked, "breaches": self.breaches.len(), "breaches_by_invariant": by, "counts": self.counters})
    }
}

//! Executions in which a change was refused that no transition allows: a bug of the engine. What is in memory of one may be
//! half of a decision, and what waits to be stored may rest on it; so the owner starts over from the store, where all is
//! whole, and puts that execution aside. The others go on.

use std::collections::BTreeMap;

use nexus_execution_store::ExecutionId;

/// Those that were found since the process began.
#[derive(Debug, Default)]
pub(crate) struct BrokenOnes {
    /// With the change that was refused.
    known: BTreeMap<ExecutionId, String>,
    /// One that was found just now: until the owner has started over nothing is stored.
    new: Option<String>,
}

impl BrokenOnes {
    /// One turned out to be broken.
    pub(crate) fn found(&mut self, id: ExecutionId, refused: Option<&str>) {
        let why = format!("a bug: {}", refused.unwrap_or_default());
        tracing::error!(execution.id = %id, why, "a change was refused; the execution is put aside");
        self.new = Some(format!("execution {id}: {why}"));
        self.known.insert(id, why);
    }

    /// Why an execution cannot go on, if it was found to be broken.
    pub(crate) fn reason(&self, id: ExecutionId) -> Option<&str> {
        self.known.get(&id).map(String::as_str)
    }

    /// What was found just now, if something.
    pub(crate) fn news(&self) -> Option<&str> {
        self.new.as_deref()
    }

    /// The owner starts over.
    pub(crate) fn seen(self) -> Self {
        Self { new: None, ..self }
    }
}

//! The witness: what tasks said of themselves, and what was done to the processes of NEXUS, in one order.

mod server;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::VerifyError;

pub use server::{Witness, tell};

/// One line of the witness's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, in the order of the file.
    pub seq: u64,
    /// The witness's wall clock, in nanoseconds since the epoch.
    pub at_ns: i64,
    /// The witness's monotonic clock, in nanoseconds since it started.
    pub mono_ns: u64,
    /// What was said.
    #[serde(flatten)]
    pub said: Said,
}

/// What the witness was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Said {
    /// A task began an attempt.
    Begin {
        /// Which attempt.
        #[serde(flatten)]
        run: Run,
    },
    /// A task is about to end an attempt.
    End {
        /// Which attempt.
        #[serde(flatten)]
        run: Run,
        /// Whether it means to succeed.
        ok: bool,
        /// Stands in its output as `nonce`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        nonce: String,
    },
    /// Something was done to a process that gives tasks their work.
    Mark {
        /// `life` when it starts, `ready`, `killed`, `stopped`, `continued`.
        mark: String,
        /// Which process life.
        life: String,
        /// For people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
}

/// One run of a task's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The execution's id.
    pub execution: String,
    /// The task's id.
    pub task: String,
    /// The attempt's number.
    pub attempt: i64,
    /// The life of the process that ran it.
    pub life: String,
    /// Its process.
    pub pid: u32,
    /// The lease's token, where the task knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
}

/// A begin with the end that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Witnessed {
    pub(crate) run: Run,
    pub(crate) begin_seq: u64,
    pub(crate) begin_ns: i64,
    pub(crate) end: Option<End>,
}

/// How a run ended by its own words.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) ok: bool,
    pub(crate) nonce: String,
}

/// A process that gave tasks their work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub(crate) ready: bool,
    pub(crate) killed_ns: Option<i64>,
    pub(crate) stopped_ns: Vec<i64>,
}

/// The witness's file, in order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Runs by execution and task, in the order of their begins.
    pub(crate) runs: BTreeMap<(String, String), Vec<Witnessed>>,
    pub(crate) lives: BTreeMap<String, Life>,
    /// Ends without a begin, and lines whose numbers have gaps.
    pub(crate) odd: Vec<String>,
    pub(crate) begins: u64,
}

impl Log {
    /// Reads a witness's file. A last line that is cut off was answered to nobody and is left out.
    pub(crate) fn read(path: &Path) -> Result<Self, VerifyError> {
        let text = std::fs::read_to_string(path).map_err(|source| VerifyError::File {
            path: path.display().to_string(),
            source,
        })?;
        let mut log = Self::default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (line, expected) in whole.lines().zip(1..) {
            let record: Record = serde_json::from_str(line)
                .map_err(|error| VerifyError::content(path, format!("line {expected}: {error}")))?;
            if record.seq != expected {
                log.odd.push(format!("line {expected} has number {}", record.seq));
            }
            log.add(record);
        }
        Ok(log)
    }

    fn add(&mut self, record: Record) {
        match record.said {
            Said::Begin { run } => {
                self.begins += 1;
                let key = (run.execution.clone(), run.task.clone());
                self.runs.entry(key).or_default().push(Witnessed {
                    run,
                    begin_seq: record.seq,
                    begin_ns: record.at_ns,
                    end: None,
                });
            }
            Said::End { run, ok, nonce } => {
                let key = (run.execution.clone(), run.task.clone());
                let runs = self.runs.entry(key).or_default();
                let open = runs
                    .iter_mut()
                    .rev()
                    .find(|known| known.run == run && known.end.is_none());
                match open {
                    Some(known) => {
                        known.end = Some(End {
                            seq: record.seq,
                            ok,
                            nonce,
                        });
                    }
                    None => self.odd.push(format!("line {}: an end without a begin", record.seq)),
                }
            }
            Said::Mark { mark, life, .. } => {
                let life = self.lives.entry(life).or_default();
                match mark.as_str() {
                    "ready" => life.ready = true,
                    "killed" => life.killed_ns = Some(record.at_ns),
                    "stopped" => life.stopped_ns.push(record.at_ns),
                    _ => {}
                }
            }
        }
    }

    /// Runs of one task.
    pub(crate) fn of(&self, execution: &str, task: &str) -> &[Witnessed] {
        self.runs
            .get(&(execution.to_owned(), task.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    /// When the process of a run died, if it did.
    pub(crate) fn killed(&self, run: &Run) -> Option<i64> {
        self.lives.get(&run.life).and_then(|life| life.killed_ns)
    }

    /// Whether the process of a run was frozen before a moment.
    pub(crate) fn was_stopped_before(&self, run: &Run, moment: i64) -> bool {
        let life = self.lives.get(&run.life);
        life.is_some_and(|life| life.stopped_ns.iter().any(|stopped| *stopped < moment))
    }
}

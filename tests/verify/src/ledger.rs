//! The clients' ledger: every call as it was made and as it was answered, in the way of Jepsen. `ok` was done, `fail`
//! was not done, `info` may have been done.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::VerifyError;

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is made.
    Invoke,
    /// It was done.
    Ok,
    /// It was not done.
    Fail,
    /// Nobody knows.
    Info,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Start an execution under a key.
    Start,
    /// Cancel an execution.
    Cancel,
    /// Report how an attempt ended (an outside worker does this).
    Report,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Names the call.
    pub op: u64,
    /// How it stands.
    #[serde(rename = "type")]
    pub stage: Stage,
    /// What is asked.
    pub f: Call,
    /// When, in nanoseconds since the epoch.
    pub at_ns: i64,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// The answer or error in words; `accepted` or `stale` for a report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What a call is about; what does not apply is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The idempotency key of a start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The execution.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub execution: String,
    /// The task of a report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The attempt of a report.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Writes a ledger. Lines are handed to the operating system one by one, so they survive the death of the writer.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<(File, u64)>,
}

impl Ledger {
    /// Opens a ledger; calls are numbered from `first`, so that several writers can share a file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, first: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            state: Mutex::new((file, first)),
        })
    }

    /// Notes that a call is made; its number.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn invoke(&self, f: Call, subject: &Subject) -> io::Result<u64> {
        let mut state = self.state.lock().map_err(|_| io::Error::other("the ledger broke"))?;
        let op = state.1;
        state.1 += 1;
        write(&mut state.0, op, Stage::Invoke, f, subject, "")?;
        Ok(op)
    }

    /// Notes how a call ended.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn answer(&self, op: u64, stage: Stage, f: Call, subject: &Subject, value: &str) -> io::Result<()> {
        let mut state = self.state.lock().map_err(|_| io::Error::other("the ledger broke"))?;
        write(&mut state.0, op, stage, f, subject, value)
    }
}

fn write(file: &mut File, op: u64, stage: Stage, f: Call, subject: &Subject, value: &str) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let entry = Entry {
        op,
        stage,
        f,
        at_ns: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        subject: subject.clone(),
        value: value.to_owned(),
    };
    let mut line = serde_json::to_string(&entry)?;
    line.push('\n');
    file.write_all(line.as_bytes())
}

/// A call with its answer; one without is `info`.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    pub(crate) f: Call,
    pub(crate) stage: Stage,
    pub(crate) subject: Subject,
    pub(crate) answered_ns: i64,
    pub(crate) value: String,
}

/// A ledger that was read.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Called>,
}

impl Calls {
    pub(crate) fn read(path: &Path) -> Result<Self, VerifyError> {
        let text = std::fs::read_to_string(path).map_err(|source| VerifyError::File {
            path: path.display().to_string(),
            source,
        })?;
        let mut calls: BTreeMap<u64, Called> = BTreeMap::new();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (line, number) in whole.lines().zip(1..) {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|error| VerifyError::content(path, format!("line {number}: {error}")))?;
            let called = Called {
                f: entry.f,
                stage: match entry.stage {
                    Stage::Invoke => Stage::Info,
                    answered => answered,
                },
                subject: entry.subject,
                answered_ns: entry.at_ns,
                value: entry.value,
            };
            let known = calls.insert(entry.op, called);
            if known.is_some() == (entry.stage == Stage::Invoke) {
                let problem = format!("line {number}: call {} begins twice or never", entry.op);
                return Err(VerifyError::content(path, problem));
            }
        }
        Ok(Self {
            calls: calls.into_values().collect(),
        })
    }

    pub(crate) fn of(&self, f: Call) -> impl Iterator<Item = &Called> {
        self.calls.iter().filter(move |called| called.f == f)
    }
}

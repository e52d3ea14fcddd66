//! Rows in the service's words, and as the JSON that statements take them in.

use std::collections::BTreeMap;

use nexus_api::Namespace;
use nexus_schedule::Spec;
use serde::{Deserialize, Deserializer, Serialize};

/// What somebody wrote of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The workflow that it starts.
    pub workflow: String,
    /// The revision; the newest when 0.
    #[serde(default)]
    pub revision: u32,
    /// Parameters as JSON text.
    #[serde(default)]
    pub params: String,
    /// Labels of executions.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// When it fires.
    pub spec: Spec,
    /// What becomes of a fire while an execution runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// How late a fire may be, in microseconds.
    pub catchup_window: i64,
    /// Which late fires are made up for.
    #[serde(default)]
    pub catchup: Catchup,
    /// Whether it pauses when an execution fails.
    #[serde(default)]
    pub pause_on_failure: bool,
}

/// What becomes of a fire while an execution of the schedule runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// One waits.
    BufferOne,
    /// All wait.
    BufferAll,
    /// The execution is cancelled, and the newest waits for its end.
    CancelOther,
    /// It starts beside it.
    AllowAll,
}

/// Which late fires are made up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// Every one.
    #[default]
    All,
    /// The last one.
    Last,
    /// None.
    None,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Given at its creation.
    pub id: String,
    /// Its name, with the namespace unless that is `default`.
    pub key: String,
    /// The namespace.
    pub namespace: String,
    /// The workflow.
    pub workflow: String,
    /// The workflow whose file it belongs to; empty when to none.
    pub owner: String,
    /// What somebody wrote, as JSON.
    pub definition: String,
    /// Whether nothing fires.
    #[serde(deserialize_with = "flag")]
    pub paused: bool,
    /// Why.
    pub note: String,
    /// The next nominal time.
    pub next_nominal: Option<i64>,
    /// When that is due.
    pub next_due: Option<i64>,
    /// Actions that it may still take.
    pub remaining: Option<i64>,
    /// Fires that are being started or whose execution runs.
    pub running: i64,
    /// Fires that wait for that.
    pub buffered: i64,
    /// Executions that it started.
    pub action_count: i64,
    /// Fires that were too late.
    pub missed: i64,
    /// Fires that were skipped because an execution ran.
    pub overlap_skipped: i64,
    /// Fires that were skipped because too many waited.
    pub buffer_dropped: i64,
    /// Fires whose execution could not be started.
    pub start_failed: i64,
    /// When it was created.
    pub created_at: i64,
    /// When somebody changed it.
    pub updated_at: i64,
    /// Grows when somebody changes it.
    pub version: i64,
}

impl ScheduleRow {
    /// Its name in its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        // No name has a slash.
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }

    /// Its namespace.
    #[must_use]
    pub fn space(&self) -> Namespace {
        self.namespace.parse().unwrap_or_default()
    }
}

/// By which a fire is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FireKey {
    /// The schedule.
    pub schedule_id: String,
    /// Empty when it was due by itself.
    pub source: String,
    /// When it was due.
    pub nominal: i64,
}

impl FireKey {
    /// As text: what executions carry, and what makes a start that is repeated the same one.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}/{}/{}", self.schedule_id, self.nominal, self.source)
    }

    /// The key of a text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        Some(Self {
            schedule_id: parts.next()?.to_owned(),
            nominal: parts.next()?.parse().ok()?,
            source: parts.next()?.to_owned(),
        })
    }

    /// The backfill that it belongs to.
    #[must_use]
    pub fn backfill(&self) -> Option<&str> {
        self.source.strip_prefix(BACKFILL)
    }
}

/// What the source of a trigger begins with.
pub const TRIGGER: &str = "trigger:";
/// What the source of a fire of a backfill begins with.
pub const BACKFILL: &str = "backfill:";

/// What became of a fire; the numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its execution is being started.
    Starting = 1,
    /// Its execution was started.
    Started = 2,
    /// It was skipped.
    Skipped = 3,
    /// It waits for an execution to end.
    Buffered = 4,
    /// Its execution cannot be started.
    Failed = 5,
}

/// One nominal time, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FireRow {
    /// By which it is known.
    #[serde(flatten)]
    pub key: FireKey,
    /// Where it stands among the schedule's fires; 0 until it is written.
    pub position: i64,
    /// When it was decided, or started.
    pub at: i64,
    /// [`Outcome`].
    pub outcome: i64,
    /// Why.
    pub reason: String,
    /// Its execution.
    pub execution: String,
    /// How that ended.
    pub state: String,
    /// When it is looked at again.
    pub due: i64,
    /// How often it was tried to start it.
    pub attempts: i64,
    /// Whether its execution is to be cancelled.
    #[serde(deserialize_with = "flag")]
    pub cancel: bool,
}

impl FireRow {
    /// A fire that was decided.
    #[must_use]
    pub fn new(key: FireKey, outcome: Outcome, reason: &str, now: i64) -> Self {
        Self {
            key,
            position: 0,
            at: now,
            outcome: outcome as i64,
            reason: reason.to_owned(),
            execution: String::new(),
            state: String::new(),
            due: now,
            attempts: 0,
            cancel: false,
        }
    }

    /// Whether it is one.
    #[must_use]
    pub fn is(&self, outcome: Outcome) -> bool {
        self.outcome == outcome as i64
    }
}

/// How a backfill stands; the numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillState {
    /// It goes on.
    Running = 1,
    /// All of it is decided.
    Done = 2,
    /// Somebody cancelled it.
    Cancelled = 3,
}

/// A backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRow {
    /// Its id; ids sort by creation.
    pub id: String,
    /// The schedule.
    pub schedule_id: String,
    /// The schedule's name, with the namespace unless that is `default`.
    pub schedule_key: String,
    /// The namespace.
    pub namespace: String,
    /// The times after this.
    pub after_at: i64,
    /// The times until this.
    pub until_at: i64,
    /// Executions at a time.
    pub max_concurrent: i64,
    /// Whether the newest goes first.
    #[serde(deserialize_with = "flag")]
    pub newest_first: bool,
    /// [`BackfillState`].
    pub state: i64,
    /// How many fires it has.
    pub total: i64,
    /// How many were handed out.
    pub fired: i64,
    /// How many of those run.
    pub running: i64,
    /// The last one that was handed out.
    pub cursor: Option<i64>,
    /// When it was asked for.
    pub created_at: i64,
}

/// A yes or no, which SQLite has as a number.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Plain(bool),
        Number(i64),
    }
    Ok(match Flag::deserialize(deserializer)? {
        Flag::Plain(flag) => flag,
        Flag::Number(number) => number != 0,
    })
}

/// How far the feed was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Who reads.
    pub holder: String,
    /// Shards and positions.
    pub positions: Vec<(u32, u64)>,
}

/// A schedule of which nothing is said.
#[must_use]
pub fn blank(id: &str, key: &str) -> ScheduleRow {
    ScheduleRow {
        id: id.to_owned(),
        key: key.to_owned(),
        namespace: nexus_api::namespace::DEFAULT.to_owned(),
        workflow: String::new(),
        owner: String::new(),
        definition: String::new(),
        paused: false,
        note: String::new(),
        next_nominal: None,
        next_due: None,
        remaining: None,
        running: 0,
        buffered: 0,
        action_count: 0,
        missed: 0,
        overlap_skipped: 0,
        buffer_dropped: 0,
        start_failed: 0,
        created_at: 0,
        updated_at: 0,
        version: 0,
    }
}

//! The databases, read with the checker's own SQL in one snapshot. What is asked is the same for SQLite and Postgres;
//! how they are asked, and how an id is written, is a file each below.

mod postgres;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::Document;
use crate::{Source, VerifyError};

/// A row of `executions`, with what belongs to it.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) workflow: String,
    pub(crate) revision: i64,
    pub(crate) shard: i64,
    pub(crate) state: i64,
    pub(crate) closing: i64,
    pub(crate) closing_reason: String,
    pub(crate) sequence: i64,
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) failure: Option<Value>,
    pub(crate) has_params: bool,
    pub(crate) tasks: BTreeMap<i64, TaskRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) outputs: BTreeMap<i64, String>,
}

/// A row of `tasks`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TaskRow {
    pub(crate) state: i64,
    pub(crate) leases: i64,
    pub(crate) returned: i64,
    pub(crate) infra_losses: i64,
    pub(crate) scheduled_at: Option<i64>,
    pub(crate) ready_at: Option<i64>,
    pub(crate) started_at: Option<i64>,
    pub(crate) attempt_started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) next_at: Option<i64>,
    pub(crate) worker: Option<String>,
    pub(crate) failure: Option<Value>,
}

/// A row of `history`.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) sequence: i64,
    pub(crate) at: i64,
    pub(crate) kind: i64,
    pub(crate) task: i64,
    pub(crate) attempt: i64,
    pub(crate) state: i64,
    pub(crate) data: Value,
}

/// Everything that the databases hold.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) executions: BTreeMap<String, Stored>,
    /// Executions by idempotency key.
    pub(crate) requests: BTreeMap<String, String>,
    /// (shard, owner, epoch); the owner is empty for none.
    pub(crate) shards: Vec<(i64, String, i64)>,
    /// The replicas that share the shards; nothing for a process that shares with nobody.
    pub(crate) replicas: Option<BTreeSet<String>>,
    pub(crate) documents: BTreeMap<(String, i64), Document>,
    /// Rows whose execution does not exist, told as `table: id`.
    pub(crate) orphans: BTreeSet<String>,
    /// What SQLite itself says of the files; `ok` when they are sound.
    pub(crate) integrity: Vec<(String, String)>,
}

impl Database {
    /// The document that an execution runs.
    pub(crate) fn document(&self, stored: &Stored) -> Option<&Document> {
        self.documents.get(&(stored.workflow.clone(), stored.revision))
    }
}

/// Reads everything of a source.
pub(crate) async fn read(source: &Source) -> Result<Database, VerifyError> {
    let mut database = Database::default();
    match source {
        Source::Directory(directory) => sqlite::read(directory, &mut database).await?,
        Source::Postgres(url) => postgres::read(url, &mut database).await?,
    }
    Ok(database)
}

/// A value of a row.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Number(i64),
    Text(String),
}

/// A row, whatever database it comes from.
#[derive(Debug, Clone)]
struct Cells(Vec<Cell>);

impl Cells {
    fn number(&self, place: usize) -> i64 {
        self.maybe(place).unwrap_or(i64::MIN)
    }

    fn maybe(&self, place: usize) -> Option<i64> {
        match self.0.get(place) {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn text(&self, place: usize) -> String {
        self.words(place).unwrap_or_default()
    }

    fn words(&self, place: usize) -> Option<String> {
        match self.0.get(place) {
            Some(Cell::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn value(&self, place: usize) -> Option<Value> {
        self.words(place).map(|text| json(&text))
    }
}

/// A database that can be asked.
trait Reader {
    /// How a column of an id is written so that it becomes text, with or without hyphens.
    fn id(column: &str) -> String;

    async fn rows(&mut self, statement: &str) -> Result<Vec<Cells>, sqlx::Error>;
}

async fn read_executions<R: Reader>(reader: &mut R, database: &mut Database) -> Result<(), sqlx::Error> {
    let statement = format!(
        "SELECT {}, workflow, revision, shard, state, closing, closing_reason, sequence, created_at, started_at,
                finished_at, failure FROM executions",
        R::id("id")
    );
    for row in reader.rows(&statement).await? {
        database.executions.insert(hyphenated(&row.text(0)), execution(&row));
    }
    read_tasks(reader, database).await?;
    read_events(reader, database).await?;
    read_payloads(reader, database).await?;
    let statement = format!("SELECT key, {} FROM requests", R::id("execution"));
    for row in reader.rows(&statement).await? {
        database.requests.insert(row.text(0), hyphenated(&row.text(1)));
    }
    let statement = format!("SELECT id, {}, epoch FROM shards ORDER BY id", R::id("owner"));
    for row in reader.rows(&statement).await? {
        database.shards.push((row.number(0), row.text(1), row.number(2)));
    }
    Ok(())
}

async fn read_tasks<R: Reader>(reader: &mut R, database: &mut Database) -> Result<(), sqlx::Error> {
    let statement = format!(
        "SELECT {}, position, state, leases, returned, infra_losses, scheduled_at, ready_at, started_at,
                attempt_started_at, finished_at, next_at, worker, failure FROM tasks",
        R::id("execution")
    );
    for row in reader.rows(&statement).await? {
        let id = hyphenated(&row.text(0));
        match database.executions.get_mut(&id) {
            Some(stored) => drop(stored.tasks.insert(row.number(1), task(&row))),
            None => drop(database.orphans.insert(format!("tasks: {id}"))),
        }
    }
    Ok(())
}

async fn read_events<R: Reader>(reader: &mut R, database: &mut Database) -> Result<(), sqlx::Error> {
    let statement = format!(
        "SELECT {}, sequence, at, kind, task, attempt, state, data FROM history ORDER BY execution, sequence",
        R::id("execution")
    );
    for row in reader.rows(&statement).await? {
        let id = hyphenated(&row.text(0));
        let event = EventRow {
            sequence: row.number(1),
            at: row.number(2),
            kind: row.number(3),
            task: row.number(4),
            attempt: row.number(5),
            state: row.number(6),
            data: json(&row.text(7)),
        };
        match database.executions.get_mut(&id) {
            Some(stored) => stored.events.push(event),
            None => drop(database.orphans.insert(format!("history: {id}"))),
        }
    }
    Ok(())
}

async fn read_payloads<R: Reader>(reader: &mut R, database: &mut Database) -> Result<(), sqlx::Error> {
    let statement = format!("SELECT {}, position, value FROM outputs", R::id("execution"));
    for row in reader.rows(&statement).await? {
        let id = hyphenated(&row.text(0));
        match database.executions.get_mut(&id) {
            Some(stored) => drop(stored.outputs.insert(row.number(1), row.text(2))),
            None => drop(database.orphans.insert(format!("outputs: {id}"))),
        }
    }
    let statement = format!("SELECT {} FROM params", R::id("execution"));
    for row in reader.rows(&statement).await? {
        let id = hyphenated(&row.text(0));
        match database.executions.get_mut(&id) {
            Some(stored) => stored.has_params = true,
            None => drop(database.orphans.insert(format!("params: {id}"))),
        }
    }
    Ok(())
}

/// The documents of all revisions; what is wrong with one that cannot be read.
async fn read_documents<R: Reader>(
    reader: &mut R,
    database: &mut Database,
    path: &str,
    table: &str,
) -> Result<(), VerifyError> {
    let statement = format!("SELECT workflow, number, document FROM {table}");
    let rows = reader.rows(&statement).await.map_err(|source| VerifyError::Database {
        path: path.to_owned(),
        source,
    })?;
    for row in rows {
        let document = Document::parse(&row.text(2)).map_err(|problem| VerifyError::Content {
            path: path.to_owned(),
            problem,
        })?;
        database.documents.insert((row.text(0), row.number(1)), document);
    }
    Ok(())
}

fn execution(row: &Cells) -> Stored {
    Stored {
        workflow: row.text(1),
        revision: row.number(2),
        shard: row.number(3),
        state: row.number(4),
        closing: row.number(5),
        closing_reason: row.text(6),
        sequence: row.number(7),
        created_at: row.number(8),
        started_at: row.maybe(9),
        finished_at: row.maybe(10),
        failure: row.value(11),
        ..Stored::default()
    }
}

fn task(row: &Cells) -> TaskRow {
    TaskRow {
        state: row.number(2),
        leases: row.number(3),
        returned: row.number(4),
        infra_losses: row.number(5),
        scheduled_at: row.maybe(6),
        ready_at: row.maybe(7),
        started_at: row.maybe(8),
        attempt_started_at: row.maybe(9),
        finished_at: row.maybe(10),
        next_at: row.maybe(11),
        worker: row.words(12),
        failure: row.value(13),
    }
}

/// JSON text as a value; text that is none is kept as text, so that it differs from everything.
fn json(text: &str) -> Value {
    if text.is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// An id as callers see it, of 32 hex digits or of what has its hyphens already.
fn hyphenated(hex: &str) -> String {
    let mut id = String::with_capacity(36);
    for (place, digit) in hex.chars().filter(|digit| *digit != '-').enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

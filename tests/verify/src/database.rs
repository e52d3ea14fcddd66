//! The databases, read with the checker's own SQL in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Row, SqliteConnection};

use crate::VerifyError;
use crate::document::Document;

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
    /// (shard, owner, epoch).
    pub(crate) shards: Vec<(i64, String, i64)>,
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

/// Reads both databases of a data directory.
pub(crate) async fn read(directory: &Path) -> Result<Database, VerifyError> {
    let mut database = Database::default();
    let path = directory.join("execution.db");
    let failed = |source| VerifyError::Database {
        path: path.display().to_string(),
        source,
    };
    let mut connection = open(&path).await.map_err(failed)?;
    read_executions(&mut connection, &mut database).await.map_err(failed)?;
    let path = directory.join("definitions.db");
    let failed = |source| VerifyError::Database {
        path: path.display().to_string(),
        source,
    };
    let mut connection = open(&path).await.map_err(failed)?;
    let said = integrity(&mut connection).await.map_err(failed)?;
    database.integrity.push(("definitions.db".to_owned(), said));
    let rows = sqlx::query("SELECT workflow, number, document FROM revisions")
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
    for row in rows {
        let key: (String, i64) = (row.get(0), row.get(1));
        let text: String = row.get(2);
        let document = Document::parse(&text).map_err(|problem| VerifyError::content(&path, problem))?;
        database.documents.insert(key, document);
    }
    Ok(database)
}

async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(std::time::Duration::from_secs(10))
        .connect()
        .await
}

async fn integrity(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let rows = sqlx::query("PRAGMA integrity_check(5)").fetch_all(connection).await?;
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(lines.join("; "))
}

async fn read_executions(connection: &mut SqliteConnection, database: &mut Database) -> Result<(), sqlx::Error> {
    let said = integrity(connection).await?;
    database.integrity.push(("execution.db".to_owned(), said));
    // One snapshot over all tables, also while NEXUS writes.
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    for row in sqlx::query(
        "SELECT lower(hex(id)), workflow, revision, shard, state, closing, closing_reason, sequence, created_at,
                started_at, finished_at, failure FROM executions",
    )
    .fetch_all(&mut *connection)
    .await?
    {
        database.executions.insert(hyphenated(row.get(0)), execution(&row));
    }
    read_tasks(connection, database).await?;
    read_events(connection, database).await?;
    read_payloads(connection, database).await?;
    for row in sqlx::query("SELECT key, lower(hex(execution)) FROM requests")
        .fetch_all(&mut *connection)
        .await?
    {
        database.requests.insert(row.get(0), hyphenated(row.get(1)));
    }
    for row in sqlx::query("SELECT id, lower(hex(owner)), epoch FROM shards ORDER BY id")
        .fetch_all(&mut *connection)
        .await?
    {
        database.shards.push((row.get(0), row.get(1), row.get(2)));
    }
    sqlx::query("COMMIT").execute(connection).await.map(drop)
}

async fn read_tasks(connection: &mut SqliteConnection, database: &mut Database) -> Result<(), sqlx::Error> {
    for row in sqlx::query(
        "SELECT lower(hex(execution)), position, state, leases, returned, infra_losses, scheduled_at, ready_at,
                started_at, attempt_started_at, finished_at, next_at, worker, failure FROM tasks",
    )
    .fetch_all(connection)
    .await?
    {
        let id = hyphenated(row.get(0));
        match database.executions.get_mut(&id) {
            Some(stored) => drop(stored.tasks.insert(row.get(1), task(&row))),
            None => drop(database.orphans.insert(format!("tasks: {id}"))),
        }
    }
    Ok(())
}

async fn read_events(connection: &mut SqliteConnection, database: &mut Database) -> Result<(), sqlx::Error> {
    for row in sqlx::query(
        "SELECT lower(hex(execution)), sequence, at, kind, task, attempt, state, data FROM history
         ORDER BY execution, sequence",
    )
    .fetch_all(connection)
    .await?
    {
        let id = hyphenated(row.get(0));
        let data: String = row.get(7);
        let event = EventRow {
            sequence: row.get(1),
            at: row.get(2),
            kind: row.get(3),
            task: row.get(4),
            attempt: row.get(5),
            state: row.get(6),
            data: json(&data),
        };
        match database.executions.get_mut(&id) {
            Some(stored) => stored.events.push(event),
            None => drop(database.orphans.insert(format!("history: {id}"))),
        }
    }
    Ok(())
}

async fn read_payloads(connection: &mut SqliteConnection, database: &mut Database) -> Result<(), sqlx::Error> {
    for row in sqlx::query("SELECT lower(hex(execution)), position, value FROM outputs")
        .fetch_all(&mut *connection)
        .await?
    {
        let id = hyphenated(row.get(0));
        match database.executions.get_mut(&id) {
            Some(stored) => drop(stored.outputs.insert(row.get(1), row.get(2))),
            None => drop(database.orphans.insert(format!("outputs: {id}"))),
        }
    }
    for row in sqlx::query("SELECT lower(hex(execution)) FROM params")
        .fetch_all(connection)
        .await?
    {
        let id = hyphenated(row.get(0));
        match database.executions.get_mut(&id) {
            Some(stored) => stored.has_params = true,
            None => drop(database.orphans.insert(format!("params: {id}"))),
        }
    }
    Ok(())
}

fn execution(row: &SqliteRow) -> Stored {
    Stored {
        workflow: row.get(1),
        revision: row.get(2),
        shard: row.get(3),
        state: row.get(4),
        closing: row.get(5),
        closing_reason: row.get(6),
        sequence: row.get(7),
        created_at: row.get(8),
        started_at: row.get(9),
        finished_at: row.get(10),
        failure: row.get::<Option<String>, _>(11).map(|text| json(&text)),
        ..Stored::default()
    }
}

fn task(row: &SqliteRow) -> TaskRow {
    TaskRow {
        state: row.get(2),
        leases: row.get(3),
        returned: row.get(4),
        infra_losses: row.get(5),
        scheduled_at: row.get(6),
        ready_at: row.get(7),
        started_at: row.get(8),
        attempt_started_at: row.get(9),
        finished_at: row.get(10),
        next_at: row.get(11),
        worker: row.get(12),
        failure: row.get::<Option<String>, _>(13).map(|text| json(&text)),
    }
}

/// JSON text as a value; text that is none is kept as text, so that it differs from everything.
fn json(text: &str) -> Value {
    if text.is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// 32 hex digits as callers see an id.
fn hyphenated(hex: &str) -> String {
    let mut id = String::with_capacity(36);
    for (place, digit) in hex.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

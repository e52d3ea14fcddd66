//! Writing: the one statement that carries many executions' changes.
//!
//! It looks whether the writer still owns what it writes and whether the store has just what the writer believes, and
//! writes everything or nothing. Being one statement it is one round trip and one flush of the log.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use nexus_execution_store::{Change, ExecutionId, Fence, StoreError};
use nexus_failpoint::kill_here;
use nexus_storage::postgres::Database;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::columns::{Events, Fresh, Grown, Notes, Outputs, Requests, Tasks, big};
use super::database;
use super::entries::FeedColumns;
use super::statement::Shape;

/// Bytes of outputs that go over in one statement; a message has at most a gigabyte.
const OUTPUTS_AT_ONCE: usize = 64 << 20;

/// Whether somebody reads the feed, as the last batch found it. A batch that goes by it and finds the contrary writes
/// nothing and goes again, so it is worth one round trip when the first reader comes, and never a wrong answer.
pub(super) type Read = AtomicBool;

pub(super) async fn commit(store: &Database, read: &Read, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
    let Some(first) = changes.first() else { return Ok(()) };
    kill_here("execution::commit::begin");
    let tells = read.load(Ordering::Relaxed);
    let mut found = once(store, fence, changes, tells).await?;
    if found.is_untold() {
        found = once(store, fence, changes, true).await?;
    }
    if found.read != tells {
        read.store(found.read, Ordering::Relaxed);
    }
    kill_here("execution::commit::done");
    found.judge(first)
}

/// One try: one statement, or a transaction where there are outputs for several.
async fn once(store: &Database, fence: Fence, changes: &[Change], tells: bool) -> Result<Found, StoreError> {
    let mut outputs = Outputs::of(changes, OUTPUTS_AT_ONCE).into_iter();
    let portion = outputs.next().unwrap_or_default();
    let rest: Vec<Outputs<'_>> = outputs.collect();
    if rest.is_empty() {
        let mut connection = store.kept().await?;
        let found = write(&mut connection, fence, changes, (portion, tells)).await?;
        connection.keep();
        return Ok(found);
    }
    let mut transaction = store.begin().await?;
    let found = write(&mut transaction, fence, changes, (portion, tells)).await?;
    if found.written() {
        for portion in rest {
            upsert(&mut transaction, portion).await?;
        }
    }
    kill_here("execution::commit::written");
    transaction.commit().await.map_err(database)?;
    Ok(found)
}

/// What stood in the way of a batch; it was written when nothing did.
struct Found {
    /// The writer owns every shard that it writes to.
    owned: bool,
    /// Number of the newest event that was stored of the first execution.
    first: i64,
    /// An execution of which other events were stored than the writer believes.
    conflict: Option<Uuid>,
    /// Somebody reads the feed.
    read: bool,
    /// The statement told the feed, if anybody reads it.
    tells: bool,
}

impl Found {
    fn of(row: &PgRow, tells: bool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            tells,
            owned: row.try_get(0)?,
            first: row.try_get(1)?,
            conflict: row.try_get(2)?,
            read: row.try_get(3)?,
        })
    }

    fn written(&self) -> bool {
        self.owned && self.conflict.is_none() && !self.is_untold()
    }

    /// Nothing was written, since the feed would have missed it.
    fn is_untold(&self) -> bool {
        self.read && !self.tells
    }

    fn judge(&self, first: &Change) -> Result<(), StoreError> {
        if !self.owned {
            return Err(StoreError::Fenced);
        }
        match self.conflict {
            None => Ok(()),
            // Its answer was lost, and it came again. A batch is written whole or not at all and only the owner writes,
            // so the first change tells of all.
            Some(_) if self.first == big(first.execution.sequence) => Ok(()),
            Some(id) => Err(StoreError::Conflict {
                execution: ExecutionId(id),
            }),
        }
    }
}

async fn write(
    connection: &mut PgConnection,
    fence: Fence,
    changes: &[Change],
    (outputs, tells): (Outputs<'_>, bool),
) -> Result<Found, StoreError> {
    let shards: BTreeSet<i32> = changes
        .iter()
        .map(|change| i32::from(change.execution.id.shard()))
        .collect();
    let shards: Vec<i32> = shards.into_iter().collect();
    let told = tells.then(|| FeedColumns::of(changes, &shards));
    let (fresh, grown, requests) = (Fresh::of(changes)?, Grown::of(changes), Requests::of(changes));
    let notes = Notes::of(changes);
    let shape = Shape {
        begins: !fresh.is_empty(),
        grows: !grown.is_empty(),
        asks: !requests.is_empty(),
        gives: !outputs.is_empty(),
        tells,
        notes: changes.iter().any(|change| !change.notes.is_empty()),
    };
    let mut statement = sqlx::query(shape.text())
        .bind(fence.owner)
        .bind(fence.epoch)
        .bind(shards)
        .bind(changes.first().map(|change| change.execution.id.0));
    if shape.begins {
        statement = fresh.bind(statement);
    }
    if shape.grows {
        statement = grown.bind(statement);
    }
    if shape.asks {
        statement = requests.bind(statement);
    }
    statement = Tasks::of(changes).bind(statement);
    statement = Events::of(changes).bind(statement);
    if shape.gives {
        statement = outputs.bind(statement);
    }
    if let Some(told) = told {
        statement = told.bind(statement);
    }
    if shape.notes {
        statement = notes.bind(statement);
    }
    let row = statement.fetch_one(connection).await.map_err(database)?;
    Found::of(&row, tells).map_err(database)
}

async fn upsert(connection: &mut PgConnection, outputs: Outputs<'_>) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO outputs (execution, position, value)
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[])
         ON CONFLICT (execution, position) DO UPDATE SET value = excluded.value",
    );
    outputs
        .bind(statement)
        .execute(connection)
        .await
        .map_err(database)
        .map(drop)
}

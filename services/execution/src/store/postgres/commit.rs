//! Writing: the one statement that carries many executions' changes.
//!
//! It looks whether the writer still owns what it writes and whether the store has just what the writer believes, and
//! writes everything or nothing. Being one statement it is one round trip and one flush of the log.

use std::collections::BTreeSet;

use nexus_mesh::failpoint::kill_here;
use nexus_storage::postgres::Database;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::columns::{Events, Fresh, Grown, Outputs, Requests, Tasks, big};
use super::database;
use super::statement::Shape;
use crate::ids::ExecutionId;
use crate::store::{Change, Fence, StoreError};

/// Bytes of outputs that go over in one statement; a message has at most a gigabyte.
const OUTPUTS_AT_ONCE: usize = 64 << 20;

pub(super) async fn commit(store: &Database, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
    let Some(first) = changes.first() else { return Ok(()) };
    kill_here("execution::commit::begin");
    let mut outputs = Outputs::of(changes, OUTPUTS_AT_ONCE).into_iter();
    let portion = outputs.next().unwrap_or_default();
    let rest: Vec<Outputs<'_>> = outputs.collect();
    let found = if rest.is_empty() {
        let mut connection = store.kept().await?;
        let found = write(&mut connection, fence, changes, portion).await?;
        connection.keep();
        found
    } else {
        let mut transaction = store.begin().await?;
        let found = write(&mut transaction, fence, changes, portion).await?;
        if found.written() {
            for portion in rest {
                upsert(&mut transaction, portion).await?;
            }
        }
        kill_here("execution::commit::written");
        transaction.commit().await.map_err(database)?;
        found
    };
    kill_here("execution::commit::done");
    found.judge(first)
}

/// What stood in the way of a batch; it was written when nothing did.
struct Found {
    /// The writer owns every shard that it writes to.
    owned: bool,
    /// Number of the newest event that was stored of the first execution.
    first: i64,
    /// An execution of which other events were stored than the writer believes.
    conflict: Option<Uuid>,
}

impl Found {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            owned: row.try_get(0)?,
            first: row.try_get(1)?,
            conflict: row.try_get(2)?,
        })
    }

    fn written(&self) -> bool {
        self.owned && self.conflict.is_none()
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
    outputs: Outputs<'_>,
) -> Result<Found, StoreError> {
    let shards: BTreeSet<i32> = changes
        .iter()
        .map(|change| i32::from(change.execution.id.shard()))
        .collect();
    let (fresh, grown, requests) = (Fresh::of(changes)?, Grown::of(changes), Requests::of(changes));
    let shape = Shape {
        begins: !fresh.is_empty(),
        grows: !grown.is_empty(),
        asks: !requests.is_empty(),
        gives: !outputs.is_empty(),
    };
    let mut statement = sqlx::query(shape.text())
        .bind(fence.owner)
        .bind(fence.epoch)
        .bind(shards.into_iter().collect::<Vec<_>>())
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
    let row = statement.fetch_one(connection).await.map_err(database)?;
    Found::read(&row).map_err(database)
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

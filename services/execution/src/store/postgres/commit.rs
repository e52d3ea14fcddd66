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

use super::columns::{Events, Executions, Outputs, Requests, Tasks, big};
use super::database;
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
        let mut connection = store.writer().acquire().await.map_err(database)?;
        write(&mut connection, fence, changes, portion).await?
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
    let statement = sqlx::query(WRITE)
        .bind(fence.owner)
        .bind(fence.epoch)
        .bind(shards.into_iter().collect::<Vec<_>>());
    let statement = Executions::of(changes)?.bind(statement);
    let statement = Requests::of(changes).bind(statement);
    let statement = Tasks::of(changes).bind(statement);
    let statement = Events::of(changes).bind(statement);
    let row = outputs.bind(statement).fetch_one(connection).await.map_err(database)?;
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

/// The writer's row is held so that nobody takes the writer out before this is over; everything else is read as it was
/// when the statement began, and only the owner changes it.
const WRITE: &str = r#"
    WITH member AS (
        SELECT owner FROM replicas WHERE owner = $1 AND epoch = $2 FOR KEY SHARE
    ), fresh AS MATERIALIZED (
        SELECT * FROM unnest($4::uuid[], $5::bigint[], $6::smallint[], $7::smallint[], $8::smallint[], $9::integer[],
                             $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[],
                             $16::text[], $17::text[], $18::text[], $19::text[])
            AS fresh (id, before, shard, state, closing, revision, sequence, created_at, started_at, finished_at,
                      workflow, closing_reason, labels, traceparent, failure, params)
    ), guard AS MATERIALIZED (
        SELECT EXISTS (SELECT 1 FROM member)
               AND (SELECT count(*) FROM shards WHERE id = ANY($3) AND owner = $1) = cardinality($3) AS owned,
               coalesce((SELECT sequence FROM executions WHERE id = $4[1]), 0) AS first,
               (SELECT fresh.id FROM fresh LEFT JOIN executions known ON known.id = fresh.id
                WHERE coalesce(known.sequence, 0) <> fresh.before LIMIT 1) AS conflict
    ), go AS MATERIALIZED (
        SELECT 1 FROM guard WHERE owned AND conflict IS NULL
    ), inserted AS (
        INSERT INTO executions (id, shard, state, closing, revision, sequence, created_at, started_at, finished_at,
                                workflow, closing_reason, labels, traceparent, failure)
        SELECT id, shard, state, closing, revision, sequence, created_at, started_at, finished_at, workflow,
               closing_reason, labels, traceparent, failure
        FROM fresh WHERE before = 0 AND EXISTS (SELECT 1 FROM go)
    ), given AS (
        INSERT INTO params (execution, value)
        SELECT id, params FROM fresh WHERE before = 0 AND EXISTS (SELECT 1 FROM go)
    ), grown AS (
        UPDATE executions
        SET state = fresh.state, closing = fresh.closing, closing_reason = fresh.closing_reason,
            sequence = fresh.sequence, started_at = fresh.started_at, finished_at = fresh.finished_at,
            failure = fresh.failure
        FROM fresh WHERE executions.id = fresh.id AND fresh.before > 0 AND EXISTS (SELECT 1 FROM go)
    ), asked AS (
        INSERT INTO requests (key, fingerprint, execution, created_at)
        SELECT * FROM unnest($20::text[], $21::text[], $22::uuid[], $23::bigint[]) WHERE EXISTS (SELECT 1 FROM go)
    ), changed AS (
        INSERT INTO tasks (execution, position, state, leases, returned, infra_losses, scheduled_at, ready_at,
                           started_at, attempt_started_at, finished_at, next_at, worker, failure, lease)
        SELECT * FROM unnest($24::uuid[], $25::integer[], $26::smallint[], $27::integer[], $28::integer[],
                             $29::integer[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::bigint[],
                             $35::bigint[], $36::text[], $37::text[], $38::text[])
        WHERE EXISTS (SELECT 1 FROM go)
        ON CONFLICT (execution, position) DO UPDATE SET
            state = excluded.state, leases = excluded.leases, returned = excluded.returned,
            infra_losses = excluded.infra_losses, scheduled_at = excluded.scheduled_at, ready_at = excluded.ready_at,
            started_at = excluded.started_at, attempt_started_at = excluded.attempt_started_at,
            finished_at = excluded.finished_at, next_at = excluded.next_at, worker = excluded.worker,
            failure = excluded.failure, lease = excluded.lease
    ), happened AS (
        INSERT INTO history (execution, sequence, at, kind, state, task, attempt, data)
        SELECT * FROM unnest($39::uuid[], $40::bigint[], $41::bigint[], $42::smallint[], $43::smallint[],
                             $44::integer[], $45::integer[], $46::text[])
        WHERE EXISTS (SELECT 1 FROM go)
    ), given_out AS (
        INSERT INTO outputs (execution, position, value)
        SELECT * FROM unnest($47::uuid[], $48::integer[], $49::text[]) WHERE EXISTS (SELECT 1 FROM go)
        ON CONFLICT (execution, position) DO UPDATE SET value = excluded.value
    )
    SELECT owned, first, conflict FROM guard"#;

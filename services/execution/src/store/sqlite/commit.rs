//! Writing: claiming the shards, and the one transaction that carries many executions' changes.

use std::collections::BTreeSet;

use nexus_mesh::failpoint::kill_here;
use nexus_storage::sqlite::Database;
use serde_json::{Value, json};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::database;
use crate::ids::{ExecutionId, SHARDS};
use crate::store::codec;
use crate::store::{Change, Fence, StoreError, TaskRow};

pub(super) async fn claim(store: &Database, owner: Uuid) -> Result<Fence, StoreError> {
    let mut transaction = store.begin().await?;
    let newest: i64 = sqlx::query("SELECT coalesce(max(epoch), 0) FROM shards")
        .fetch_one(&mut *transaction)
        .await
        .map_err(database)?
        .try_get(0)
        .map_err(database)?;
    let epoch = newest + 1;
    let shards: Vec<Value> = (0..SHARDS).map(Value::from).collect();
    sqlx::query(
        "INSERT INTO shards (id, owner, epoch) SELECT value, ?2, ?3 FROM json_each(?1) WHERE true
         ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch",
    )
    .bind(Value::from(shards).to_string())
    .bind(owner.as_bytes().as_slice())
    .bind(epoch)
    .execute(&mut *transaction)
    .await
    .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    kill_here("execution::claim");
    Ok(Fence { owner, epoch })
}

pub(super) async fn commit(store: &Database, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut transaction = store.begin().await?;
    kill_here("execution::commit::begin");
    require_fence(&mut transaction, fence, changes).await?;
    if already_written(&mut transaction, &changes[0]).await? {
        return Ok(());
    }
    write_executions(&mut transaction, changes).await?;
    write_tasks(&mut transaction, changes).await?;
    write_events(&mut transaction, changes).await?;
    write_outputs(&mut transaction, changes).await?;
    kill_here("execution::commit::written");
    transaction.commit().await.map_err(database)?;
    kill_here("execution::commit::done");
    Ok(())
}

/// Refuses a batch of somebody who no longer owns the shards.
async fn require_fence(connection: &mut SqliteConnection, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
    let shards: BTreeSet<u16> = changes.iter().map(|change| change.execution.id.shard()).collect();
    let owned: i64 = sqlx::query(
        "SELECT count(*) FROM shards WHERE id IN (SELECT value FROM json_each(?1)) AND owner = ?2 AND epoch = ?3",
    )
    .bind(json!(shards).to_string())
    .bind(fence.owner.as_bytes().as_slice())
    .bind(fence.epoch)
    .fetch_one(&mut *connection)
    .await
    .map_err(database)?
    .try_get(0)
    .map_err(database)?;
    if usize::try_from(owned).ok() == Some(shards.len()) {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// Whether the store has the batch already: its answer was lost, and it comes again. A batch is written whole or not at
/// all and only the owner writes, so the first change tells of all.
async fn already_written(connection: &mut SqliteConnection, change: &Change) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT sequence FROM executions WHERE id = ?1")
        .bind(id(change))
        .fetch_optional(&mut *connection)
        .await
        .map_err(database)?;
    let stored: i64 = row
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(database)?
        .unwrap_or_default();
    Ok(u64::try_from(stored).ok() == Some(change.execution.sequence))
}

fn id(change: &Change) -> Vec<u8> {
    change.execution.id.bytes().to_vec()
}

fn hex(id: ExecutionId) -> String {
    id.0.simple().to_string()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str, rows: Vec<Value>) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let result = sqlx::query(sql)
        .bind(Value::from(rows).to_string())
        .execute(connection)
        .await
        .map_err(database)?;
    Ok(result.rows_affected())
}

async fn write_executions(connection: &mut SqliteConnection, changes: &[Change]) -> Result<(), StoreError> {
    let (fresh, grown): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|change| change.before == 0);
    let columns = |change: &&Change| {
        let row = &change.execution;
        json!([
            hex(row.id),
            row.id.shard(),
            row.workflow,
            row.revision,
            codec::execution_state_number(row.state),
            codec::closing_number(row.closing),
            row.closing_reason,
            serde_json::to_string(&row.labels).unwrap_or_default(),
            row.traceparent,
            row.sequence,
            row.created_at,
            row.started_at,
            row.finished_at,
            codec::failure_text(row.failure.as_ref()),
            change.before,
            row.params,
        ])
    };
    let rows: Vec<Value> = fresh.iter().map(columns).collect();
    run(connection, INSERT_EXECUTIONS, rows.clone()).await?;
    run(connection, INSERT_PARAMS, rows).await?;
    let requests = fresh.iter().filter_map(|change| {
        let request = change.request.as_ref()?;
        let row = &change.execution;
        Some(json!([request.key, request.fingerprint, hex(row.id), row.created_at]))
    });
    run(connection, INSERT_REQUESTS, requests.collect()).await?;
    let updated = run(connection, UPDATE_EXECUTIONS, grown.iter().map(columns).collect()).await?;
    // Every update compares the sequence; one that matched nothing means that the store went on without this owner.
    if usize::try_from(updated).ok() != Some(grown.len()) {
        let execution = grown
            .first()
            .map_or(changes[0].execution.id, |change| change.execution.id);
        return Err(StoreError::Conflict { execution });
    }
    Ok(())
}

async fn write_tasks(connection: &mut SqliteConnection, changes: &[Change]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        let id = hex(change.execution.id);
        rows.extend(change.tasks.iter().map(|task| task_columns(&id, task)));
    }
    run(connection, UPSERT_TASKS, rows).await.map(drop)
}

fn task_columns(id: &str, task: &TaskRow) -> Value {
    json!([
        id,
        task.position,
        codec::task_state_number(task.state),
        task.leases,
        task.returned,
        task.infra_losses,
        task.scheduled_at,
        task.ready_at,
        task.started_at,
        task.attempt_started_at,
        task.finished_at,
        task.next_at,
        task.worker,
        codec::failure_text(task.failure.as_ref()),
    ])
}

async fn write_events(connection: &mut SqliteConnection, changes: &[Change]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        let id = hex(change.execution.id);
        for event in &change.events {
            let columns = codec::event_columns(event);
            rows.push(json!([
                id,
                event.sequence,
                event.at,
                columns.kind,
                columns.task,
                columns.attempt,
                columns.state,
                columns.data,
            ]));
        }
    }
    run(connection, INSERT_EVENTS, rows).await.map(drop)
}

async fn write_outputs(connection: &mut SqliteConnection, changes: &[Change]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        let id = hex(change.execution.id);
        for task in &change.tasks {
            if let Some(output) = &task.output {
                rows.push(json!([id, task.position, output]));
            }
        }
        if let Some(output) = &change.execution.output {
            rows.push(json!([id, -1, output]));
        }
    }
    run(connection, UPSERT_OUTPUTS, rows).await.map(drop)
}

const INSERT_EXECUTIONS: &str = "
    INSERT INTO executions (id, shard, workflow, revision, state, closing, closing_reason, labels, traceparent,
                            sequence, created_at, started_at, finished_at, failure)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
    FROM json_each(?1)";

const INSERT_PARAMS: &str =
    "INSERT INTO params (execution, value) SELECT unhex(value ->> 0), value ->> 15 FROM json_each(?1)";

const INSERT_REQUESTS: &str = "
    INSERT INTO requests (key, fingerprint, execution, created_at)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 FROM json_each(?1)";

const UPDATE_EXECUTIONS: &str = "
    UPDATE executions
    SET state = fresh.row ->> 4, closing = fresh.row ->> 5, closing_reason = fresh.row ->> 6,
        sequence = fresh.row ->> 9, started_at = fresh.row ->> 11, finished_at = fresh.row ->> 12,
        failure = fresh.row ->> 13
    FROM (SELECT value AS row FROM json_each(?1)) AS fresh
    WHERE executions.id = unhex(fresh.row ->> 0) AND executions.sequence = fresh.row ->> 14";

const UPSERT_TASKS: &str = "
    INSERT INTO tasks (execution, position, state, leases, returned, infra_losses, scheduled_at, ready_at, started_at,
                       attempt_started_at, finished_at, next_at, worker, failure)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
    FROM json_each(?1) WHERE true
    ON CONFLICT (execution, position) DO UPDATE SET
        state = excluded.state, leases = excluded.leases, returned = excluded.returned,
        infra_losses = excluded.infra_losses, scheduled_at = excluded.scheduled_at, ready_at = excluded.ready_at,
        started_at = excluded.started_at, attempt_started_at = excluded.attempt_started_at,
        finished_at = excluded.finished_at, next_at = excluded.next_at, worker = excluded.worker,
        failure = excluded.failure";

const INSERT_EVENTS: &str = "
    INSERT INTO history (execution, sequence, at, kind, task, attempt, state, data)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7
    FROM json_each(?1)";

const UPSERT_OUTPUTS: &str = "
    INSERT INTO outputs (execution, position, value)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
    ON CONFLICT (execution, position) DO UPDATE SET value = excluded.value";

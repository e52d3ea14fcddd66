//! Writing: claiming the shards, and the one transaction that carries many executions' changes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_execution_store::{Change, ExecutionId, Fence, SHARDS, StoreError, codec, facts, feed};
use nexus_failpoint::kill_here;
use nexus_storage::sqlite::Database;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;
use uuid::fmt::Simple;

use super::database;

/// Outputs of one portion.
macro_rules! upsert_outputs {
    ($rows:literal) => {
        concat!(
            "INSERT INTO outputs (execution, position, value)
             SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each(",
            $rows,
            ") WHERE true
             ON CONFLICT (execution, position) DO UPDATE SET value = excluded.value"
        )
    };
}

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

/// Bytes of outputs that go over in one statement. SQLite takes no text of a gigabyte.
const OUTPUTS_AT_ONCE: usize = 64 << 20;

/// Every call to the database wakes its thread and waits for it, which costs more than most statements do. So a commit
/// is four calls, however many tables and rows it has: begin, look, write, commit.
pub(super) async fn commit(store: &Database, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
    let Some(first) = changes.first() else { return Ok(()) };
    let mut transaction = store.begin().await?;
    kill_here("execution::commit::begin");
    let found = look(&mut transaction, fence, changes).await?;
    if !found.owned {
        return Err(StoreError::Fenced);
    }
    // Its answer was lost, and it comes again. A batch is written whole or not at all and only the owner writes, so the
    // first change tells of all.
    if found.first == first.execution.sequence {
        return Ok(());
    }
    if let Some(execution) = found.conflict {
        return Err(StoreError::Conflict { execution });
    }
    write(&mut transaction, changes, found.read).await?;
    kill_here("execution::commit::written");
    transaction.commit().await.map_err(database)?;
    kill_here("execution::commit::done");
    Ok(())
}

/// What stands in the way of a batch.
struct Found {
    /// The writer still owns every shard that it writes to.
    owned: bool,
    /// Number of the newest event that is stored of the first execution.
    first: u64,
    /// An execution of which other events are stored than the writer believes.
    conflict: Option<ExecutionId>,
    /// Somebody reads the feed.
    read: bool,
}

async fn look(connection: &mut SqliteConnection, fence: Fence, changes: &[Change]) -> Result<Found, StoreError> {
    let shards: BTreeSet<u16> = changes.iter().map(|change| change.execution.id.shard()).collect();
    let known: Vec<(Simple, u64)> = changes.iter().map(|change| (hex(change), change.before)).collect();
    let row = sqlx::query(LOOK)
        .bind(text(&shards)?)
        .bind(fence.owner.as_bytes().as_slice())
        .bind(fence.epoch)
        .bind(text(&known)?)
        .fetch_one(connection)
        .await
        .map_err(database)?;
    let owned: i64 = row.try_get(0).map_err(database)?;
    let first: i64 = row.try_get(1).map_err(database)?;
    let conflict: Option<String> = row.try_get(2).map_err(database)?;
    let conflict = conflict.map(|id| id.parse());
    Ok(Found {
        owned: usize::try_from(owned).ok() == Some(shards.len()),
        first: first.cast_unsigned(),
        conflict: conflict
            .transpose()
            .map_err(|_| StoreError::Inconsistent("an id is not a UUID".into()))?,
        read: row.try_get(3).map_err(database)?,
    })
}

fn hex(change: &Change) -> Simple {
    change.execution.id.0.simple()
}

fn text(rows: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Inconsistent(format!("a row cannot be written: {error}")))
}

async fn write(connection: &mut SqliteConnection, changes: &[Change], read: bool) -> Result<(), StoreError> {
    let (fresh, grown): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|change| change.before == 0);
    let mut outputs = outputs(changes).into_iter();
    sqlx::query(WRITE)
        .bind(text(&executions(&fresh)?)?)
        .bind(text(&requests(&fresh))?)
        .bind(text(&executions(&grown)?)?)
        .bind(text(&tasks(changes))?)
        .bind(text(&events(changes))?)
        .bind(text(&outputs.next().unwrap_or_default())?)
        .bind(if read { text(&told(changes))? } else { "[]".to_owned() })
        .bind(text(&notes(changes))?)
        .execute(&mut *connection)
        .await
        .map_err(database)?;
    for more in outputs {
        sqlx::query(UPSERT_OUTPUTS)
            .bind(text(&more)?)
            .execute(&mut *connection)
            .await
            .map_err(database)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct ExecutionColumns<'a>(
    Simple,
    u16,
    Cow<'a, str>,
    u32,
    i64,
    i64,
    &'a str,
    String,
    &'a str,
    u64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    &'a str,
    &'a str,
);

fn executions<'a>(changes: &[&'a Change]) -> Result<Vec<ExecutionColumns<'a>>, StoreError> {
    let columns = |change: &&'a Change| {
        let row = &change.execution;
        Ok(ExecutionColumns(
            hex(change),
            row.id.shard(),
            row.namespace.qualify(&row.workflow),
            row.revision,
            codec::execution_state_number(row.state),
            codec::closing_number(row.closing),
            &row.closing_reason,
            text(&row.labels)?,
            &row.traceparent,
            row.sequence,
            row.created_at,
            row.started_at,
            row.finished_at,
            codec::failure_text(row.failure.as_ref()),
            &row.params,
            row.namespace.as_str(),
        ))
    };
    changes.iter().map(columns).collect()
}

fn requests<'a>(fresh: &[&'a Change]) -> Vec<(&'a str, &'a str, Simple, i64)> {
    let columns = |change: &&'a Change| {
        let request = change.request.as_ref()?;
        let created_at = change.execution.created_at;
        Some((
            request.key.as_str(),
            request.fingerprint.as_str(),
            hex(change),
            created_at,
        ))
    };
    fresh.iter().filter_map(columns).collect()
}

#[derive(Serialize)]
struct TaskColumns<'a>(
    Simple,
    u32,
    i64,
    u32,
    u32,
    u32,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
    Option<String>,
    Option<String>,
);

fn tasks(changes: &[Change]) -> Vec<TaskColumns<'_>> {
    let mut rows = Vec::new();
    for change in changes {
        rows.extend(change.tasks.iter().map(|task| {
            TaskColumns(
                hex(change),
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
                task.worker.as_deref(),
                codec::failure_text(task.failure.as_ref()),
                codec::lease_text(task.lease.as_ref()),
            )
        }));
    }
    rows
}

fn told(changes: &[Change]) -> Vec<(u16, u32, Simple, u64, u64, i64)> {
    let columns = |told: feed::NewEntry| {
        let id = told.execution.0.simple();
        (told.shard, told.number, id, told.first, told.last, told.at)
    };
    feed::entries_of(changes).into_iter().map(columns).collect()
}

#[derive(Serialize)]
struct EventColumns(Simple, u64, i64, i64, i64, i64, i64, String);

fn events(changes: &[Change]) -> Vec<EventColumns> {
    let mut rows = Vec::new();
    for change in changes {
        for event in &change.events {
            let columns = facts::event_columns(event);
            rows.push(EventColumns(
                hex(change),
                event.sequence,
                event.at,
                columns.kind,
                columns.task,
                columns.attempt,
                columns.state,
                columns.data,
            ));
        }
    }
    rows
}

/// What the audit log is told: bytes as hex digits.
fn notes(changes: &[Change]) -> Vec<(&str, String, i64)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let notes = changes.iter().flat_map(|change| &change.notes);
    notes
        .map(|note| (note.id.as_str(), hex(&note.entry), note.at))
        .collect()
}

/// Outputs by execution and position, -1 being the execution's own, in portions that one statement can carry.
fn outputs(changes: &[Change]) -> Vec<Vec<(Simple, i64, Arc<str>)>> {
    let mut portions = vec![Vec::new()];
    let mut bytes = 0;
    let mut add = |change: &Change, position: i64, output: &Arc<str>| {
        if bytes > 0 && bytes + output.len() > OUTPUTS_AT_ONCE {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += output.len();
        if let Some(portion) = portions.last_mut() {
            portion.push((hex(change), position, Arc::clone(output)));
        }
    };
    for change in changes {
        for task in &change.tasks {
            if let Some(output) = &task.output {
                add(change, i64::from(task.position), output);
            }
        }
        if let Some(output) = &change.execution.output {
            add(change, -1, output);
        }
    }
    portions
}

const LOOK: &str = "
    SELECT (SELECT count(*) FROM shards
            WHERE id IN (SELECT value FROM json_each(?1)) AND owner = ?2 AND epoch = ?3),
           coalesce((SELECT sequence FROM executions WHERE id = unhex(?4 ->> '$[0][0]')), 0),
           (SELECT known.value ->> 0 FROM json_each(?4) known
            WHERE coalesce((SELECT sequence FROM executions WHERE id = unhex(known.value ->> 0)), 0)
                  <> known.value ->> 1 LIMIT 1),
           EXISTS (SELECT 1 FROM feed_readers)";

/// New executions ($1), their idempotency keys ($2), grown executions ($3), tasks ($4), events ($5), outputs ($6), what the
/// feed is told ($7), what the audit log is ($8). Who writes has looked: the store has just what the writer believes, and the transaction keeps it so.
/// The parameters are named, since every statement of a text counts its own.
const WRITE: &str = concat!(
    "
    INSERT INTO executions (id, shard, workflow, revision, state, closing, closing_reason, labels, traceparent,
                            sequence, created_at, started_at, finished_at, failure, namespace)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 15
    FROM json_each($1);

    INSERT INTO params (execution, value) SELECT unhex(value ->> 0), value ->> 14 FROM json_each($1);

    INSERT INTO requests (key, fingerprint, execution, created_at)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 FROM json_each($2);

    UPDATE executions
    SET state = fresh.row ->> 4, closing = fresh.row ->> 5, closing_reason = fresh.row ->> 6,
        sequence = fresh.row ->> 9, started_at = fresh.row ->> 11, finished_at = fresh.row ->> 12,
        failure = fresh.row ->> 13
    FROM (SELECT value AS row FROM json_each($3)) AS fresh
    WHERE executions.id = unhex(fresh.row ->> 0);

    INSERT INTO tasks (execution, position, state, leases, returned, infra_losses, scheduled_at, ready_at, started_at,
                       attempt_started_at, finished_at, next_at, worker, failure, lease)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14
    FROM json_each($4) WHERE true
    ON CONFLICT (execution, position) DO UPDATE SET
        state = excluded.state, leases = excluded.leases, returned = excluded.returned,
        infra_losses = excluded.infra_losses, scheduled_at = excluded.scheduled_at, ready_at = excluded.ready_at,
        started_at = excluded.started_at, attempt_started_at = excluded.attempt_started_at,
        finished_at = excluded.finished_at, next_at = excluded.next_at, worker = excluded.worker,
        failure = excluded.failure, lease = excluded.lease;

    INSERT INTO history (execution, sequence, at, kind, task, attempt, state, data)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7
    FROM json_each($5);

    INSERT INTO feed (shard, position, execution, first_event, last_event, at)
    SELECT value ->> 0,
           max((SELECT removed FROM feed_shards WHERE shard = value ->> 0),
               coalesce((SELECT max(position) FROM feed WHERE shard = value ->> 0), 0)) + (value ->> 1),
           unhex(value ->> 2), value ->> 3, value ->> 4, value ->> 5
    FROM json_each($7);

    INSERT INTO audit_outbox (id, entry, at) SELECT value ->> 0, unhex(value ->> 1), value ->> 2
    FROM json_each($8) WHERE true ON CONFLICT (id) DO NOTHING;
    ",
    upsert_outputs!("$6")
);

const UPSERT_OUTPUTS: &str = upsert_outputs!("?1");

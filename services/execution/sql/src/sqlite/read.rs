//! Reading: everything but logs. Lists page by key.

use std::borrow::Cow;
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::{Event, TaskState};
use nexus_execution_store::facts::EventColumns;
use nexus_execution_store::{ExecutionId, ExecutionRow, ListFilter, StoreError, TaskDuration, TaskRow, codec, facts};
use nexus_failpoint::kill_here;
use nexus_storage::sqlite::Database;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::database;

/// The columns of an execution without its payloads, in the order that [`execution_row`] reads them.
macro_rules! execution_columns {
    () => {
        "e.id, e.workflow, e.revision, e.state, e.closing, e.closing_reason, e.labels, e.traceparent, e.sequence,
         e.created_at, e.started_at, e.finished_at, e.failure"
    };
}
pub(super) use execution_columns;

/// The columns of a task, in the order that [`task_row`] reads them.
macro_rules! task_columns {
    () => {
        "t.execution, t.position, t.state, t.leases, t.returned, t.infra_losses, t.scheduled_at, t.ready_at,
         t.started_at, t.attempt_started_at, t.finished_at, t.next_at, t.worker, t.failure, o.value, t.lease"
    };
}

pub(super) async fn open_executions(
    store: &Database,
    shards: &[u16],
    after: Option<ExecutionId>,
    limit: u32,
) -> Result<Vec<(ExecutionRow, Vec<TaskRow>)>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        execution_columns!(),
        ", p.value, NULL FROM executions e INDEXED BY executions_open JOIN params p ON p.execution = e.id
         WHERE e.finished_at IS NULL AND e.id > ?1
           AND (?3 = '[]' OR e.shard IN (SELECT value FROM json_each(?3))) ORDER BY e.id LIMIT ?2"
    ))
    .bind(after.map_or_else(Vec::new, |id| id.bytes().to_vec()))
    .bind(limit)
    .bind(json!(shards).to_string())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        let execution = execution_row(row)?;
        let tasks = tasks(store, execution.id, 0, u32::MAX).await?;
        kill_here("execution::recover");
        open.push((execution, tasks));
    }
    Ok(open)
}

pub(super) async fn request(store: &Database, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError> {
    let row = sqlx::query("SELECT execution, fingerprint FROM requests WHERE key = ?1")
        .bind(key)
        .fetch_optional(store.reader())
        .await
        .map_err(database)?;
    row.map(|row| Ok((execution_id(&row, 0)?, row.try_get(1).map_err(database)?)))
        .transpose()
}

pub(super) async fn execution(store: &Database, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        execution_columns!(),
        ", p.value, o.value FROM executions e JOIN params p ON p.execution = e.id
         LEFT JOIN outputs o ON o.execution = e.id AND o.position = -1 WHERE e.id = ?1"
    ))
    .bind(id.bytes().to_vec())
    .fetch_optional(store.reader())
    .await
    .map_err(database)?;
    row.as_ref().map(execution_row).transpose()
}

pub(super) async fn ids_with_prefix(
    store: &Database,
    namespace: &Namespace,
    digits: &str,
) -> Result<Vec<ExecutionId>, StoreError> {
    // A prefix is a range of ids: from the digits filled up with 0 to the digits filled up with f.
    let bound = |fill: char| {
        let mut text: String = digits.chars().take(32).collect();
        while text.len() < 32 {
            text.push(fill);
        }
        text
    };
    let rows = sqlx::query(
        "SELECT id FROM executions WHERE id BETWEEN unhex(?1) AND unhex(?2) AND namespace = ?3 ORDER BY id LIMIT 2",
    )
    .bind(bound('0'))
    .bind(bound('f'))
    .bind(namespace.as_str())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    rows.iter().map(|row| execution_id(row, 0)).collect()
}

pub(super) async fn list(
    store: &Database,
    filter: &ListFilter,
    before: Option<ExecutionId>,
    limit: u32,
) -> Result<Vec<ExecutionRow>, StoreError> {
    let labels: Vec<Value> = filter.labels.iter().map(|(key, value)| json!([key, value])).collect();
    // The index by workflow gives the order, or that by namespace. Both are walked backwards.
    let (column, wanted) = match &filter.workflow {
        None => ("e.namespace", Some(Cow::Borrowed(filter.namespace.as_str()))),
        Some(workflow) => ("e.workflow", filter.namespace.find(workflow)),
    };
    let Some(wanted) = wanted else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {}, '', NULL FROM executions e
         WHERE {column} = ?1 AND (?2 IS NULL OR e.id < ?2) AND (?3 IS NULL OR e.state = ?3)
           AND (?4 IS NULL OR e.created_at > ?4) AND (?5 IS NULL OR e.created_at < ?5)
           AND NOT EXISTS (SELECT 1 FROM json_each(?6) wanted WHERE NOT EXISTS (
                 SELECT 1 FROM json_each(e.labels) has
                 WHERE has.key = wanted.value ->> 0 AND has.value = wanted.value ->> 1))
         ORDER BY e.id DESC LIMIT ?7",
        execution_columns!()
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(&*wanted)
        .bind(before.map(|id| id.bytes().to_vec()))
        .bind(filter.state.map(codec::execution_state_number))
        .bind(filter.created_after)
        .bind(filter.created_before)
        .bind(Value::from(labels).to_string())
        .bind(limit)
        .fetch_all(store.reader())
        .await
        .map_err(database)?;
    rows.iter().map(execution_row).collect()
}

pub(super) async fn task_counts(
    store: &Database,
    ids: &[ExecutionId],
) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError> {
    let ids: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
    let rows = sqlx::query(
        "SELECT t.execution, t.state, count(*) FROM json_each(?1) ids JOIN tasks t ON t.execution = unhex(ids.value)
         GROUP BY t.execution, t.state",
    )
    .bind(json!(ids).to_string())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let counted = |row: &SqliteRow| {
        let state = codec::task_state(row.try_get(1).map_err(database)?)?;
        Ok((execution_id(row, 0)?, state, row.try_get(2).map_err(database)?))
    };
    rows.iter().map(counted).collect()
}

pub(super) async fn tasks(
    store: &Database,
    id: ExecutionId,
    from: u32,
    limit: u32,
) -> Result<Vec<TaskRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        task_columns!(),
        " FROM tasks t LEFT JOIN outputs o ON o.execution = t.execution AND o.position = t.position
         WHERE t.execution = ?1 AND t.position >= ?2 AND t.position < ?3 ORDER BY t.position"
    ))
    .bind(id.bytes().to_vec())
    .bind(from)
    .bind(i64::from(from) + i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    rows.iter().map(task_row).collect()
}

pub(super) async fn history(
    store: &Database,
    id: ExecutionId,
    task: Option<u32>,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query(
        "SELECT sequence, at, kind, task, attempt, state, data FROM history
         WHERE execution = ?1 AND sequence > ?2 AND (?3 IS NULL OR task = ?3) ORDER BY sequence LIMIT ?4",
    )
    .bind(id.bytes().to_vec())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(task)
    .bind(limit)
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    rows.iter().map(event).collect()
}

pub(super) async fn durations(
    store: &Database,
    workflow: &str,
    executions: u32,
) -> Result<(Vec<TaskDuration>, u32), StoreError> {
    let rows = sqlx::query(
        "WITH newest AS (SELECT id, revision FROM executions WHERE workflow = ?1 AND finished_at IS NOT NULL
                         ORDER BY id DESC LIMIT ?2)
         SELECT n.revision, t.position, avg(t.finished_at - t.attempt_started_at) / 1e6, count(*),
                (SELECT count(*) FROM newest)
         FROM newest n JOIN tasks t ON t.execution = n.id
         WHERE t.state = ?3 AND t.attempt_started_at IS NOT NULL GROUP BY n.revision, t.position",
    )
    .bind(workflow)
    .bind(executions)
    .bind(codec::task_state_number(TaskState::Succeeded))
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let mut looked_at = 0;
    let mut durations = Vec::with_capacity(rows.len());
    for row in &rows {
        looked_at = row.try_get(4).map_err(database)?;
        durations.push(TaskDuration {
            revision: row.try_get(0).map_err(database)?,
            position: row.try_get(1).map_err(database)?,
            mean_seconds: row.try_get(2).map_err(database)?,
            samples: row.try_get(3).map_err(database)?,
        });
    }
    Ok((durations, looked_at))
}

pub(super) fn execution_id(row: &SqliteRow, column: usize) -> Result<ExecutionId, StoreError> {
    let bytes: Vec<u8> = row.try_get(column).map_err(database)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| StoreError::Inconsistent("an id has not 16 bytes".into()))?;
    Ok(ExecutionId::from_bytes(bytes))
}

pub(super) fn execution_row(row: &SqliteRow) -> Result<ExecutionRow, StoreError> {
    let labels: String = row.try_get(6).map_err(database)?;
    let failure: Option<String> = row.try_get(12).map_err(database)?;
    let params: String = row.try_get(13).map_err(database)?;
    let output: Option<String> = row.try_get(14).map_err(database)?;
    let (namespace, workflow) = codec::workflow(row.try_get(1).map_err(database)?)?;
    Ok(ExecutionRow {
        id: execution_id(row, 0)?,
        namespace,
        workflow,
        revision: row.try_get(2).map_err(database)?,
        state: codec::execution_state(row.try_get(3).map_err(database)?)?,
        closing: codec::closing(row.try_get(4).map_err(database)?)?,
        closing_reason: row.try_get(5).map_err(database)?,
        labels: serde_json::from_str(&labels)
            .map_err(|error| StoreError::Inconsistent(format!("an execution's labels: {error}")))?,
        traceparent: row.try_get(7).map_err(database)?,
        sequence: row.try_get::<i64, _>(8).map_err(database)?.cast_unsigned(),
        created_at: row.try_get(9).map_err(database)?,
        started_at: row.try_get(10).map_err(database)?,
        finished_at: row.try_get(11).map_err(database)?,
        failure: codec::failure(failure.as_deref())?,
        params: Arc::from(params),
        output: output.map(Arc::from),
    })
}

fn task_row(row: &SqliteRow) -> Result<TaskRow, StoreError> {
    let worker: Option<String> = row.try_get(12).map_err(database)?;
    let failure: Option<String> = row.try_get(13).map_err(database)?;
    let output: Option<String> = row.try_get(14).map_err(database)?;
    let lease: Option<String> = row.try_get(15).map_err(database)?;
    Ok(TaskRow {
        lease: codec::lease(lease.as_deref()),
        position: row.try_get(1).map_err(database)?,
        state: codec::task_state(row.try_get(2).map_err(database)?)?,
        leases: row.try_get(3).map_err(database)?,
        returned: row.try_get(4).map_err(database)?,
        infra_losses: row.try_get(5).map_err(database)?,
        scheduled_at: row.try_get(6).map_err(database)?,
        ready_at: row.try_get(7).map_err(database)?,
        started_at: row.try_get(8).map_err(database)?,
        attempt_started_at: row.try_get(9).map_err(database)?,
        finished_at: row.try_get(10).map_err(database)?,
        next_at: row.try_get(11).map_err(database)?,
        worker: worker.map(Arc::from),
        failure: codec::failure(failure.as_deref())?,
        output: output.map(Arc::from),
    })
}

pub(super) fn event(row: &SqliteRow) -> Result<Event, StoreError> {
    let columns = EventColumns {
        kind: row.try_get(2).map_err(database)?,
        task: row.try_get(3).map_err(database)?,
        attempt: row.try_get(4).map_err(database)?,
        state: row.try_get(5).map_err(database)?,
        data: row.try_get(6).map_err(database)?,
    };
    let sequence = row.try_get::<i64, _>(0).map_err(database)?.cast_unsigned();
    facts::event(sequence, row.try_get(1).map_err(database)?, &columns)
}

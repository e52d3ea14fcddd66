//! Reading: everything but logs. Lists page by key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::{Event, ExecutionState, TaskState};
use nexus_execution_store::facts::EventColumns;
use nexus_execution_store::{
    ExecutionId, ExecutionRow, ListFilter, StoreError, TaskCounts, TaskDuration, TaskRow, codec, facts,
};
use nexus_failpoint::kill_here;
use nexus_storage::postgres::Database;
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::{big, natural};
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
    let shards: Vec<i16> = shards.iter().filter_map(|shard| i16::try_from(*shard).ok()).collect();
    let rows = sqlx::query(concat!(
        "SELECT ",
        execution_columns!(),
        ", p.value, NULL FROM executions e JOIN params p ON p.execution = e.id
         WHERE e.finished_at IS NULL AND ($1::uuid IS NULL OR e.id > $1)
           AND (cardinality($2::smallint[]) = 0 OR e.shard = ANY($2)) ORDER BY e.id LIMIT $3"
    ))
    .bind(after.map(|id| id.0))
    .bind(shards)
    .bind(i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let executions: Vec<ExecutionRow> = rows.iter().map(execution_row).collect::<Result<_, _>>()?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        task_columns!(),
        " FROM tasks t LEFT JOIN outputs o ON o.execution = t.execution AND o.position = t.position
         WHERE t.execution = ANY($1) ORDER BY t.execution, t.position"
    ))
    .bind(executions.iter().map(|row| row.id.0).collect::<Vec<_>>())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let mut tasks: HashMap<ExecutionId, Vec<TaskRow>> = HashMap::new();
    for row in &rows {
        tasks.entry(execution_id(row, 0)?).or_default().push(task_row(row)?);
    }
    kill_here("execution::recover");
    let with_tasks = |row: ExecutionRow| {
        let tasks = tasks.remove(&row.id).unwrap_or_default();
        (row, tasks)
    };
    Ok(executions.into_iter().map(with_tasks).collect())
}

pub(super) async fn request(store: &Database, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError> {
    let row = sqlx::query("SELECT execution, fingerprint FROM requests WHERE key = $1")
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
         LEFT JOIN outputs o ON o.execution = e.id AND o.position = -1 WHERE e.id = $1"
    ))
    .bind(id.0)
    .fetch_optional(store.reader())
    .await
    .map_err(database)?;
    row.as_ref().map(execution_row).transpose()
}

pub(super) async fn execution_state(
    store: &Database,
    namespace: &Namespace,
    id: ExecutionId,
) -> Result<Option<ExecutionState>, StoreError> {
    let state: Option<i16> = sqlx::query_scalar("SELECT state FROM executions WHERE id = $1 AND namespace = $2")
        .bind(id.0)
        .bind(namespace.as_str())
        .fetch_optional(store.reader())
        .await
        .map_err(database)?;
    state.map(|state| codec::execution_state(i64::from(state))).transpose()
}

/// One statement: it is asked for with every start and every end.
pub(super) async fn counted(
    store: &Database,
    id: ExecutionId,
) -> Result<Option<(ExecutionRow, TaskCounts)>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        execution_columns!(),
        ", p.value, o.value, c.states, c.numbers
         FROM executions e JOIN params p ON p.execution = e.id
         LEFT JOIN outputs o ON o.execution = e.id AND o.position = -1
         CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(state), '{}') AS states, coalesce(array_agg(number), '{}') AS numbers
            FROM (SELECT state, count(*) AS number FROM tasks WHERE execution = e.id GROUP BY state) each
         ) c WHERE e.id = $1"
    ))
    .bind(id.0)
    .fetch_optional(store.reader())
    .await
    .map_err(database)?;
    let Some(row) = row else { return Ok(None) };
    let states: Vec<i16> = row.try_get(15).map_err(database)?;
    let numbers: Vec<i64> = row.try_get(16).map_err(database)?;
    let counted = |(state, number): (i16, i64)| {
        let state = codec::task_state(i64::from(state))?;
        Ok((state, u32::try_from(number).unwrap_or(u32::MAX)))
    };
    let counts = states.into_iter().zip(numbers).map(counted);
    Ok(Some((execution_row(&row)?, counts.collect::<Result<_, StoreError>>()?)))
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
        Uuid::try_parse(&text).unwrap_or_default()
    };
    let rows =
        sqlx::query("SELECT id FROM executions WHERE id BETWEEN $1 AND $2 AND namespace = $3 ORDER BY id LIMIT 2")
            .bind(bound('0'))
            .bind(bound('f'))
            .bind(namespace.as_str())
            .fetch_all(store.reader())
            .await
            .map_err(database)?;
    rows.iter().map(|row| execution_id(row, 0)).collect()
}

/// The index by workflow gives the order, or that by namespace. Both are walked backwards.
macro_rules! list {
    ($column:literal) => {
        concat!(
            "SELECT ",
            execution_columns!(),
            ", '', NULL FROM executions e
             WHERE ",
            $column,
            " = $1 AND ($2::uuid IS NULL OR e.id < $2) AND ($3::smallint IS NULL OR e.state = $3)
               AND ($4::bigint IS NULL OR e.created_at > $4) AND ($5::bigint IS NULL OR e.created_at < $5)
               AND ($6::text = '{}' OR e.labels::jsonb @> $6::jsonb)
             ORDER BY e.id DESC LIMIT $7"
        )
    };
}

pub(super) async fn list(
    store: &Database,
    filter: &ListFilter,
    before: Option<ExecutionId>,
    limit: u32,
) -> Result<Vec<ExecutionRow>, StoreError> {
    let mut wanted = Map::new();
    for (key, value) in &filter.labels {
        let other = wanted.insert(key.clone(), Value::from(value.as_str()));
        if other.is_some_and(|other| other != *value) {
            // No execution has two values for one label.
            return Ok(Vec::new());
        }
    }
    let (sql, of) = match &filter.workflow {
        None => (list!("e.namespace"), Some(Cow::Borrowed(filter.namespace.as_str()))),
        Some(workflow) => (list!("e.workflow"), filter.namespace.find(workflow)),
    };
    let Some(of) = of else {
        return Ok(Vec::new());
    };
    let state = filter.state.map(codec::execution_state_number);
    let rows = sqlx::query(sql)
        .bind(&*of)
        .bind(before.map(|id| id.0))
        .bind(state.and_then(|state| i16::try_from(state).ok()))
        .bind(filter.created_after)
        .bind(filter.created_before)
        .bind(Value::from(wanted).to_string())
        .bind(i64::from(limit))
        .fetch_all(store.reader())
        .await
        .map_err(database)?;
    rows.iter().map(execution_row).collect()
}

pub(super) async fn task_counts(
    store: &Database,
    ids: &[ExecutionId],
) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError> {
    let rows = sqlx::query(
        "SELECT execution, state, count(*) FROM tasks WHERE execution = ANY($1) GROUP BY execution, state
         ORDER BY execution, state",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let counted = |row: &PgRow| {
        let state = codec::task_state(i64::from(row.try_get::<i16, _>(1).map_err(database)?))?;
        let count: i64 = row.try_get(2).map_err(database)?;
        Ok((execution_id(row, 0)?, state, u32::try_from(count).unwrap_or(u32::MAX)))
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
         WHERE t.execution = $1 AND t.position >= $2 AND t.position < $3 ORDER BY t.position"
    ))
    .bind(id.0)
    .bind(i64::from(from))
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
         WHERE execution = $1 AND sequence > $2 AND ($3::integer IS NULL OR task = $3) ORDER BY sequence LIMIT $4",
    )
    .bind(id.0)
    .bind(big(after))
    .bind(task.map(|task| i32::try_from(task).unwrap_or(i32::MAX)))
    .bind(i64::from(limit))
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
        "WITH newest AS (SELECT id, revision FROM executions WHERE workflow = $1 AND finished_at IS NOT NULL
                         ORDER BY id DESC LIMIT $2)
         SELECT n.revision, t.position, coalesce(avg(t.finished_at - t.attempt_started_at), 0)::double precision / 1e6, count(*),
                (SELECT count(*) FROM newest)
         FROM newest n JOIN tasks t ON t.execution = n.id
         WHERE t.state = $3 AND t.attempt_started_at IS NOT NULL GROUP BY n.revision, t.position
         ORDER BY n.revision, t.position",
    )
    .bind(workflow)
    .bind(i64::from(executions))
    .bind(i16::try_from(codec::task_state_number(TaskState::Succeeded)).unwrap_or_default())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let mut looked_at = 0;
    let mut durations = Vec::with_capacity(rows.len());
    for row in &rows {
        let count = |column: usize| row.try_get::<i64, _>(column).map_err(database);
        looked_at = u32::try_from(count(4)?).unwrap_or(u32::MAX);
        durations.push(TaskDuration {
            revision: natural(row.try_get(0).map_err(database)?)?,
            position: natural(row.try_get(1).map_err(database)?)?,
            mean_seconds: row.try_get(2).map_err(database)?,
            samples: u32::try_from(count(3)?).unwrap_or(u32::MAX),
        });
    }
    Ok((durations, looked_at))
}

pub(super) fn execution_id(row: &PgRow, column: usize) -> Result<ExecutionId, StoreError> {
    row.try_get(column).map(ExecutionId).map_err(database)
}

pub(super) fn execution_row(row: &PgRow) -> Result<ExecutionRow, StoreError> {
    let small = |column: usize| row.try_get::<i16, _>(column).map(i64::from).map_err(database);
    let labels: String = row.try_get(6).map_err(database)?;
    let failure: Option<String> = row.try_get(12).map_err(database)?;
    let params: String = row.try_get(13).map_err(database)?;
    let output: Option<String> = row.try_get(14).map_err(database)?;
    let (namespace, workflow) = codec::workflow(row.try_get(1).map_err(database)?)?;
    Ok(ExecutionRow {
        id: execution_id(row, 0)?,
        namespace,
        workflow,
        revision: natural(row.try_get(2).map_err(database)?)?,
        state: codec::execution_state(small(3)?)?,
        closing: codec::closing(small(4)?)?,
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

fn task_row(row: &PgRow) -> Result<TaskRow, StoreError> {
    let number = |column: usize| natural(row.try_get(column).map_err(database)?);
    let text = |column: usize| row.try_get::<Option<String>, _>(column).map_err(database);
    let state: i16 = row.try_get(2).map_err(database)?;
    Ok(TaskRow {
        position: number(1)?,
        state: codec::task_state(i64::from(state))?,
        leases: number(3)?,
        returned: number(4)?,
        infra_losses: number(5)?,
        scheduled_at: row.try_get(6).map_err(database)?,
        ready_at: row.try_get(7).map_err(database)?,
        started_at: row.try_get(8).map_err(database)?,
        attempt_started_at: row.try_get(9).map_err(database)?,
        finished_at: row.try_get(10).map_err(database)?,
        next_at: row.try_get(11).map_err(database)?,
        worker: text(12)?.map(Arc::from),
        failure: codec::failure(text(13)?.as_deref())?,
        output: text(14)?.map(Arc::from),
        lease: codec::lease(text(15)?.as_deref()),
    })
}

pub(super) fn event(row: &PgRow) -> Result<Event, StoreError> {
    let small = |column: usize| row.try_get::<i16, _>(column).map(i64::from).map_err(database);
    let number = |column: usize| row.try_get::<i32, _>(column).map(i64::from).map_err(database);
    let columns = EventColumns {
        kind: small(2)?,
        task: number(3)?,
        attempt: number(4)?,
        state: small(5)?,
        data: row.try_get(6).map_err(database)?,
    };
    let sequence = row.try_get::<i64, _>(0).map_err(database)?.cast_unsigned();
    facts::event(sequence, row.try_get(1).map_err(database)?, &columns)
}

//! A batch of changes as columns, ready to be bound.

use std::borrow::Cow;

use nexus_execution_store::{Change, StoreError, codec, facts};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

/// A statement to which columns are bound.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Executions that the store does not have yet.
#[derive(Default)]
pub(super) struct Fresh<'a> {
    ids: Vec<Uuid>,
    shards: Vec<i16>,
    states: Vec<i16>,
    closings: Vec<i16>,
    revisions: Vec<i32>,
    sequences: Vec<i64>,
    created: Vec<i64>,
    started: Vec<Option<i64>>,
    finished: Vec<Option<i64>>,
    workflows: Vec<Cow<'a, str>>,
    reasons: Vec<&'a str>,
    labels: Vec<String>,
    traceparents: Vec<&'a str>,
    failures: Vec<Option<String>>,
    params: Vec<&'a str>,
    namespaces: Vec<&'a str>,
}

impl<'a> Fresh<'a> {
    pub(super) const TYPES: &'static [&'static str] = &[
        "uuid", "smallint", "smallint", "smallint", "integer", "bigint", "bigint", "bigint", "bigint", "text", "text",
        "text", "text", "text", "text", "text",
    ];

    pub(super) fn of(changes: &'a [Change]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for change in changes.iter().filter(|change| change.before == 0) {
            let row = &change.execution;
            columns.ids.push(row.id.0);
            columns.shards.push(i16::try_from(row.id.shard()).unwrap_or_default());
            columns.states.push(small(codec::execution_state_number(row.state)));
            columns.closings.push(small(codec::closing_number(row.closing)));
            columns.revisions.push(int(row.revision));
            columns.sequences.push(big(row.sequence));
            columns.created.push(row.created_at);
            columns.started.push(row.started_at);
            columns.finished.push(row.finished_at);
            columns.workflows.push(row.namespace.qualify(&row.workflow));
            columns.reasons.push(&row.closing_reason);
            columns.labels.push(json(&row.labels)?);
            columns.traceparents.push(&row.traceparent);
            columns.failures.push(codec::failure_text(row.failure.as_ref()));
            columns.params.push(&row.params);
            columns.namespaces.push(row.namespace.as_str());
        }
        Ok(columns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement
            .bind(self.ids)
            .bind(self.shards)
            .bind(self.states)
            .bind(self.closings)
            .bind(self.revisions)
            .bind(self.sequences)
            .bind(self.created)
            .bind(self.started)
            .bind(self.finished)
            .bind(self.workflows)
            .bind(self.reasons)
            .bind(self.labels)
            .bind(self.traceparents)
            .bind(self.failures)
            .bind(self.params)
            .bind(self.namespaces)
    }
}

/// Executions of which the store has something; what never changes is not among it.
#[derive(Default)]
pub(super) struct Grown<'a> {
    ids: Vec<Uuid>,
    before: Vec<i64>,
    states: Vec<i16>,
    closings: Vec<i16>,
    sequences: Vec<i64>,
    started: Vec<Option<i64>>,
    finished: Vec<Option<i64>>,
    reasons: Vec<&'a str>,
    failures: Vec<Option<String>>,
}

impl<'a> Grown<'a> {
    pub(super) const TYPES: &'static [&'static str] = &[
        "uuid", "bigint", "smallint", "smallint", "bigint", "bigint", "bigint", "text", "text",
    ];

    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut columns = Self::default();
        for change in changes.iter().filter(|change| change.before > 0) {
            let row = &change.execution;
            columns.ids.push(row.id.0);
            columns.before.push(big(change.before));
            columns.states.push(small(codec::execution_state_number(row.state)));
            columns.closings.push(small(codec::closing_number(row.closing)));
            columns.sequences.push(big(row.sequence));
            columns.started.push(row.started_at);
            columns.finished.push(row.finished_at);
            columns.reasons.push(&row.closing_reason);
            columns.failures.push(codec::failure_text(row.failure.as_ref()));
        }
        columns
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement
            .bind(self.ids)
            .bind(self.before)
            .bind(self.states)
            .bind(self.closings)
            .bind(self.sequences)
            .bind(self.started)
            .bind(self.finished)
            .bind(self.reasons)
            .bind(self.failures)
    }
}

/// Idempotency keys of new executions.
#[derive(Default)]
pub(super) struct Requests<'a> {
    keys: Vec<&'a str>,
    fingerprints: Vec<&'a str>,
    executions: Vec<Uuid>,
    created: Vec<i64>,
}

impl<'a> Requests<'a> {
    pub(super) const TYPES: &'static [&'static str] = &["text", "text", "uuid", "bigint"];

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut columns = Self::default();
        for change in changes {
            if let Some(request) = &change.request {
                columns.keys.push(&request.key);
                columns.fingerprints.push(&request.fingerprint);
                columns.executions.push(change.execution.id.0);
                columns.created.push(change.execution.created_at);
            }
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement
            .bind(self.keys)
            .bind(self.fingerprints)
            .bind(self.executions)
            .bind(self.created)
    }
}

/// What the audit log is told.
#[derive(Default)]
pub(super) struct Notes<'a> {
    ids: Vec<&'a str>,
    entries: Vec<&'a [u8]>,
    at: Vec<i64>,
}

impl<'a> Notes<'a> {
    pub(super) const TYPES: &'static [&'static str] = &["text", "bytea", "bigint"];

    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut columns = Self::default();
        for note in changes.iter().flat_map(|change| &change.notes) {
            columns.ids.push(&note.id);
            columns.entries.push(&note.entry);
            columns.at.push(note.at);
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement.bind(self.ids).bind(self.entries).bind(self.at)
    }
}

/// Tasks that changed.
#[derive(Default)]
pub(super) struct Tasks<'a> {
    executions: Vec<Uuid>,
    positions: Vec<i32>,
    states: Vec<i16>,
    leases: Vec<i32>,
    returned: Vec<i32>,
    infra_losses: Vec<i32>,
    scheduled: Vec<Option<i64>>,
    ready: Vec<Option<i64>>,
    started: Vec<Option<i64>>,
    attempt_started: Vec<Option<i64>>,
    finished: Vec<Option<i64>>,
    next: Vec<Option<i64>>,
    workers: Vec<Option<&'a str>>,
    failures: Vec<Option<String>>,
    keys: Vec<Option<String>>,
}

impl<'a> Tasks<'a> {
    pub(super) const TYPES: &'static [&'static str] = &[
        "uuid", "integer", "smallint", "integer", "integer", "integer", "bigint", "bigint", "bigint", "bigint",
        "bigint", "bigint", "text", "text", "text",
    ];

    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut columns = Self::default();
        for change in changes {
            for task in &change.tasks {
                columns.executions.push(change.execution.id.0);
                columns.positions.push(int(task.position));
                columns.states.push(small(codec::task_state_number(task.state)));
                columns.leases.push(int(task.leases));
                columns.returned.push(int(task.returned));
                columns.infra_losses.push(int(task.infra_losses));
                columns.scheduled.push(task.scheduled_at);
                columns.ready.push(task.ready_at);
                columns.started.push(task.started_at);
                columns.attempt_started.push(task.attempt_started_at);
                columns.finished.push(task.finished_at);
                columns.next.push(task.next_at);
                columns.workers.push(task.worker.as_deref());
                columns.failures.push(codec::failure_text(task.failure.as_ref()));
                columns.keys.push(codec::lease_text(task.lease.as_ref()));
            }
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement
            .bind(self.executions)
            .bind(self.positions)
            .bind(self.states)
            .bind(self.leases)
            .bind(self.returned)
            .bind(self.infra_losses)
            .bind(self.scheduled)
            .bind(self.ready)
            .bind(self.started)
            .bind(self.attempt_started)
            .bind(self.finished)
            .bind(self.next)
            .bind(self.workers)
            .bind(self.failures)
            .bind(self.keys)
    }
}

/// New events.
#[derive(Default)]
pub(super) struct Events {
    executions: Vec<Uuid>,
    sequences: Vec<i64>,
    at: Vec<i64>,
    kinds: Vec<i16>,
    states: Vec<i16>,
    tasks: Vec<i32>,
    attempts: Vec<i32>,
    data: Vec<String>,
}

impl Events {
    pub(super) const TYPES: &'static [&'static str] = &[
        "uuid", "bigint", "bigint", "smallint", "smallint", "integer", "integer", "text",
    ];

    pub(super) fn of(changes: &[Change]) -> Self {
        let mut columns = Self::default();
        for change in changes {
            for event in &change.events {
                let written = facts::event_columns(event);
                columns.executions.push(change.execution.id.0);
                columns.sequences.push(big(event.sequence));
                columns.at.push(event.at);
                columns.kinds.push(small(written.kind));
                columns.states.push(small(written.state));
                columns.tasks.push(i32::try_from(written.task).unwrap_or(i32::MAX));
                columns
                    .attempts
                    .push(i32::try_from(written.attempt).unwrap_or(i32::MAX));
                columns.data.push(written.data);
            }
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        statement
            .bind(self.executions)
            .bind(self.sequences)
            .bind(self.at)
            .bind(self.kinds)
            .bind(self.states)
            .bind(self.tasks)
            .bind(self.attempts)
            .bind(self.data)
    }
}

/// Outputs by execution and position, -1 being the execution's own.
#[derive(Default)]
pub(super) struct Outputs<'a> {
    executions: Vec<Uuid>,
    positions: Vec<i32>,
    values: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Outputs<'a> {
    pub(super) const TYPES: &'static [&'static str] = &["uuid", "integer", "text"];

    pub(super) fn is_empty(&self) -> bool {
        self.executions.is_empty()
    }

    /// In portions of about so many bytes; at least one, which may be empty.
    pub(super) fn of(changes: &'a [Change], portion: usize) -> Vec<Self> {
        let mut portions = vec![Self::default()];
        let mut add = |change: &Change, position: i32, value: &'a str| {
            if portions
                .last()
                .is_some_and(|last| last.bytes > 0 && last.bytes + value.len() > portion)
            {
                portions.push(Self::default());
            }
            if let Some(last) = portions.last_mut() {
                last.executions.push(change.execution.id.0);
                last.positions.push(position);
                last.values.push(value);
                last.bytes += value.len();
            }
        };
        for change in changes {
            for task in &change.tasks {
                if let Some(output) = &task.output {
                    add(change, int(task.position), output);
                }
            }
            if let Some(output) = &change.execution.output {
                add(change, -1, output);
            }
        }
        portions
    }

    pub(super) fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        statement.bind(self.executions).bind(self.positions).bind(self.values)
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Inconsistent(format!("a row cannot be written: {error}")))
}

fn small(number: i64) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that cannot be negative.
pub(super) fn natural(number: i32) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Inconsistent(format!("{number} is negative")))
}

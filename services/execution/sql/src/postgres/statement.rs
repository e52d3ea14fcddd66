//! The text of the statement that writes a batch. What a batch has none of is left out: most of what a small statement
//! costs the server is to set up and take down each of its parts.

use std::fmt::Write;
use std::sync::OnceLock;

use super::columns::{Events, Fresh, Grown, Notes, Outputs, Requests, Tasks};
use super::entries::{ENDS, FeedColumns, TELL};

/// What a batch has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// New executions.
    pub(super) begins: bool,
    /// Executions of which something is stored.
    pub(super) grows: bool,
    /// Idempotency keys.
    pub(super) asks: bool,
    /// Outputs.
    pub(super) gives: bool,
    /// Something for the feed, if anybody reads it. Without it nothing is written when somebody does.
    pub(super) tells: bool,
    /// Something for the audit log.
    pub(super) notes: bool,
}

impl Shape {
    /// The statement. Its parameters are the writer's name and epoch, the shards that it writes to, the first execution's
    /// id, and then the columns of what there is: fresh and grown executions, requests, tasks, events, outputs, what
    /// the feed is told, what the audit log is.
    pub(super) fn text(self) -> &'static str {
        static TEXTS: [OnceLock<String>; 64] = [const { OnceLock::new() }; 64];
        let parts = [self.begins, self.grows, self.asks, self.gives, self.tells, self.notes];
        let number = parts.iter().fold(0, |number, part| number * 2 + usize::from(*part));
        TEXTS[number].get_or_init(|| self.write())
    }

    fn write(self) -> String {
        let mut text = Text::new();
        // The writer's row is held so that nobody takes the writer out before this is over; everything else is read as it
        // was when the statement began, and only the owner changes it.
        text.part(
            "member",
            "SELECT owner FROM replicas WHERE owner = $1 AND epoch = $2 FOR KEY SHARE",
        );
        if self.begins {
            text.rows("fresh", FRESH, Fresh::TYPES);
        }
        if self.grows {
            text.rows("grown", GROWN, Grown::TYPES);
        }
        text.part("guard", &self.guard());
        let go = "SELECT 1 FROM guard WHERE owned AND conflict IS NULL";
        let untold = if self.tells { "" } else { " AND NOT read" };
        text.part("go", &format!("{go}{untold}"));
        if self.begins {
            text.part("inserted", INSERTED);
            text.part("given", GIVEN);
        }
        if self.grows {
            text.part("updated", UPDATED);
        }
        if self.asks {
            text.insert(
                "asked",
                "requests (key, fingerprint, execution, created_at)",
                Requests::TYPES,
                "",
            );
        }
        text.insert("changed", TASKS, Tasks::TYPES, TASK_KNOWN);
        text.insert("happened", EVENTS, Events::TYPES, "");
        if self.gives {
            text.insert(
                "given_out",
                "outputs (execution, position, value)",
                Outputs::TYPES,
                OUTPUT_KNOWN,
            );
        }
        if self.tells {
            text.rows("told", FeedColumns::NAMES, FeedColumns::TYPES);
            text.part("ends", ENDS);
            text.also("said", TELL);
        }
        if self.notes {
            text.insert("noted", NOTES, Notes::TYPES, NOTE_KNOWN);
        }
        text.0 + " SELECT owned, first, conflict, read FROM guard"
    }

    /// Whether the writer owns the shards, and whether the store has just what the writer believes.
    fn guard(self) -> String {
        let known = "SELECT fresh.id FROM fresh JOIN executions known ON known.id = fresh.id LIMIT 1";
        let other = "SELECT grown.id FROM grown LEFT JOIN executions known ON known.id = grown.id
                     WHERE coalesce(known.sequence, 0) <> grown.before LIMIT 1";
        let conflict = match (self.begins, self.grows) {
            (true, true) => format!("coalesce(({known}), ({other}))"),
            (true, false) => format!("({known})"),
            (false, true) => format!("({other})"),
            (false, false) => "NULL::uuid".to_owned(),
        };
        format!(
            "SELECT EXISTS (SELECT 1 FROM member)
                    AND (SELECT count(*) FROM shards WHERE id = ANY($3) AND owner = $1) = cardinality($3) AS owned,
                    coalesce((SELECT sequence FROM executions WHERE id = $4), 0) AS first,
                    {conflict} AS conflict,
                    EXISTS (SELECT 1 FROM feed_readers) AS read"
        )
    }
}

/// A statement that grows, and the number of its last parameter.
struct Text(String, usize);

impl Text {
    fn new() -> Self {
        Self(String::new(), 4)
    }

    fn part(&mut self, name: &str, query: &str) {
        let begin = if self.0.is_empty() { "WITH" } else { "," };
        // A string takes everything.
        let _ = write!(self.0, "{begin} {name} AS MATERIALIZED ({query})");
    }

    /// Columns as rows with names.
    fn rows(&mut self, name: &str, columns: &str, types: &[&str]) {
        let unnest = self.unnest(types);
        self.part(name, &format!("SELECT * FROM {unnest} AS {name} ({columns})"));
    }

    /// Columns into a table, unless something stands in the way of the whole batch.
    fn insert(&mut self, name: &str, table: &str, types: &[&str], known: &str) {
        let unnest = self.unnest(types);
        let query = format!("INSERT INTO {table} SELECT * FROM {unnest} WHERE EXISTS (SELECT 1 FROM go) {known}");
        self.also(name, &query);
    }

    /// What changes something.
    fn also(&mut self, name: &str, query: &str) {
        let _ = write!(self.0, ", {name} AS ({query})");
    }

    fn unnest(&mut self, types: &[&str]) -> String {
        let columns: Vec<String> = types
            .iter()
            .map(|of| {
                self.1 += 1;
                format!("${}::{of}[]", self.1)
            })
            .collect();
        format!("unnest({})", columns.join(", "))
    }
}

const FRESH: &str = "id, shard, state, closing, revision, sequence, created_at, started_at, finished_at, workflow,
                     closing_reason, labels, traceparent, failure, params, namespace";
const GROWN: &str = "id, before, state, closing, sequence, started_at, finished_at, closing_reason, failure";
const INSERTED: &str = "INSERT INTO executions (id, shard, state, closing, revision, sequence, created_at, started_at,
                                                finished_at, workflow, closing_reason, labels, traceparent, failure,
                                                namespace)
    SELECT id, shard, state, closing, revision, sequence, created_at, started_at, finished_at, workflow, closing_reason,
           labels, traceparent, failure, namespace
    FROM fresh WHERE EXISTS (SELECT 1 FROM go)";
const GIVEN: &str = "INSERT INTO params (execution, value)
    SELECT id, params FROM fresh WHERE EXISTS (SELECT 1 FROM go)";
const UPDATED: &str = "UPDATE executions
    SET state = grown.state, closing = grown.closing, closing_reason = grown.closing_reason,
        sequence = grown.sequence, started_at = grown.started_at, finished_at = grown.finished_at,
        failure = grown.failure
    FROM grown WHERE executions.id = grown.id AND EXISTS (SELECT 1 FROM go)";
const TASKS: &str =
    "tasks (execution, position, state, leases, returned, infra_losses, scheduled_at, ready_at, started_at,
                            attempt_started_at, finished_at, next_at, worker, failure, lease)";
const TASK_KNOWN: &str = "ON CONFLICT (execution, position) DO UPDATE SET
        state = excluded.state, leases = excluded.leases, returned = excluded.returned,
        infra_losses = excluded.infra_losses, scheduled_at = excluded.scheduled_at, ready_at = excluded.ready_at,
        started_at = excluded.started_at, attempt_started_at = excluded.attempt_started_at,
        finished_at = excluded.finished_at, next_at = excluded.next_at, worker = excluded.worker,
        failure = excluded.failure, lease = excluded.lease";
const EVENTS: &str = "history (execution, sequence, at, kind, state, task, attempt, data)";
const NOTES: &str = "audit_outbox (id, entry, at)";

const NOTE_KNOWN: &str = "ON CONFLICT (id) DO NOTHING";

const OUTPUT_KNOWN: &str = "ON CONFLICT (execution, position) DO UPDATE SET value = excluded.value";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_names_each_parameter_once_and_in_order() {
        for number in 0..64 {
            let part = |bit: u32| number & (1 << bit) != 0;
            let shape = Shape {
                begins: part(0),
                grows: part(1),
                asks: part(2),
                gives: part(3),
                tells: part(4),
                notes: part(5),
            };
            let text = shape.text();
            let columns = [
                (true, 4),
                (shape.begins, Fresh::TYPES.len()),
                (shape.grows, Grown::TYPES.len()),
                (shape.asks, Requests::TYPES.len()),
                (true, Tasks::TYPES.len() + Events::TYPES.len()),
                (shape.gives, Outputs::TYPES.len()),
                (shape.tells, FeedColumns::TYPES.len()),
                (shape.notes, Notes::TYPES.len()),
            ];
            let all: usize = columns
                .iter()
                .filter(|(there, _)| *there)
                .map(|(_, number)| number)
                .sum();
            for parameter in 5..=all {
                assert_eq!(text.matches(&format!("${parameter}::")).count(), 1, "{text}");
            }
            assert!(!text.contains(&format!("${}::", all + 1)), "{text}");
            assert_eq!(text.contains("INTO params"), shape.begins);
            assert_eq!(text.contains("UPDATE executions"), shape.grows);
            assert_eq!(text.contains("INTO feed "), shape.tells);
            assert_eq!(text.contains("INTO audit_outbox "), shape.notes);
            assert_eq!(text.contains("AND NOT read"), !shape.tells, "or somebody would miss it");
        }
    }
}

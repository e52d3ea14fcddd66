//! The port of the audit log: appending to its chain, reading it, and removing its beginning; and how a change of this store
//! tells of itself.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_audit::chain::{Chained, Link};
use nexus_audit::{Entry, Outcome};
use nexus_storage::outbox::Outbox;

use super::{Store, StoreError};

/// Which entries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only of one of these methods.
    pub methods: Option<Vec<String>>,
    /// Only about this kind of object.
    pub object_kind: Option<String>,
    /// Only about the object of this name.
    pub object_name: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only from this moment on.
    pub from: Option<i64>,
    /// Only before this moment.
    pub to: Option<i64>,
    /// Only after this position.
    pub after: Option<i64>,
    /// Only before this position.
    pub before: Option<i64>,
    /// The oldest first; else the newest.
    pub oldest_first: bool,
}

/// Where the chain begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// What stands before the oldest entry that is kept.
    pub anchor: Link,
    /// The newest entry.
    pub head: Link,
}

/// The audit log. Any number of processes append to it; it is one chain all the same.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends those that are not there yet, in their order; how many those were.
    async fn append_audit(&self, entries: &[Entry]) -> Result<u32, StoreError>;

    /// A page of entries.
    async fn audit_entries(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<Chained>, StoreError>;

    /// Where the chain begins and ends.
    async fn audit_ends(&self) -> Result<Ends, StoreError>;

    /// Moves the anchor over the oldest entries, those before a moment, and removes them; at most so many. How many those
    /// were.
    async fn forget_audit(&self, before: i64, limit: u32) -> Result<u64, StoreError>;
}

/// How changes tell of themselves.
pub trait Telling: Send + Sync {
    /// The same store, of which each change writes the entry into the outbox with itself.
    fn telling(&self, entry: &Entry) -> Arc<dyn Store>;

    /// Where entries wait.
    fn outbox(&self) -> Arc<dyn Outbox>;
}

/// Entries that are not known yet, each once, as they follow the chain's end.
pub(super) fn chained(head: Link, entries: &[Entry], known: &[String]) -> Vec<Chained> {
    let mut link = head;
    let mut new: Vec<Chained> = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.id.to_string();
        if known.contains(&id) || new.iter().any(|before| before.entry.id == entry.id) {
            continue;
        }
        let next = Chained::after(&link, entry.clone());
        link = next.link();
        new.push(next);
    }
    new
}

/// Rows to insert, as JSON: numbers and texts in the order of the columns.
pub(super) fn columns(new: &[Chained]) -> serde_json::Value {
    let row = |chained: &Chained| {
        let entry = &chained.entry;
        serde_json::json!([
            chained.position,
            entry.id.to_string(),
            entry.at,
            entry.namespace,
            entry.actor.kind,
            entry.actor.id,
            entry.actor.display_name,
            entry.actor.credential,
            entry.method,
            entry.permission,
            entry.object.kind,
            entry.object.name,
            entry.outcome.number(),
            entry.reason,
            entry.address,
            entry.request_id,
            entry.trace_id,
            entry.count,
            chained.previous.to_string(),
            chained.hash.to_string(),
        ])
    };
    new.iter().map(row).collect()
}

/// What reads rows and puts lists together, for a database.
macro_rules! reading {
    ($database:ty, $row:ty) => {
        use nexus_audit::chain::{Chained, Hash, Link};
        use nexus_audit::{Actor, Entry, Object, Outcome};
        use sqlx::{QueryBuilder, Row as _};

        use crate::store::audit::{AuditFilter, Ends};

        fn hash(row: &$row, column: &str) -> Result<Hash, StoreError> {
            let text: String = row.try_get(column).map_err(database)?;
            // One that is none is another than any: the chain does not fit there.
            Ok(text.parse().unwrap_or(Hash([0xff; 32])))
        }

        fn entry(row: &$row) -> Result<Chained, StoreError> {
            let id: String = row.try_get("id").map_err(database)?;
            let outcome: i64 = row.try_get("outcome").map_err(database)?;
            let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
            Ok(Chained {
                position: row.try_get("position").map_err(database)?,
                entry: Entry {
                    // The same holds for an id and an outcome.
                    id: id.parse().unwrap_or_default(),
                    at: row.try_get("at").map_err(database)?,
                    namespace: text("namespace")?,
                    actor: Actor {
                        kind: text("actor_kind")?,
                        id: text("actor")?,
                        display_name: text("actor_name")?,
                        credential: text("credential")?,
                    },
                    method: text("method")?,
                    permission: text("permission")?,
                    object: Object {
                        kind: text("object_type")?,
                        name: text("object_name")?,
                    },
                    outcome: Outcome::of_number(outcome).unwrap_or(Outcome::Denied),
                    reason: text("reason")?,
                    address: text("address")?,
                    request_id: text("request_id")?,
                    trace_id: text("trace_id")?,
                    count: row.try_get("count").map_err(database)?,
                },
                previous: hash(row, "previous_hash")?,
                hash: hash(row, "hash")?,
            })
        }

        fn ends(row: &$row) -> Result<Ends, StoreError> {
            Ok(Ends {
                anchor: Link {
                    position: row.try_get("anchor").map_err(database)?,
                    hash: hash(row, "anchor_hash")?,
                },
                head: Link {
                    position: row.try_get("head").map_err(database)?,
                    hash: hash(row, "head_hash")?,
                },
            })
        }

        /// Only what is asked for is in the statement, so that an index serves it.
        fn listing(filter: &AuditFilter, limit: u32) -> QueryBuilder<$database> {
            let mut query = QueryBuilder::new("SELECT * FROM audit_entries WHERE position > ");
            query.push_bind(filter.after.unwrap_or(0));
            let texts = [
                (" AND namespace = ", &filter.namespace),
                (" AND actor = ", &filter.actor),
                (" AND object_type = ", &filter.object_kind),
                (" AND object_name = ", &filter.object_name),
            ];
            for (condition, text) in texts {
                if let Some(text) = text {
                    query.push(condition).push_bind(text.clone());
                }
            }
            let numbers = [
                (" AND outcome = ", filter.outcome.map(Outcome::number)),
                (" AND at >= ", filter.from),
                (" AND at < ", filter.to),
                (" AND position < ", filter.before),
            ];
            for (condition, number) in numbers {
                if let Some(number) = number {
                    query.push(condition).push_bind(number);
                }
            }
            if let Some(methods) = &filter.methods {
                query.push(" AND method IN (");
                let mut list = query.separated(", ");
                for method in methods {
                    list.push_bind(method.clone());
                }
                query.push(")");
            }
            let order = if filter.oldest_first { "" } else { " DESC" };
            query.push(" ORDER BY position").push(order).push(" LIMIT ");
            query.push_bind(i64::from(limit));
            query
        }
    };
}
pub(super) use reading;

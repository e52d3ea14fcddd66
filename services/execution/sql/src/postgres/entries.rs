//! What a batch tells the feed, as columns, and the parts of the statement that give it its positions.

use nexus_execution_store::{Change, feed};
use uuid::Uuid;

use super::columns::{Statement, big};

/// Entries of the feed, before they have their positions.
#[derive(Default)]
pub(super) struct FeedColumns {
    /// Which of the batch's shards, from 1, in their order.
    places: Vec<i32>,
    numbers: Vec<i64>,
    executions: Vec<Uuid>,
    first: Vec<i64>,
    last: Vec<i64>,
    at: Vec<i64>,
}

impl FeedColumns {
    pub(super) const TYPES: &'static [&'static str] = &["integer", "bigint", "uuid", "bigint", "bigint", "bigint"];

    pub(super) const NAMES: &'static str = "place, number, execution, first, last, at";

    /// `shards` are those of the batch, in ascending order.
    pub(super) fn of(changes: &[Change], shards: &[i32]) -> Self {
        let mut columns = Self::default();
        for told in feed::entries_of(changes) {
            let place = shards.partition_point(|shard| *shard <= i32::from(told.shard));
            columns.places.push(i32::try_from(place).unwrap_or(i32::MAX));
            columns.numbers.push(i64::from(told.number));
            columns.executions.push(told.execution.0);
            columns.first.push(big(told.first));
            columns.last.push(big(told.last));
            columns.at.push(told.at);
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        statement
            .bind(self.places)
            .bind(self.numbers)
            .bind(self.executions)
            .bind(self.first)
            .bind(self.last)
            .bind(self.at)
    }
}

/// The newest positions of the batch's shards ($3), as one array in their order: so that each entry finds its own without
/// a join. A position is given only to what follows an entry that this statement sees, so to what follows a commit that is
/// done; and the primary key gives it to nobody else. That is the whole order: nothing is locked for it.
pub(super) const ENDS: &str = "SELECT array_agg(greatest(s.removed, coalesce(
            (SELECT f.position FROM feed f WHERE f.shard = s.shard ORDER BY f.position DESC LIMIT 1), 0))
        ORDER BY s.shard) AS positions
    FROM feed_shards s WHERE s.shard = ANY($3)";

/// Entries from the rows `told`.
pub(super) const TELL: &str = "INSERT INTO feed (shard, position, execution, first_event, last_event, at)
    SELECT ($3::integer[])[told.place], (SELECT positions FROM ends)[told.place] + told.number, told.execution,
           told.first, told.last, told.at
    FROM told WHERE EXISTS (SELECT 1 FROM go) AND (SELECT read FROM guard)";

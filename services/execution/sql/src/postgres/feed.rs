//! The feed in Postgres.
//!
//! The first reader has to be told of every commit that ends after it was registered, also of those that have begun before
//! and did not see it. Every commit reads `feed_readers`, so it holds a lock on that table from before it looks until it is
//! done; a registration takes the table for itself alone, which waits for them. Whatever begins after that sees the reader.

use async_trait::async_trait;
use nexus_engine::Event;
use nexus_execution_store::StoreError;
use nexus_execution_store::feed::{
    Acknowledged, Entry, Extent, Feed, NewReader, Page, Position, READERS, Reader, Registered, Removed,
};
use nexus_storage::postgres::Database;
use nexus_storage::retry::retry;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::columns::{big, natural};
use super::read::{event, execution_columns, execution_id, execution_row};
use super::{PostgresStore, READING, database};

/// The newest entry of a shard, or up to where they were removed.
macro_rules! end {
    () => {
        "greatest(s.removed, coalesce(
             (SELECT f.position FROM feed f WHERE f.shard = s.shard ORDER BY f.position DESC LIMIT 1), 0))"
    };
}

#[async_trait]
impl Feed for PostgresStore {
    async fn register(&self, reader: NewReader<'_>, now: i64) -> Result<Registered, StoreError> {
        // One that is known changes nothing, so this may be done again.
        self.named(retry(READING, || register(&self.database, reader, now)).await)
    }

    async fn forget(&self, name: &str) -> Result<bool, StoreError> {
        let names = [name.to_owned()];
        self.named(retry(READING, || forget(&self.database, &names)).await)
    }

    async fn readers(&self, after: &str, limit: u32) -> Result<Vec<Reader>, StoreError> {
        let sql = "r.name > $1
                   AND r.name IN (SELECT name FROM feed_readers WHERE name > $1 ORDER BY name LIMIT $2)";
        self.named(retry(READING, || readers(&self.database, sql, after, limit)).await)
    }

    async fn reader(&self, name: &str) -> Result<Option<Reader>, StoreError> {
        let sql = "r.name = $1 AND $2 > 0";
        let mut readers = self.named(retry(READING, || readers(&self.database, sql, name, 1)).await)?;
        Ok(readers.pop())
    }

    async fn acknowledge(&self, name: &str, positions: &[Position], now: i64) -> Result<Acknowledged, StoreError> {
        self.named(retry(READING, || acknowledge(&self.database, name, positions, now)).await)
    }

    async fn read(&self, reader: &str, after: &[Position], share: u32) -> Result<Page, StoreError> {
        self.named(retry(READING, || read(&self.database, reader, after, share)).await)
    }

    async fn events(&self, entries: &[Entry]) -> Result<Vec<Vec<Event>>, StoreError> {
        self.named(retry(READING, || events(&self.database, entries)).await)
    }

    async fn remove(&self, before: i64, share: u32) -> Result<Removed, StoreError> {
        // What is gone already is not found again.
        self.named(retry(READING, || remove(&self.database, before, share)).await)
    }

    async fn forget_silent(&self, now: i64) -> Result<Vec<String>, StoreError> {
        self.named(retry(READING, || forget_silent(&self.database, now)).await)
    }
}

async fn register(store: &Database, reader: NewReader<'_>, now: i64) -> Result<Registered, StoreError> {
    let mut transaction = store.begin().await?;
    // Alone: nobody else registers, and with the first reader no commit is under way.
    let (others, known) = count(&mut transaction, reader.name).await?;
    if known > 0 {
        return Ok(Registered::Known);
    }
    if others >= i64::from(READERS) {
        return Ok(Registered::TooMany);
    }
    let older: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM replicas WHERE NOT feeds)")
        .fetch_one(&mut *transaction)
        .await
        .map_err(database)?;
    if older {
        return Ok(Registered::Incomplete);
    }
    sqlx::query(REGISTER)
        .bind(reader.name)
        .bind(now)
        .bind(reader.forget_after)
        .bind(reader.from_beginning)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    Ok(Registered::Created)
}

/// Takes the readers for itself alone; how many there are, and how many of a name.
async fn count(connection: &mut PgConnection, name: &str) -> Result<(i64, i64), StoreError> {
    // A commit that hangs would hold up every other one behind this for as long; it is tried again instead.
    sqlx::raw_sql("SET LOCAL lock_timeout = '2s'; LOCK TABLE feed_readers IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *connection)
        .await
        .map_err(database)?;
    let row = sqlx::query("SELECT count(*), count(*) FILTER (WHERE name = $1) FROM feed_readers")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(database)?;
    Ok((row.try_get(0).map_err(database)?, row.try_get(1).map_err(database)?))
}

/// What was written for readers that are gone is nobody's: nothing was written after it until now.
const REGISTER: &str = concat!(
    "WITH others AS MATERIALIZED (SELECT EXISTS (SELECT 1 FROM feed_readers) AS there),
     ends AS MATERIALIZED (
         SELECT s.shard, s.removed, ",
    end!(),
    " AS newest FROM feed_shards s
     ), anew AS (
         UPDATE feed_shards SET removed = ends.newest FROM ends
         WHERE feed_shards.shard = ends.shard AND NOT (SELECT there FROM others) AND feed_shards.removed < ends.newest
     ), made AS (
         INSERT INTO feed_readers (name, created_at, forget_after) VALUES ($1, $2, $3)
     )
     INSERT INTO feed_acknowledged (shard, reader, position, at)
     SELECT shard, $1, CASE WHEN $4 AND (SELECT there FROM others) THEN removed ELSE newest END, $2 FROM ends"
);

async fn forget(store: &Database, names: &[String]) -> Result<bool, StoreError> {
    let gone: i64 = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM feed_readers WHERE name = ANY($1) RETURNING name),
              noted AS (DELETE FROM feed_acknowledged WHERE reader = ANY($1))
         SELECT count(*) FROM gone",
    )
    .bind(names)
    .fetch_one(store.writer())
    .await
    .map_err(database)?;
    Ok(gone > 0)
}

async fn readers(store: &Database, which: &str, name: &str, limit: u32) -> Result<Vec<Reader>, StoreError> {
    let sql = format!(
        "SELECT r.name, r.created_at, r.forget_after, a.position, a.at, s.shard, s.removed, {}, next.at
         FROM feed_readers r JOIN feed_acknowledged a ON a.reader = r.name
         JOIN feed_shards s ON s.shard = a.shard
         LEFT JOIN feed next ON next.shard = a.shard AND next.position = greatest(a.position, s.removed) + 1
         WHERE {which} ORDER BY r.name, a.shard",
        end!()
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(name)
        .bind(i64::from(limit))
        .fetch_all(store.reader())
        .await
        .map_err(database)?;
    let mut readers: Vec<Reader> = Vec::new();
    for row in &rows {
        let name: &str = row.try_get(0).map_err(database)?;
        let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
        if readers.last().is_none_or(|last| last.name != name) {
            readers.push(Reader::new(name, number(1)?, number(2)?));
        }
        let extent = extent(row, 5)?;
        let position = Position {
            shard: extent.shard,
            number: number(3)?.cast_unsigned(),
        };
        let next = row.try_get(8).map_err(database)?;
        if let Some(reader) = readers.last_mut() {
            reader.note(position, number(4)?, extent, next);
        }
    }
    Ok(readers)
}

async fn acknowledge(
    store: &Database,
    name: &str,
    positions: &[Position],
    now: i64,
) -> Result<Acknowledged, StoreError> {
    let (shards, numbers) = columns(positions);
    let row = sqlx::query(ACKNOWLEDGE)
        .bind(name)
        .bind(shards)
        .bind(numbers)
        .bind(now)
        .fetch_one(store.writer())
        .await
        .map_err(database)?;
    if !row.try_get::<bool, _>(0).map_err(database)? {
        return Ok(Acknowledged::Unknown);
    }
    if row.try_get::<Option<i16>, _>(1).map_err(database)?.is_some() {
        return extent(&row, 1).map(Acknowledged::Ahead);
    }
    Ok(Acknowledged::Done)
}

const ACKNOWLEDGE: &str = concat!(
    "WITH known AS MATERIALIZED (SELECT EXISTS (SELECT 1 FROM feed_readers WHERE name = $1) AS there),
     asked AS MATERIALIZED (
         SELECT asked.shard, asked.number, s.removed, ",
    end!(),
    " AS newest FROM unnest($2::smallint[], $3::bigint[]) AS asked (shard, number)
         JOIN feed_shards s ON s.shard = asked.shard
     ), ahead AS MATERIALIZED (SELECT shard, removed, newest FROM asked WHERE number > newest ORDER BY shard LIMIT 1),
     noted AS (
         UPDATE feed_acknowledged a SET at = $4,
                position = greatest(a.position, coalesce((SELECT number FROM asked WHERE asked.shard = a.shard), 0))
         WHERE a.reader = $1 AND NOT EXISTS (SELECT 1 FROM ahead)
               AND (cardinality($2::smallint[]) = 0 OR a.shard = ANY($2))
     )
     SELECT known.there, ahead.shard, ahead.removed, ahead.newest FROM known LEFT JOIN ahead ON true"
);

async fn read(store: &Database, reader: &str, after: &[Position], share: u32) -> Result<Page, StoreError> {
    let (shards, numbers) = columns(after);
    let rows = sqlx::query(READ)
        .bind(shards)
        .bind(numbers)
        .bind(i64::from(share))
        .bind(reader)
        .fetch_all(store.reader())
        .await
        .map_err(database)?;
    let mut page = Page::default();
    for row in &rows {
        let extent = extent(row, 15)?;
        page.known = row.try_get(22).map_err(database)?;
        if page.extents.last() != Some(&extent) {
            page.extents.push(extent);
        }
        let Some(number) = row.try_get::<Option<i64>, _>(18).map_err(database)? else {
            continue;
        };
        let there: Option<Uuid> = row.try_get(0).map_err(database)?;
        page.entries.push(Entry {
            position: Position {
                shard: extent.shard,
                number: number.cast_unsigned(),
            },
            execution: execution_id(row, 19)?,
            first: row.try_get::<i64, _>(20).map_err(database)?.cast_unsigned(),
            last: row.try_get::<i64, _>(21).map_err(database)?.cast_unsigned(),
            row: there.map(|_| execution_row(row)).transpose()?,
        });
    }
    Ok(page)
}

/// What is in an execution's row first, as [`execution_row`] reads it. Positions have no gaps, so a number of entries is a
/// range of positions.
const READ: &str = concat!(
    "SELECT ",
    execution_columns!(),
    ", '', NULL, s.shard, s.removed, ",
    end!(),
    ", f.position, f.execution, f.first_event, f.last_event, EXISTS (SELECT 1 FROM feed_readers WHERE name = $4)
     FROM unnest($1::smallint[], $2::bigint[]) AS asked (shard, number)
     JOIN feed_shards s ON s.shard = asked.shard
     LEFT JOIN feed f ON f.shard = asked.shard AND f.position > asked.number AND f.position <= asked.number + $3
     LEFT JOIN executions e ON e.id = f.execution
     ORDER BY s.shard, f.position"
);

async fn events(store: &Database, entries: &[Entry]) -> Result<Vec<Vec<Event>>, StoreError> {
    let rows = sqlx::query(
        "SELECT h.sequence, h.at, h.kind, h.task, h.attempt, h.state, h.data, span.place
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS span (execution, first, last, place)
         JOIN history h ON h.execution = span.execution AND h.sequence BETWEEN span.first AND span.last
         ORDER BY span.place, h.sequence",
    )
    .bind(entries.iter().map(|entry| entry.execution.0).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| big(entry.first)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| big(entry.last)).collect::<Vec<_>>())
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let mut events = vec![Vec::new(); entries.len()];
    for row in &rows {
        let place = usize::try_from(row.try_get::<i64, _>(7).map_err(database)?).unwrap_or_default();
        if let Some(events) = events.get_mut(place.wrapping_sub(1)) {
            events.push(event(row)?);
        }
    }
    Ok(events)
}

async fn remove(store: &Database, before: i64, share: u32) -> Result<Removed, StoreError> {
    let row = sqlx::query(REMOVE)
        .bind(before)
        .bind(i64::from(share))
        .fetch_one(store.writer())
        .await
        .map_err(database)?;
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
    let (entries, lost, most) = (number(0)?, number(1)?, number(2)?);
    Ok(Removed {
        acknowledged: (entries - lost).cast_unsigned(),
        lost: lost.cast_unsigned(),
        more: most >= i64::from(share),
    })
}

/// A run of entries without a gap of each shard, from the oldest one, and never the newest one. What was left of readers that
/// are gone when another one came is nobody's and goes too. A reader that begins meanwhile where something
/// goes finds that it has missed it, and is told.
const REMOVE: &str = "
    WITH needed AS MATERIALIZED (
        SELECT s.shard, s.removed,
               (SELECT f.position FROM feed f WHERE f.shard = s.shard ORDER BY f.position DESC LIMIT 1) AS newest,
               (SELECT f.position FROM feed f WHERE f.shard = s.shard ORDER BY f.position LIMIT 1) AS oldest,
               (SELECT min(a.position) FROM feed_acknowledged a WHERE a.shard = s.shard) AS acknowledged
        FROM feed_shards s
    ), looked AS (
        SELECT f.shard, f.position, greatest(n.acknowledged, n.removed) AS needed,
               n.acknowledged IS NOT NULL AS there,
               bool_and(f.position <= n.removed OR f.at < $1 OR n.acknowledged IS NULL OR f.position <= n.acknowledged)
                   OVER (PARTITION BY f.shard ORDER BY f.position) AS goes
        FROM needed n JOIN feed f
             ON f.shard = n.shard AND f.position >= n.oldest AND f.position < n.newest
                AND f.position < n.oldest + $2
    ), old AS MATERIALIZED (
        SELECT shard, max(position) AS bound, min(position) AS first, count(*) AS entries,
               count(*) FILTER (WHERE there AND position > needed) AS lost
        FROM looked WHERE goes GROUP BY shard
    ), gone AS (
        DELETE FROM feed USING old WHERE feed.shard = old.shard AND feed.position BETWEEN old.first AND old.bound
    ), noted AS (
        UPDATE feed_shards SET removed = greatest(removed, old.bound) FROM old WHERE feed_shards.shard = old.shard
    )
    SELECT coalesce(sum(entries), 0)::bigint, coalesce(sum(lost), 0)::bigint, coalesce(max(entries), 0) FROM old";

async fn forget_silent(store: &Database, now: i64) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT r.name FROM feed_readers r JOIN feed_acknowledged a ON a.reader = r.name
         WHERE r.forget_after > 0 GROUP BY r.name HAVING max(a.at) + max(r.forget_after) < $1 ORDER BY r.name",
    )
    .bind(now)
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    if !names.is_empty() {
        forget(store, &names).await?;
    }
    Ok(names)
}

/// Shard, up to where it was removed, and its end.
fn extent(row: &PgRow, column: usize) -> Result<Extent, StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
    let shard = natural(i32::from(row.try_get::<i16, _>(column).map_err(database)?))?;
    Ok(Extent {
        shard: u16::try_from(shard).unwrap_or(u16::MAX),
        removed: number(column + 1)?.cast_unsigned(),
        end: number(column + 2)?.cast_unsigned(),
    })
}

fn columns(positions: &[Position]) -> (Vec<i16>, Vec<i64>) {
    let shard = |position: &Position| i16::try_from(position.shard).unwrap_or(i16::MAX);
    positions
        .iter()
        .map(|position| (shard(position), big(position.number)))
        .unzip()
}

#[cfg(test)]
mod tests;

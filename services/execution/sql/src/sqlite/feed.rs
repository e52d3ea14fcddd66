//! The feed in SQLite. There is one writer at a time, so whatever registers, removes or commits sees all that was before.

use async_trait::async_trait;
use nexus_engine::Event;
use nexus_execution_store::StoreError;
use nexus_execution_store::feed::{
    Acknowledged, Entry, Extent, Feed, NewReader, Page, Position, READERS, Reader, Registered, Removed,
};
use nexus_storage::sqlite::Database;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqliteExecutor};

use super::read::{event, execution_columns, execution_id, execution_row};
use super::{SqliteStore, database};

/// The newest entry of a shard, or up to where they were removed.
macro_rules! end {
    () => {
        "max(s.removed, coalesce((SELECT max(position) FROM feed WHERE shard = s.shard), 0))"
    };
}

#[async_trait]
impl Feed for SqliteStore {
    async fn register(&self, reader: NewReader<'_>, now: i64) -> Result<Registered, StoreError> {
        let mut transaction = self.executions.begin().await?;
        let registered = register(&mut transaction, reader, now).await?;
        transaction.commit().await.map_err(database)?;
        Ok(registered)
    }

    async fn forget(&self, name: &str) -> Result<bool, StoreError> {
        let mut transaction = self.executions.begin().await?;
        let known = forget(&mut transaction, name).await?;
        transaction.commit().await.map_err(database)?;
        Ok(known)
    }

    async fn readers(&self, after: &str, limit: u32) -> Result<Vec<Reader>, StoreError> {
        let rows = sqlx::query("SELECT name FROM feed_readers WHERE name > ?1 ORDER BY name LIMIT ?2")
            .bind(after)
            .bind(limit)
            .fetch_all(self.executions.reader())
            .await
            .map_err(database)?;
        let mut readers = Vec::with_capacity(rows.len());
        for row in rows {
            let name: String = row.try_get(0).map_err(database)?;
            readers.extend(self.reader(&name).await?);
        }
        Ok(readers)
    }

    async fn reader(&self, name: &str) -> Result<Option<Reader>, StoreError> {
        let rows = sqlx::query(READER)
            .bind(name)
            .fetch_all(self.executions.reader())
            .await
            .map_err(database)?;
        reader(name, &rows)
    }

    async fn acknowledge(&self, name: &str, positions: &[Position], now: i64) -> Result<Acknowledged, StoreError> {
        let mut transaction = self.executions.begin().await?;
        let acknowledged = acknowledge(&mut transaction, name, positions, now).await?;
        transaction.commit().await.map_err(database)?;
        Ok(acknowledged)
    }

    async fn read(&self, reader: &str, after: &[Position], share: u32) -> Result<Page, StoreError> {
        let rows = sqlx::query(READ)
            .bind(numbers(after))
            .bind(share)
            .bind(reader)
            .fetch_all(self.executions.reader())
            .await
            .map_err(database)?;
        page(&rows)
    }

    async fn events(&self, entries: &[Entry]) -> Result<Vec<Vec<Event>>, StoreError> {
        let spans = entries
            .iter()
            .map(|entry| json!([entry.execution.0.simple().to_string(), entry.first, entry.last]));
        // The list is walked, and the history found by its key; CROSS keeps it so.
        let rows = sqlx::query(
            "SELECT h.sequence, h.at, h.kind, h.task, h.attempt, h.state, h.data, span.key
             FROM json_each(?1) span CROSS JOIN history h ON h.execution = unhex(span.value ->> 0)
                  AND h.sequence BETWEEN span.value ->> 1 AND span.value ->> 2
             ORDER BY span.key, h.sequence",
        )
        .bind(json!(spans.collect::<Vec<_>>()).to_string())
        .fetch_all(self.executions.reader())
        .await
        .map_err(database)?;
        let mut events = vec![Vec::new(); entries.len()];
        for row in &rows {
            let place: u32 = row.try_get(7).map_err(database)?;
            if let Some(events) = events.get_mut(place as usize) {
                events.push(event(row)?);
            }
        }
        Ok(events)
    }

    async fn remove(&self, before: i64, share: u32) -> Result<Removed, StoreError> {
        remove(&self.executions, before, share).await
    }

    async fn forget_silent(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let mut transaction = self.executions.begin().await?;
        let rows = sqlx::query(
            "SELECT r.name FROM feed_readers r JOIN feed_acknowledged a ON a.reader = r.name
             WHERE r.forget_after > 0 GROUP BY r.name HAVING max(a.at) + r.forget_after < ?1 ORDER BY r.name",
        )
        .bind(now)
        .fetch_all(&mut *transaction)
        .await
        .map_err(database)?;
        let names = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<Vec<String>, _>>();
        let names = names.map_err(database)?;
        for name in &names {
            forget(&mut transaction, name).await?;
        }
        transaction.commit().await.map_err(database)?;
        Ok(names)
    }
}

async fn register(
    connection: &mut SqliteConnection,
    reader: NewReader<'_>,
    now: i64,
) -> Result<Registered, StoreError> {
    let row = sqlx::query("SELECT count(*), count(*) FILTER (WHERE name = ?1) FROM feed_readers")
        .bind(reader.name)
        .fetch_one(&mut *connection)
        .await
        .map_err(database)?;
    let (others, known): (u32, u32) = (row.try_get(0).map_err(database)?, row.try_get(1).map_err(database)?);
    if known > 0 {
        return Ok(Registered::Known);
    }
    if others >= READERS {
        return Ok(Registered::TooMany);
    }
    sqlx::query(concat!(
        "UPDATE feed_shards AS s SET removed = ",
        end!(),
        " WHERE NOT EXISTS (SELECT 1 FROM feed_readers);
         INSERT INTO feed_readers (name, created_at, forget_after) VALUES ($1, $2, $3);
         INSERT INTO feed_acknowledged (shard, reader, position, at)
         SELECT s.shard, $1, CASE WHEN $4 THEN s.removed ELSE ",
        end!(),
        " END, $2 FROM feed_shards s"
    ))
    .bind(reader.name)
    .bind(now)
    .bind(reader.forget_after)
    .bind(reader.from_beginning)
    .execute(connection)
    .await
    .map_err(database)?;
    Ok(Registered::Created)
}

async fn forget(connection: &mut SqliteConnection, name: &str) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM feed_acknowledged WHERE reader = ?1")
        .bind(name)
        .execute(&mut *connection)
        .await
        .map_err(database)?;
    let gone = sqlx::query("DELETE FROM feed_readers WHERE name = ?1")
        .bind(name)
        .execute(&mut *connection)
        .await
        .map_err(database)?;
    Ok(gone.rows_affected() > 0)
}

async fn acknowledge(
    connection: &mut SqliteConnection,
    name: &str,
    positions: &[Position],
    now: i64,
) -> Result<Acknowledged, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT EXISTS (SELECT 1 FROM feed_readers WHERE name = ?1), ahead.shard, ahead.removed, ahead.newest
         FROM (SELECT 1) LEFT JOIN (
             SELECT s.shard, s.removed, ",
        end!(),
        " AS newest, asked.value ->> 1 AS wanted
             FROM json_each(?2) asked JOIN feed_shards s ON s.shard = asked.value ->> 0
         ) ahead ON ahead.wanted > ahead.newest ORDER BY ahead.shard LIMIT 1"
    ))
    .bind(name)
    .bind(numbers(positions))
    .fetch_one(&mut *connection)
    .await
    .map_err(database)?;
    if !row.try_get::<bool, _>(0).map_err(database)? {
        return Ok(Acknowledged::Unknown);
    }
    if row.try_get::<Option<u16>, _>(1).map_err(database)?.is_some() {
        return extent(&row, 1).map(Acknowledged::Ahead);
    }
    sqlx::query(
        "UPDATE feed_acknowledged SET at = $3,
                position = max(position, coalesce((SELECT asked.value ->> 1 FROM json_each($2) asked
                                                   WHERE asked.value ->> 0 = shard), 0))
         WHERE reader = $1 AND ($2 = '[]' OR shard IN (SELECT asked.value ->> 0 FROM json_each($2) asked))",
    )
    .bind(name)
    .bind(numbers(positions))
    .bind(now)
    .execute(connection)
    .await
    .map_err(database)?;
    Ok(Acknowledged::Done)
}

async fn remove(store: &Database, before: i64, share: u32) -> Result<Removed, StoreError> {
    // Looked at first, so that a round without anything to do keeps no commit waiting; and again, since a new reader may
    // have begun where something was to go.
    if old(store.reader(), before, share).await?.is_empty() {
        return Ok(Removed::default());
    }
    let mut transaction = store.begin().await?;
    let rows = old(&mut *transaction, before, share).await?;
    let mut removed = Removed::default();
    for row in &rows {
        let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
        let (shard, bound, entries, lost) = (number(0)?, number(1)?, number(2)?, number(3)?);
        removed.acknowledged += (entries - lost).cast_unsigned();
        removed.lost += lost.cast_unsigned();
        removed.more |= entries >= i64::from(share);
        sqlx::query(
            "DELETE FROM feed WHERE shard = $1 AND position <= $2;
             UPDATE feed_shards SET removed = max(removed, $2) WHERE shard = $1;",
        )
        .bind(shard)
        .bind(bound)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    }
    transaction.commit().await.map_err(database)?;
    Ok(removed)
}

async fn old<'a>(executor: impl SqliteExecutor<'a>, before: i64, share: u32) -> Result<Vec<SqliteRow>, StoreError> {
    let old = sqlx::query(OLD).bind(before).bind(share);
    old.fetch_all(executor).await.map_err(database)
}

/// What may go, by shard: up to where, how many entries, and how many of them some reader had not acknowledged. It is a
/// run of entries without a gap from the oldest one, and never the newest one. What was left of readers that are gone when
/// another one came is nobody's and goes too.
const OLD: &str = "
    WITH needed AS MATERIALIZED (
        SELECT s.shard, s.removed, (SELECT max(position) FROM feed WHERE shard = s.shard) AS newest,
               (SELECT min(position) FROM feed WHERE shard = s.shard) AS oldest,
               (SELECT min(position) FROM feed_acknowledged WHERE shard = s.shard) AS acknowledged
        FROM feed_shards s
    ), looked AS (
        SELECT f.shard, f.position, max(n.acknowledged, n.removed) AS needed,
               sum(NOT (f.position <= n.removed OR f.at < ?1 OR n.acknowledged IS NULL OR f.position <= n.acknowledged))
                   OVER (PARTITION BY f.shard ORDER BY f.position) AS kept
        FROM needed n JOIN feed f
             ON f.shard = n.shard AND f.position >= n.oldest AND f.position < n.newest
                AND f.position < n.oldest + ?2
    )
    SELECT shard, max(position), count(*), count(*) FILTER (WHERE position > needed)
    FROM looked WHERE kept = 0 GROUP BY shard";

/// What is in an execution's row first, as [`execution_row`] reads it.
const READ: &str = concat!(
    "SELECT ",
    execution_columns!(),
    ", '', NULL, s.shard, s.removed, ",
    end!(),
    ", f.position, f.execution, f.first_event, f.last_event, EXISTS (SELECT 1 FROM feed_readers WHERE name = ?3)
     FROM json_each(?1) asked
     JOIN feed_shards s ON s.shard = asked.value ->> 0
     LEFT JOIN feed f ON f.shard = s.shard AND f.position > asked.value ->> 1
                         AND f.position <= (asked.value ->> 1) + ?2
     LEFT JOIN executions e ON e.id = f.execution
     ORDER BY s.shard, f.position"
);

const READER: &str = concat!(
    "SELECT r.created_at, r.forget_after, a.shard, a.position, a.at, s.removed, ",
    end!(),
    ", f.at FROM feed_readers r JOIN feed_acknowledged a ON a.reader = r.name
     JOIN feed_shards s ON s.shard = a.shard
     LEFT JOIN feed f ON f.shard = a.shard AND f.position = max(a.position, s.removed) + 1
     WHERE r.name = ?1 ORDER BY a.shard"
);

fn reader(name: &str, rows: &[SqliteRow]) -> Result<Option<Reader>, StoreError> {
    let mut reader = None;
    for row in rows {
        let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
        let position = Position {
            shard: row.try_get(2).map_err(database)?,
            number: number(3)?.cast_unsigned(),
        };
        let (created_at, forget_after) = (number(0)?, number(1)?);
        let reader = reader.get_or_insert_with(|| Reader::new(name, created_at, forget_after));
        let next = row.try_get(7).map_err(database)?;
        reader.note(
            position,
            number(4)?,
            extent_of(position.shard, number(5)?, number(6)?),
            next,
        );
    }
    Ok(reader)
}

fn page(rows: &[SqliteRow]) -> Result<Page, StoreError> {
    let mut page = Page::default();
    for row in rows {
        let extent = extent(row, 15)?;
        page.known = row.try_get(22).map_err(database)?;
        if page.extents.last() != Some(&extent) {
            page.extents.push(extent);
        }
        let Some(number) = row.try_get::<Option<i64>, _>(18).map_err(database)? else {
            continue;
        };
        let there: Option<Vec<u8>> = row.try_get(0).map_err(database)?;
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

fn extent(row: &SqliteRow, column: usize) -> Result<Extent, StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(database);
    let shard = row.try_get(column).map_err(database)?;
    Ok(extent_of(shard, number(column + 1)?, number(column + 2)?))
}

fn extent_of(shard: u16, removed: i64, end: i64) -> Extent {
    Extent {
        shard,
        removed: removed.cast_unsigned(),
        end: end.cast_unsigned(),
    }
}

fn numbers(positions: &[Position]) -> String {
    let numbers = positions.iter().map(|position| (position.shard, position.number));
    json!(numbers.collect::<Vec<_>>()).to_string()
}

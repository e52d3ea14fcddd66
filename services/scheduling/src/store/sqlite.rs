//! The SQLite adapter.

mod statements;
mod work;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_mesh::Clock;
use nexus_storage::Migration;
use nexus_storage::outbox::{self, Outbox};
use nexus_storage::sqlite::{Database, Durability};
use sqlx::Row;

use super::{BackfillRow, FireRow, ListFilter, Reading, ScheduleRow, Start, Store, StoreError, Stored, Work};
use statements::{
    ACTIONS, ANY, BACKFILL, BACKFILLS, CLAIM_CANCELS, CLAIM_STARTS, CLAIM_UNSEEN, FIRES, LIST, NEXT_DUE, REQUEST,
    RUNNING, SCHEDULE, SWEEP, TAKE_READING, TRIGGERED,
};

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "schedules",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0001_schedules.sql"),
    },
    Migration {
        number: 2,
        name: "audit outbox",
        breaks: false,
        sql: outbox::SQLITE,
    },
];

/// The scheduling service's store in a SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    clock: Clock,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

impl SqliteStore {
    /// Opens (and creates, and migrates) `scheduling.db` in a directory.
    ///
    /// # Errors
    /// When the file cannot be opened or holds a schema of a newer version.
    pub async fn open(directory: &Path, clock: Clock) -> Stored<Self> {
        let path = directory.join("scheduling.db");
        let database = Database::open(&path, Durability::Full, MIGRATIONS).await?;
        Ok(Self { database, clock })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn claim(&self, statement: &'static str, limit: u32, lease: i64) -> Stored<Vec<Start>> {
        let now = (self.clock)();
        let mut transaction = self.database.begin().await?;
        let rows = sqlx::query(statement).bind(now).bind(lease).bind(i64::from(limit));
        let rows = rows.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        rows.iter().map(|row| start(row.try_get(0)?, row.try_get(1)?)).collect()
    }
}

/// What anybody may have typed, as it is written; nothing when no schedule can have it.
fn find<'a>(namespace: &Namespace, name: &'a str) -> Option<Cow<'a, str>> {
    namespace.find(name).filter(|name| storable(name))
}

/// Postgres stores every text but those with a NUL. None such is there, so none such can be found.
fn storable(text: &str) -> bool {
    !text.contains('\0')
}

fn json<T: serde::Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).unwrap_or_default()
}

fn read<T: serde::de::DeserializeOwned>(text: String) -> Stored<T> {
    serde_json::from_str(&text).map_err(|error| StoreError::Inconsistent(format!("a row: {error}")))
}

fn start(fire: String, schedule: Option<String>) -> Stored<Start> {
    Ok(Start {
        fire: read(fire)?,
        schedule: schedule.map(read).transpose()?,
    })
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self) -> Stored<Box<dyn Work>> {
        Ok(Box::new(work::Transaction {
            transaction: self.database.begin().await?,
            clock: self.clock.clone(),
        }))
    }

    async fn now(&self) -> Stored<i64> {
        Ok((self.clock)())
    }

    async fn schedule(&self, namespace: &Namespace, name: &str) -> Stored<Option<ScheduleRow>> {
        let Some(key) = find(namespace, name) else {
            return Ok(None);
        };
        let row = sqlx::query_scalar(SCHEDULE)
            .bind(&*key)
            .fetch_optional(self.database.reader())
            .await?;
        row.map(read).transpose()
    }

    async fn list(
        &self,
        namespace: &Namespace,
        filter: &ListFilter,
        after: &str,
        limit: u32,
    ) -> Stored<Vec<ScheduleRow>> {
        let after = namespace.qualify(after);
        let words = [&filter.name_part, &filter.workflow, &filter.owner];
        if !words.into_iter().flatten().all(|word| storable(word)) || !storable(&after) {
            return Ok(Vec::new());
        }
        let own_name = i64::try_from(namespace.qualify("").len()).unwrap_or_default() + 1;
        let rows = sqlx::query_scalar(LIST)
            .bind(namespace.as_str())
            .bind(&*after)
            .bind(filter.name_part.as_deref())
            .bind(filter.workflow.as_deref())
            .bind(filter.owner.as_deref())
            .bind(filter.paused)
            .bind(i64::from(limit))
            .bind(own_name)
            .fetch_all(self.database.reader())
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn fires(&self, schedule_id: &str, before: i64, limit: u32) -> Stored<Vec<FireRow>> {
        let rows = sqlx::query_scalar(FIRES)
            .bind(schedule_id)
            .bind(before)
            .bind(i64::from(limit));
        rows.fetch_all(self.database.reader())
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    async fn actions(&self, schedule_id: &str, limit: u32) -> Stored<Vec<FireRow>> {
        let rows = sqlx::query_scalar(ACTIONS).bind(schedule_id).bind(i64::from(limit));
        rows.fetch_all(self.database.reader())
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    async fn running(&self, schedule_id: &str, limit: u32) -> Stored<Vec<String>> {
        let rows = sqlx::query_scalar(RUNNING).bind(schedule_id).bind(i64::from(limit));
        Ok(rows.fetch_all(self.database.reader()).await?)
    }

    async fn triggered(&self, schedule_id: &str, source: &str) -> Stored<Option<FireRow>> {
        if !storable(source) {
            return Ok(None);
        }
        let row = sqlx::query_scalar(TRIGGERED).bind(schedule_id).bind(source);
        row.fetch_optional(self.database.reader()).await?.map(read).transpose()
    }

    async fn has_schedules(&self) -> Stored<bool> {
        Ok(sqlx::query_scalar(ANY).fetch_one(self.database.reader()).await?)
    }

    async fn next_due(&self) -> Stored<Option<i64>> {
        Ok(sqlx::query_scalar(NEXT_DUE).fetch_one(self.database.reader()).await?)
    }

    async fn claim_starts(&self, limit: u32, lease: i64) -> Stored<Vec<Start>> {
        self.claim(CLAIM_STARTS, limit, lease).await
    }

    async fn claim_cancels(&self, limit: u32, lease: i64) -> Stored<Vec<Start>> {
        self.claim(CLAIM_CANCELS, limit, lease).await
    }

    async fn claim_unseen(&self, limit: u32, lease: i64) -> Stored<Vec<Start>> {
        self.claim(CLAIM_UNSEEN, limit, lease).await
    }

    async fn request(&self, key: &str) -> Stored<Option<(String, String)>> {
        if !storable(key) {
            return Ok(None);
        }
        Ok(sqlx::query_as(REQUEST)
            .bind(key)
            .fetch_optional(self.database.reader())
            .await?)
    }

    async fn backfill(&self, id: &str) -> Stored<Option<BackfillRow>> {
        if !storable(id) {
            return Ok(None);
        }
        let row = sqlx::query_scalar(BACKFILL)
            .bind(id)
            .fetch_optional(self.database.reader())
            .await?;
        row.map(read).transpose()
    }

    async fn backfills(
        &self,
        namespace: &Namespace,
        schedule_key: Option<&str>,
        before: &str,
        limit: u32,
    ) -> Stored<Vec<BackfillRow>> {
        if !storable(before) || !schedule_key.is_none_or(storable) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_scalar(BACKFILLS)
            .bind(namespace.as_str())
            .bind(schedule_key);
        let rows = rows
            .bind(before)
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn take_reading(&self, holder: &str, lease: i64) -> Stored<Option<Reading>> {
        let now = self.now().await?;
        let mut transaction = self.database.begin().await?;
        let positions = sqlx::query_scalar(TAKE_READING).bind(holder).bind(now).bind(lease);
        let positions: Option<String> = positions.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        let made = |positions: String| {
            Ok(Reading {
                holder: holder.to_owned(),
                positions: read(positions)?,
            })
        };
        positions.map(made).transpose()
    }

    async fn sweep(&self, before: i64, limit: u32) -> Stored<u64> {
        let mut transaction = self.database.begin().await?;
        let swept = sqlx::query(SWEEP)
            .bind(before)
            .bind(i64::from(limit))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(swept.rows_affected())
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }
}

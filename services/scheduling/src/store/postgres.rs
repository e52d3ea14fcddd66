//! The Postgres adapter. Replicas share the work by rows that they lock: who finds one locked takes another.

mod statements;
mod work;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_mesh::Clock;
use nexus_storage::Migration;
use nexus_storage::outbox::{self, Outbox};
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, retry};
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
        sql: include_str!("../../migrations/postgres/0001_schedules.sql"),
    },
    Migration {
        number: 2,
        name: "commits",
        breaks: false,
        sql: nexus_storage::postgres::COMMITS,
    },
    Migration {
        number: 3,
        name: "audit outbox",
        breaks: false,
        sql: outbox::POSTGRES,
    },
];

/// The scheduling service's store in a schema of a Postgres database.
#[derive(Clone)]
pub struct PostgresStore {
    database: Database,
    /// In the place of the database's, for tests.
    clock: Option<Clock>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStore")
    }
}

impl PostgresStore {
    /// Connects to a database. Its schema is migrated or verified afterwards.
    ///
    /// # Errors
    /// When the address cannot be used or no connection can be had in time.
    pub async fn connect(url: &str, options: Options) -> Stored<Self> {
        Ok(Self {
            database: Database::connect(url, "scheduling", options).await?,
            clock: None,
        })
    }

    /// The same store, whose time is another than the database's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self {
            clock: Some(clock),
            ..self
        }
    }

    /// Applies what the schema lacks; replicas may do so at once.
    ///
    /// # Errors
    /// When the schema was written by a newer version, or the database fails.
    pub async fn migrate(&self) -> Stored<()> {
        let migrated = self.database.migrate(MIGRATIONS).await;
        Ok(migrated.map_err(|error| error.at(self.database.place()))?)
    }

    /// Checks that the schema is what this version needs, and changes nothing.
    ///
    /// # Errors
    /// When it is not.
    pub async fn verify(&self) -> Stored<()> {
        let verified = self.database.verify(MIGRATIONS).await;
        Ok(verified.map_err(|error| error.at(self.database.place()))?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Does something, again while it fails for the moment only. Errors say which database they are about.
    async fn trying<T, F>(&self, run: impl FnMut() -> F) -> Stored<T>
    where
        F: Future<Output = Stored<T>>,
    {
        retry(Budget::default(), run).await.map_err(|error| match error {
            StoreError::Database(error) => StoreError::Database(error.at(self.database.place())),
            other => other,
        })
    }

    async fn claim(&self, statement: &'static str, limit: u32, lease: i64) -> Stored<Vec<Start>> {
        let now = self.now().await?;
        // Not again when its answer is lost: what it took comes back when its time is over.
        let rows = sqlx::query(statement).bind(now).bind(lease).bind(i64::from(limit));
        let rows = rows.fetch_all(self.database.writer()).await?;
        rows.iter().map(|row| start(row.try_get(0)?, row.try_get(1)?)).collect()
    }
}

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

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
impl Store for PostgresStore {
    async fn begin(&self) -> Stored<Box<dyn Work>> {
        Ok(Box::new(work::Transaction {
            transaction: self.database.begin().await?,
            database: self.database.clone(),
            clock: self.clock.clone(),
        }))
    }

    async fn now(&self) -> Stored<i64> {
        if let Some(clock) = &self.clock {
            return Ok(clock());
        }
        self.trying(|| async { Ok(sqlx::query_scalar(NOW).fetch_one(self.database.reader()).await?) })
            .await
    }

    async fn schedule(&self, namespace: &Namespace, name: &str) -> Stored<Option<ScheduleRow>> {
        let Some(key) = find(namespace, name) else {
            return Ok(None);
        };
        self.trying(|| async {
            let row = sqlx::query_scalar(SCHEDULE)
                .bind(&*key)
                .fetch_optional(self.database.reader())
                .await?;
            row.map(read).transpose()
        })
        .await
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
        self.trying(|| async {
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
        })
        .await
    }

    async fn fires(&self, schedule_id: &str, before: i64, limit: u32) -> Stored<Vec<FireRow>> {
        self.trying(|| async {
            let rows = sqlx::query_scalar(FIRES)
                .bind(schedule_id)
                .bind(before)
                .bind(i64::from(limit));
            rows.fetch_all(self.database.reader())
                .await?
                .into_iter()
                .map(read)
                .collect()
        })
        .await
    }

    async fn actions(&self, schedule_id: &str, limit: u32) -> Stored<Vec<FireRow>> {
        self.trying(|| async {
            let rows = sqlx::query_scalar(ACTIONS).bind(schedule_id).bind(i64::from(limit));
            rows.fetch_all(self.database.reader())
                .await?
                .into_iter()
                .map(read)
                .collect()
        })
        .await
    }

    async fn running(&self, schedule_id: &str, limit: u32) -> Stored<Vec<String>> {
        self.trying(|| async {
            let rows = sqlx::query_scalar(RUNNING).bind(schedule_id).bind(i64::from(limit));
            Ok(rows.fetch_all(self.database.reader()).await?)
        })
        .await
    }

    async fn triggered(&self, schedule_id: &str, source: &str) -> Stored<Option<FireRow>> {
        if !storable(source) {
            return Ok(None);
        }
        self.trying(|| async {
            let row = sqlx::query_scalar(TRIGGERED).bind(schedule_id).bind(source);
            row.fetch_optional(self.database.reader()).await?.map(read).transpose()
        })
        .await
    }

    async fn has_schedules(&self) -> Stored<bool> {
        self.trying(|| async { Ok(sqlx::query_scalar(ANY).fetch_one(self.database.reader()).await?) })
            .await
    }

    async fn next_due(&self) -> Stored<Option<i64>> {
        self.trying(|| async { Ok(sqlx::query_scalar(NEXT_DUE).fetch_one(self.database.reader()).await?) })
            .await
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
        self.trying(|| async {
            Ok(sqlx::query_as(REQUEST)
                .bind(key)
                .fetch_optional(self.database.reader())
                .await?)
        })
        .await
    }

    async fn backfill(&self, id: &str) -> Stored<Option<BackfillRow>> {
        if !storable(id) {
            return Ok(None);
        }
        self.trying(|| async {
            let row = sqlx::query_scalar(BACKFILL)
                .bind(id)
                .fetch_optional(self.database.reader())
                .await?;
            row.map(read).transpose()
        })
        .await
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
        self.trying(|| async {
            let rows = sqlx::query_scalar(BACKFILLS)
                .bind(namespace.as_str())
                .bind(schedule_key);
            let rows = rows
                .bind(before)
                .bind(i64::from(limit))
                .fetch_all(self.database.reader())
                .await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    async fn take_reading(&self, holder: &str, lease: i64) -> Stored<Option<Reading>> {
        let now = self.now().await?;
        let mut transaction = self.database.begin().await?;
        let positions = sqlx::query_scalar(TAKE_READING).bind(holder).bind(now).bind(lease);
        let positions: Option<String> = positions.fetch_optional(&mut *transaction).await?;
        self.database.commit(transaction).await?;
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
        self.database.commit(transaction).await?;
        Ok(swept.rows_affected())
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }
}

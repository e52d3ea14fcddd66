//! A transaction of the Postgres adapter.

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_failpoint::kill_here;
use nexus_mesh::Clock;
use nexus_storage::outbox::{self, Note};
use nexus_storage::postgres::Database;
use sqlx::Postgres;

use super::statements::{
    BUFFERED, CANCEL_RUNNING, DELETE, END_BACKFILLS, FIRES_OF, FIRST_BUFFERED, INSERT, LOCK, LOCK_BACKFILLS,
    LOCK_BACKFILLS_OF, LOCK_DUE, LOCK_NAMED, LOCK_OWNED, PUT_BACKFILLS, PUT_FIRES, PUT_READING, PUT_REQUEST, UPDATE,
};
use super::{find, json, read, storable};
use crate::store::{BackfillRow, FireKey, FireRow, Reading, ScheduleRow, StoreError, Stored, Work};

/// A transaction.
pub(super) struct Transaction {
    pub(super) transaction: sqlx::Transaction<'static, Postgres>,
    pub(super) database: Database,
    pub(super) clock: Option<Clock>,
}

#[async_trait]
impl Work for Transaction {
    async fn now(&mut self) -> Stored<i64> {
        match &self.clock {
            Some(clock) => Ok(clock()),
            None => Ok(sqlx::query_scalar(super::NOW).fetch_one(&mut *self.transaction).await?),
        }
    }

    async fn lock_due(&mut self, now: i64, limit: u32) -> Stored<Vec<ScheduleRow>> {
        let rows = sqlx::query_scalar(LOCK_DUE).bind(now).bind(i64::from(limit));
        rows.fetch_all(&mut *self.transaction)
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    async fn lock(&mut self, ids: &[String]) -> Stored<Vec<ScheduleRow>> {
        let rows = sqlx::query_scalar(LOCK)
            .bind(json(ids))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn lock_named(&mut self, namespace: &Namespace, name: &str) -> Stored<Option<ScheduleRow>> {
        let Some(key) = find(namespace, name) else {
            return Ok(None);
        };
        let row = sqlx::query_scalar(LOCK_NAMED).bind(&*key);
        row.fetch_optional(&mut *self.transaction).await?.map(read).transpose()
    }

    async fn lock_owned(&mut self, namespace: &Namespace, owner: &str) -> Stored<Vec<ScheduleRow>> {
        if !storable(owner) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_scalar(LOCK_OWNED).bind(namespace.as_str()).bind(owner);
        rows.fetch_all(&mut *self.transaction)
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    async fn insert(&mut self, schedule: &ScheduleRow) -> Stored<bool> {
        let done = sqlx::query(INSERT)
            .bind(json(&[schedule]))
            .execute(&mut *self.transaction)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn update(&mut self, schedules: &[ScheduleRow]) -> Stored<()> {
        let done = sqlx::query(UPDATE)
            .bind(json(schedules))
            .execute(&mut *self.transaction)
            .await?;
        match done.rows_affected() == schedules.len() as u64 {
            true => Ok(()),
            false => Err(StoreError::Inconsistent("a schedule that is locked is gone".to_owned())),
        }
    }

    async fn delete(&mut self, id: &str) -> Stored<()> {
        for statement in [DELETE, END_BACKFILLS] {
            sqlx::query(statement).bind(id).execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    async fn fires(&mut self, keys: &[FireKey]) -> Stored<Vec<FireRow>> {
        let rows = sqlx::query_scalar(FIRES_OF)
            .bind(json(keys))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn put_fires(&mut self, fires: &[FireRow]) -> Stored<()> {
        if !fires.is_empty() {
            sqlx::query(PUT_FIRES)
                .bind(json(fires))
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    async fn first_buffered(&mut self, ids: &[String]) -> Stored<Vec<FireRow>> {
        let rows = sqlx::query_scalar(FIRST_BUFFERED)
            .bind(json(ids))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn buffered(&mut self, ids: &[String]) -> Stored<Vec<FireRow>> {
        let rows = sqlx::query_scalar(BUFFERED)
            .bind(json(ids))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn cancel_running(&mut self, ids: &[String], now: i64) -> Stored<()> {
        sqlx::query(CANCEL_RUNNING)
            .bind(json(ids))
            .bind(now)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn put_request(&mut self, key: &str, fingerprint: &str, made: &str, at: i64) -> Stored<bool> {
        let put = sqlx::query(PUT_REQUEST).bind(key).bind(fingerprint).bind(made).bind(at);
        Ok(put.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }

    async fn lock_backfills(&mut self, limit: u32) -> Stored<Vec<BackfillRow>> {
        let rows = sqlx::query_scalar(LOCK_BACKFILLS).bind(i64::from(limit));
        rows.fetch_all(&mut *self.transaction)
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    async fn lock_backfills_of(&mut self, ids: &[String]) -> Stored<Vec<BackfillRow>> {
        let rows = sqlx::query_scalar(LOCK_BACKFILLS_OF)
            .bind(json(ids))
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(read).collect()
    }

    async fn put_backfills(&mut self, backfills: &[BackfillRow]) -> Stored<()> {
        if !backfills.is_empty() {
            sqlx::query(PUT_BACKFILLS)
                .bind(json(backfills))
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    async fn put_reading(&mut self, reading: &Reading) -> Stored<()> {
        let put = sqlx::query(PUT_READING)
            .bind(&reading.holder)
            .bind(json(&reading.positions));
        put.execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn tell(&mut self, note: &Note) -> Stored<()> {
        Ok(outbox::put_postgres(&mut self.transaction, note).await?)
    }

    async fn commit(self: Box<Self>) -> Stored<()> {
        kill_here("scheduling::commit::written");
        self.database.commit(self.transaction).await?;
        kill_here("scheduling::commit::done");
        Ok(())
    }
}

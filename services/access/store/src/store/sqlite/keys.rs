//! API keys.

use async_trait::async_trait;

use super::users::known_roles;
use super::{SqliteStore, rows as read};
use crate::store::rows::{database, json};
use crate::store::{KeyRow, Keys, MAX_KEYS, Refused, StoreError, Wanted};

#[async_trait]
impl Keys for SqliteStore {
    async fn create_key(&self, key: &KeyRow) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let user: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE name = $1)")
            .bind(&key.user)
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
        if !user {
            return Err(Refused::Absent.into());
        }
        known_roles(&mut transaction, &key.grants).await?;
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM api_keys
             WHERE user_name = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(&key.user)
        .bind(key.created_at)
        .fetch_one(&mut *transaction)
        .await
        .map_err(database)?;
        if count >= MAX_KEYS {
            return Err(Refused::Full(count).into());
        }
        sqlx::query(
            "INSERT INTO api_keys (id, digest, description, user_name, grants, queues, created_at, creator, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&key.id)
        .bind(key.digest.as_bytes())
        .bind(&key.description)
        .bind(&key.user)
        .bind(json(&key.grants)?)
        .bind(json(&key.queues)?)
        .bind(key.created_at)
        .bind(&key.creator)
        .bind(key.expires_at)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        self.commit(transaction).await
    }

    async fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
        row.as_ref().map(read::key).transpose()
    }

    async fn keys(&self, wanted: &Wanted, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM api_keys
             WHERE ($1 IS NULL OR user_name = $1) AND ($2 IS NULL OR id < $2)
               AND ($3 IS NULL OR revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3))
             ORDER BY id DESC LIMIT $4",
        )
        .bind(wanted.user.as_deref())
        .bind(wanted.before.as_deref())
        .bind(wanted.alive_at)
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database)?;
        rows.iter().map(read::key).collect()
    }

    async fn revoke_key(&self, id: &str, at: i64) -> Result<KeyRow, StoreError> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING *")
            .bind(id)
            .bind(at)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
        let revoked = read::key(row.as_ref().ok_or(Refused::Absent)?)?;
        if revoked.revoked_at == Some(at) {
            self.commit(transaction).await?;
        }
        Ok(revoked)
    }
}

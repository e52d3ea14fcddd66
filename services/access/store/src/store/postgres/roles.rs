//! Roles that are not built in.

use async_trait::async_trait;

use super::{PostgresStore, lock, rows as read};
use crate::store::rows::{database, json};
use crate::store::{MAX_ROLES, Refused, RoleRow, StoreError, StoredRoles};

#[async_trait]
impl StoredRoles for PostgresStore {
    async fn create_role(&self, role: &RoleRow) -> Result<RoleRow, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM roles")
                .fetch_one(&mut *transaction)
                .await
                .map_err(database)?;
            if count >= MAX_ROLES {
                return Err(Refused::Full(count).into());
            }
            let row = sqlx::query(
                "INSERT INTO roles (name, description, permissions, created_at, updated_at, version)
             VALUES ($1, $2, $3, $4, $4, 1) ON CONFLICT (name) DO NOTHING RETURNING *",
            )
            .bind(&role.name)
            .bind(&role.description)
            .bind(json(&role.permissions)?)
            .bind(role.created_at)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
            let created = read::role(row.as_ref().ok_or(Refused::Exists)?)?;
            self.commit(transaction).await?;
            Ok(created)
        })
        .await
    }

    async fn roles_named(&self, names: &[String]) -> Result<Vec<RoleRow>, StoreError> {
        self.trying(|| async {
            let rows =
                sqlx::query("SELECT * FROM roles WHERE name IN (SELECT jsonb_array_elements_text($1::text::jsonb))")
                    .bind(json(&names)?)
                    .fetch_all(self.database.reader())
                    .await
                    .map_err(database)?;
            rows.iter().map(read::role).collect()
        })
        .await
    }

    async fn roles(&self, after: &str, limit: u32) -> Result<Vec<RoleRow>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query("SELECT * FROM roles WHERE name > $1 ORDER BY name LIMIT $2")
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(self.database.reader())
                .await
                .map_err(database)?;
            rows.iter().map(read::role).collect()
        })
        .await
    }

    async fn update_role(&self, role: &RoleRow) -> Result<RoleRow, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            let row = sqlx::query(
                "UPDATE roles SET description = $2, permissions = $3, updated_at = $4, version = version + 1
             WHERE name = $1 AND version = $5 RETURNING *",
            )
            .bind(&role.name)
            .bind(&role.description)
            .bind(json(&role.permissions)?)
            .bind(role.updated_at)
            .bind(role.version)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
            let changed = read::role(row.as_ref().ok_or(Refused::Changed)?)?;
            self.commit(transaction).await?;
            Ok(changed)
        })
        .await
    }

    async fn delete_role(&self, name: &str, version: Option<i64>, at: i64) -> Result<(), StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            lock(&mut transaction).await?;
            let row = sqlx::query("SELECT * FROM roles WHERE name = $1")
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(database)?;
            let role = read::role(row.as_ref().ok_or(Refused::Absent)?)?;
            if version.is_some_and(|version| version != role.version) {
                return Err(Refused::Changed.into());
            }
            let in_use: bool = sqlx::query_scalar(IN_USE)
                .bind(name)
                .bind(at)
                .fetch_one(&mut *transaction)
                .await
                .map_err(database)?;
            if in_use {
                return Err(Refused::InUse.into());
            }
            sqlx::query("DELETE FROM roles WHERE name = $1")
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            self.commit(transaction).await
        })
        .await
    }
}

/// Whether a user, or a key that has not ended, has a role.
const IN_USE: &str = "\
SELECT EXISTS (SELECT 1 FROM users, jsonb_array_elements(users.grants::jsonb) AS has WHERE has ->> 'role' = $1)
    OR EXISTS (SELECT 1 FROM api_keys, jsonb_array_elements(api_keys.grants::jsonb) AS has
               WHERE has ->> 'role' = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2))";

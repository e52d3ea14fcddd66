//! Secrets in Postgres. A writer locks the secret's row before it compares versions, and the insertion of a new version
//! compares again: of two writers with the same expectation one finds it broken.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_storage::outbox::Note;

use super::{PostgresStore, storable};
use crate::store::own_name;
use crate::store::secrets::rows::{described_where, readers, sealed_where};
use crate::store::secrets::{Place, Rewrap, SecretStore, SecretWrite};

readers!(sqlx::postgres::PgRow);

impl PostgresStore {
    async fn try_put(&self, write: &SecretWrite) -> Result<bool, StoreError> {
        let Sealed { about, wrapped, sealed } = &write.version;
        let namespace = about.namespace.as_str();
        let mut transaction = self.database.begin().await?;
        let found = sqlx::query("SELECT version FROM secrets WHERE namespace = $1 AND name = $2 FOR UPDATE")
            .bind(namespace)
            .bind(&about.name)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
        let found: Option<i64> = found.map(|row| row.try_get(0)).transpose().map_err(database)?;
        if found.unwrap_or(0) != i64::from(write.expected) {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO secrets (namespace, name, version, created_at, created_by) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (namespace, name) DO UPDATE SET version = excluded.version, created_at = excluded.created_at,
                 created_by = excluded.created_by, deleted_at = NULL",
        )
        .bind(namespace)
        .bind(&about.name)
        .bind(i64::from(about.version))
        .bind(about.first_at)
        .bind(&about.first_by)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        let written = sqlx::query(
            "INSERT INTO secret_versions
                 (namespace, name, version, description, created_at, created_by, request, key_id, wrapped, sealed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(namespace)
        .bind(&about.name)
        .bind(i64::from(about.version))
        .bind(&about.description)
        .bind(about.created_at)
        .bind(&about.created_by)
        .bind(about.request.as_deref())
        .bind(&wrapped.key)
        .bind(&wrapped.bytes)
        .bind(sealed)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        if written.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM secret_versions WHERE namespace = $1 AND name = $2 AND version <= $3")
            .bind(namespace)
            .bind(&about.name)
            .bind(i64::from(about.version.saturating_sub(write.keep)))
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        self.tell(&mut transaction).await?;
        self.database.commit(transaction).await?;
        Ok(true)
    }

    async fn try_delete_secret(&self, namespace: &Namespace, name: &str, at: i64) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let deleted =
            sqlx::query("UPDATE secrets SET deleted_at = $3 WHERE namespace = $1 AND name = $2 AND deleted_at IS NULL")
                .bind(namespace.as_str())
                .bind(name)
                .bind(at)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
        sqlx::query("DELETE FROM secret_versions WHERE namespace = $1 AND name = $2")
            .bind(namespace.as_str())
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        if deleted.rows_affected() > 0 {
            self.tell(&mut transaction).await?;
        }
        self.database.commit(transaction).await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn try_rewrap(&self, rewraps: &[Rewrap]) -> Result<u32, StoreError> {
        let texts = |column: for<'a> fn(&'a Rewrap) -> &'a str| rewraps.iter().map(column).collect::<Vec<_>>();
        let bytes = |column: for<'a> fn(&'a Rewrap) -> &'a [u8]| rewraps.iter().map(column).collect::<Vec<_>>();
        let versions: Vec<i64> = rewraps
            .iter()
            .map(|rewrap| i64::from(rewrap.found.about.version))
            .collect();
        let mut transaction = self.database.begin().await?;
        let result = sqlx::query(
            "UPDATE secret_versions v SET key_id = new.key_id, wrapped = new.wrapped
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::text[], $7::bytea[])
                  AS new (namespace, name, version, old_key, old_wrapped, key_id, wrapped)
             WHERE v.namespace = new.namespace AND v.name = new.name AND v.version = new.version
               AND v.key_id = new.old_key AND v.wrapped = new.old_wrapped",
        )
        .bind(texts(|rewrap| rewrap.found.about.namespace.as_str()))
        .bind(texts(|rewrap| &rewrap.found.about.name))
        .bind(versions)
        .bind(texts(|rewrap| &rewrap.found.wrapped.key))
        .bind(bytes(|rewrap| &rewrap.found.wrapped.bytes))
        .bind(texts(|rewrap| &rewrap.wrapped.key))
        .bind(bytes(|rewrap| &rewrap.wrapped.bytes))
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        if result.rows_affected() > 0 {
            self.tell(&mut transaction).await?;
        }
        self.database.commit(transaction).await?;
        Ok(u32::try_from(result.rows_affected()).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl SecretStore for PostgresStore {
    fn telling(&self, note: Note) -> Arc<dyn SecretStore> {
        Arc::new(self.with(note))
    }

    async fn put(&self, write: SecretWrite) -> Result<bool, StoreError> {
        if !storable(&write.version.about.description) {
            return Err(StoreError::Unstorable { field: "description" });
        }
        self.trying(|| self.try_put(&write)).await
    }

    async fn delete_secret(&self, namespace: &Namespace, name: &str, at: i64) -> Result<bool, StoreError> {
        self.trying(|| self.try_delete_secret(namespace, name, at)).await
    }

    async fn head(&self, namespace: &Namespace, name: &str) -> Result<Option<Head>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query(
                "SELECT version AS head, created_at AS first_at, created_by AS first_by, deleted_at FROM secrets
             WHERE namespace = $1 AND name = $2",
            )
            .bind(namespace.as_str())
            .bind(name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
            row.as_ref().map(head).transpose()
        })
        .await
    }

    async fn secret(&self, namespace: &Namespace, name: &str) -> Result<Option<SecretRow>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query(described_where!("s.namespace = $1 AND s.name = $2"))
                .bind(namespace.as_str())
                .bind(name)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(described).transpose()
        })
        .await
    }

    async fn secrets(&self, namespace: &Namespace, after: &str, limit: u32) -> Result<Vec<SecretRow>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query(described_where!(
                "s.namespace = $1 AND s.name > $2 ORDER BY s.name LIMIT $3"
            ))
            .bind(namespace.as_str())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(described).collect()
        })
        .await
    }

    async fn find(&self, namespace: &Namespace, names: &[String]) -> Result<Vec<Found>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query(
                "SELECT w.value AS wanted, s.version AS head, s.created_at AS first_at, s.created_by AS first_by,
                 s.deleted_at, v.*,
                 (SELECT max(k.version) FROM secret_versions k WHERE k.namespace = $1 AND k.name = w.value) AS highest
             FROM unnest($2::text[]) AS w (value)
             LEFT JOIN secrets s ON s.namespace = $1 AND s.name = w.value
             LEFT JOIN secret_versions v ON v.namespace = $1 AND v.name = w.value AND v.version = s.version",
            )
            .bind(namespace.as_str())
            .bind(names)
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(found).collect()
        })
        .await
    }

    async fn version(&self, namespace: &Namespace, name: &str, version: u32) -> Result<Option<Sealed>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query(sealed_where!("v.namespace = $1 AND v.name = $2 AND v.version = $3"))
                .bind(namespace.as_str())
                .bind(name)
                .bind(i64::from(version))
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(sealed).transpose()
        })
        .await
    }

    async fn requested(&self, namespace: &Namespace, key: &str) -> Result<Option<Sealed>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query(sealed_where!("v.request = $1 AND v.namespace = $2"))
                .bind(key)
                .bind(namespace.as_str())
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(sealed).transpose()
        })
        .await
    }

    async fn wrapped_otherwise(
        &self,
        namespace: Option<&Namespace>,
        key: &str,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<Sealed>, StoreError> {
        let (space, name, version) = after.cloned().unwrap_or_default();
        self.trying(|| async {
            let rows = sqlx::query(sealed_where!(
                "v.key_id <> $1 AND ($2::text IS NULL OR v.namespace = $2)
                 AND (v.namespace, v.name, v.version) > ($3, $4, $5)
             ORDER BY v.namespace, v.name, v.version LIMIT $6"
            ))
            .bind(key)
            .bind(namespace.map(Namespace::as_str))
            .bind(&space)
            .bind(&name)
            .bind(i64::from(version))
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(sealed).collect()
        })
        .await
    }

    async fn rewrap(&self, rewraps: &[Rewrap]) -> Result<u32, StoreError> {
        self.trying(|| self.try_rewrap(rewraps)).await
    }

    async fn keys(&self, namespace: Option<&Namespace>) -> Result<Vec<(String, u64)>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query(
                "SELECT key_id, count(*) AS versions FROM secret_versions WHERE $1::text IS NULL OR namespace = $1
             GROUP BY key_id ORDER BY key_id",
            )
            .bind(namespace.map(Namespace::as_str))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(key).collect()
        })
        .await
    }

    async fn holding(
        &self,
        namespace: &Namespace,
        text: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query(
            "SELECT substr(w.name, $5::integer) AS workflow, r.number, r.document FROM workflows w
             JOIN revisions r ON r.workflow = w.name AND r.number = w.latest_revision
             WHERE w.namespace = $1 AND w.deleted_at IS NULL AND w.name > $3 AND position(lower($2) IN lower(r.document)) > 0
             ORDER BY w.name LIMIT $4",
        )
        .bind(namespace.as_str())
        .bind(text)
        .bind(&*namespace.qualify(after))
        .bind(i64::from(limit))
        .bind(own_name(namespace))
        .fetch_all(self.database.reader())
        .await
        .map_err(database)?;
            rows.iter().map(candidate).collect()
        })
        .await
    }
}

#[cfg(test)]
impl PostgresStore {
    /// What somebody does who can write to the database.
    pub(crate) async fn execute(&self, sql: String) -> u64 {
        let statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        let result = statement.execute(self.database.writer()).await.expect("written");
        result.rows_affected()
    }
}

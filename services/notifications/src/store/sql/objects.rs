//! Channels and rules.

macro_rules! objects {
    ($store:ident, $row:ty, $driver:ty, $lock:literal) => {
        mod objects {
            use std::sync::Arc;

            use async_trait::async_trait;
            use nexus_api::Namespace;
            use nexus_storage::outbox::{Note, Outbox};
            use sqlx::Row;

            use super::$store;
            use crate::store::sql::read::{database, storable};
            use crate::store::{Expected, Kept, Kind, Objects, Put, Store, StoreError};

            fn kept(row: &$row) -> Result<Kept, StoreError> {
                let namespace: String = row.try_get("namespace").map_err(database)?;
                let read = || -> Result<Kept, sqlx::Error> {
                    Ok(Kept {
                        namespace: Namespace::default(),
                        name: row.try_get("name")?,
                        version: row.try_get("version")?,
                        content: row.try_get("content")?,
                        created_at: row.try_get("created_at")?,
                        created_by: row.try_get("created_by")?,
                        updated_at: row.try_get("updated_at")?,
                        updated_by: row.try_get("updated_by")?,
                    })
                };
                let parsed = namespace.parse();
                Ok(Kept {
                    namespace: parsed.map_err(|_| StoreError::Inconsistent(format!("a namespace {namespace:?}")))?,
                    ..read().map_err(database)?
                })
            }

            impl $store {
                async fn try_put(&self, put: &Put) -> Result<Option<Kept>, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    // One writer at a time: versions come from it.
                    let row = sqlx::query("UPDATE generation SET number = number + 1 RETURNING number")
                        .fetch_one(&mut *transaction)
                        .await
                        .map_err(database)?;
                    let version: i64 = row.try_get(0).map_err(database)?;
                    let find = concat!(
                        "SELECT version FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3",
                        $lock
                    );
                    let found = sqlx::query(find)
                        .bind(put.kind.number())
                        .bind(put.namespace.as_str())
                        .bind(&put.name)
                        .fetch_optional(&mut *transaction)
                        .await
                        .map_err(database)?;
                    let found: Option<i64> = found.map(|row| row.try_get(0)).transpose().map_err(database)?;
                    let fits = match (put.expected, found) {
                        (Expected::Absent { most }, None) => {
                            let row = sqlx::query("SELECT count(*) FROM objects WHERE kind = $1 AND namespace = $2")
                                .bind(put.kind.number())
                                .bind(put.namespace.as_str())
                                .fetch_one(&mut *transaction)
                                .await
                                .map_err(database)?;
                            row.try_get::<i64, _>(0).map_err(database)? < most
                        }
                        (Expected::There(expected), Some(found)) => expected.is_none_or(|expected| expected == found),
                        _ => false,
                    };
                    if !fits {
                        return Ok(None);
                    }
                    let row = sqlx::query(
                        "INSERT INTO objects (kind, namespace, name, version, content, created_at, created_by, updated_at,
                             updated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $7)
                         ON CONFLICT (kind, namespace, name) DO UPDATE SET version = excluded.version,
                             content = excluded.content, updated_at = excluded.updated_at, updated_by = excluded.updated_by
                         RETURNING *",
                    )
                    .bind(put.kind.number())
                    .bind(put.namespace.as_str())
                    .bind(&put.name)
                    .bind(version)
                    .bind(&put.content)
                    .bind(put.at)
                    .bind(&put.by)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(database)?;
                    let written = kept(&row)?;
                    if let Some(request) = &put.request {
                        let remembered = sqlx::query(
                            "INSERT INTO requests (id, fingerprint, name, created_at) VALUES ($1, $2, $3, $4)
                             ON CONFLICT DO NOTHING",
                        )
                        .bind(&request.key)
                        .bind(&request.fingerprint)
                        .bind(&put.name)
                        .bind(put.at)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                        if remembered.rows_affected() == 0 {
                            return Ok(None);
                        }
                    }
                    self.tell(&mut transaction).await?;
                    self.commit(transaction).await?;
                    Ok(Some(written))
                }

                async fn try_delete(
                    &self,
                    kind: Kind,
                    namespace: &Namespace,
                    name: &str,
                    version: Option<i64>,
                ) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    sqlx::query("UPDATE generation SET number = number + 1")
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    let deleted = sqlx::query(
                        "DELETE FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3
                             AND ($4 = 0 OR version = $4)",
                    )
                    .bind(kind.number())
                    .bind(namespace.as_str())
                    .bind(name)
                    .bind(version.unwrap_or_default())
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
                    if deleted.rows_affected() == 0 {
                        return Ok(false);
                    }
                    self.tell(&mut transaction).await?;
                    self.commit(transaction).await?;
                    Ok(true)
                }
            }

            #[async_trait]
            impl Objects for $store {
                fn telling(&self, note: Note) -> Arc<dyn Store> {
                    Arc::new(Self {
                        note: Some(Arc::new(note)),
                        ..self.clone()
                    })
                }

                fn outbox(&self) -> Arc<dyn Outbox> {
                    Arc::new(self.database.clone())
                }

                async fn put(&self, put: Put) -> Result<Option<Kept>, StoreError> {
                    self.trying(|| self.try_put(&put)).await
                }

                async fn delete(
                    &self,
                    kind: Kind,
                    namespace: &Namespace,
                    name: &str,
                    version: Option<i64>,
                ) -> Result<bool, StoreError> {
                    if !storable(name) {
                        return Ok(false);
                    }
                    self.trying(|| self.try_delete(kind, namespace, name, version)).await
                }

                async fn kept(
                    &self,
                    kind: Kind,
                    namespace: &Namespace,
                    name: &str,
                ) -> Result<Option<Kept>, StoreError> {
                    if !storable(name) {
                        return Ok(None);
                    }
                    let row = sqlx::query("SELECT * FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3")
                        .bind(kind.number())
                        .bind(namespace.as_str())
                        .bind(name)
                        .fetch_optional(self.reader())
                        .await
                        .map_err(database)?;
                    row.as_ref().map(kept).transpose()
                }

                async fn list(
                    &self,
                    kind: Kind,
                    namespace: &Namespace,
                    after: &str,
                    limit: u32,
                ) -> Result<Vec<Kept>, StoreError> {
                    let rows = sqlx::query(
                        "SELECT * FROM objects WHERE kind = $1 AND namespace = $2 AND name > $3 ORDER BY name LIMIT $4",
                    )
                    .bind(kind.number())
                    .bind(namespace.as_str())
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_all(self.reader())
                    .await
                    .map_err(database)?;
                    rows.iter().map(kept).collect()
                }

                async fn rules(&self, after: (&str, &str), limit: u32) -> Result<Vec<Kept>, StoreError> {
                    let rows = sqlx::query(
                        "SELECT * FROM objects WHERE kind = $1 AND (namespace, name) > ($2, $3)
                         ORDER BY namespace, name LIMIT $4",
                    )
                    .bind(Kind::Rule.number())
                    .bind(after.0)
                    .bind(after.1)
                    .bind(i64::from(limit))
                    .fetch_all(self.reader())
                    .await
                    .map_err(database)?;
                    rows.iter().map(kept).collect()
                }

                async fn requested(&self, key: &str) -> Result<Option<(String, String)>, StoreError> {
                    let row = sqlx::query("SELECT name, fingerprint FROM requests WHERE id = $1")
                        .bind(key)
                        .fetch_optional(self.reader())
                        .await
                        .map_err(database)?;
                    let told = |row: $row| Ok((row.try_get(0)?, row.try_get(1)?));
                    row.map(told).transpose().map_err(database)
                }

                async fn generation(&self) -> Result<i64, StoreError> {
                    let row = sqlx::query("SELECT number FROM generation").fetch_one(self.reader()).await;
                    row.and_then(|row| row.try_get(0)).map_err(database)
                }
            }
        }
    };
}
pub(in crate::store) use objects;

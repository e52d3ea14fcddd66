//! The SQLite adapter.

mod secrets;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_failpoint::kill_here;
use nexus_service::idempotency::RequestKey;
use nexus_storage::outbox::{self, Note, Outbox};
use nexus_storage::sqlite::{Database, Durability, Migration};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{
    Expected, ListFilter, NewRevision, RevisionRow, Store, StoreError, WorkflowRow, Write, Written, own_name, written,
};

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "workflows",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0001_workflows.sql"),
    },
    Migration {
        number: 2,
        name: "namespaces",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0002_namespaces.sql"),
    },
    Migration {
        number: 3,
        name: "secrets",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0003_secrets.sql"),
    },
    Migration {
        number: 4,
        name: "audit outbox",
        breaks: false,
        sql: outbox::SQLITE,
    },
];

/// The definitions service's store in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
    /// What the audit log is told with each change.
    note: Option<Arc<Note>>,
}

impl SqliteStore {
    /// Opens (and creates, and migrates) `definitions.db` in a directory.
    ///
    /// # Errors
    /// When the file cannot be opened or holds a schema of a newer version.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("definitions.db");
        Ok(Self {
            database: Database::open(&path, Durability::Full, MIGRATIONS).await?,
            note: None,
        })
    }

    /// The same store, which writes a note with each change.
    fn with(&self, note: Note) -> Self {
        Self {
            note: Some(Arc::new(note)),
            ..self.clone()
        }
    }

    /// Writes what the audit log is told, with the change.
    async fn tell(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        match &self.note {
            Some(note) => Ok(outbox::put(connection, note).await?),
            None => Ok(()),
        }
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

#[async_trait]
impl Store for SqliteStore {
    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let name = written(&write.namespace, &write.name)?;
        let mut transaction = self.database.begin().await?;
        let found = sqlx::query("SELECT version, latest_revision, deleted_at FROM workflows WHERE name = ?1")
            .bind(&*name)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
        let (version, latest, deleted): (i64, u32, bool) = match &found {
            None => (0, 0, true),
            Some(row) => (
                row.try_get(0).map_err(database)?,
                row.try_get(1).map_err(database)?,
                row.try_get::<Option<i64>, _>(2).map_err(database)?.is_some(),
            ),
        };
        let fits = match write.expected {
            Expected::Absent => deleted,
            Expected::Version(expected) => !deleted && expected == version,
        };
        if !fits {
            return Ok(Written::Unexpected);
        }
        let number = latest + u32::from(write.revision.is_some());
        put_workflow(&mut transaction, &write, &name, number, version + 1, deleted).await?;
        if let Some(revision) = &write.revision {
            put_revision(&mut transaction, &write, &name, revision, number).await?;
        }
        if let Some(RequestKey { key, fingerprint }) = &write.request {
            sqlx::query("INSERT INTO requests (id, fingerprint, workflow, created_at) VALUES (?1, ?2, ?3, ?4)")
                .bind(key)
                .bind(fingerprint)
                .bind(&*name)
                .bind(write.at)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
        }
        let row = sqlx::query("SELECT * FROM workflows WHERE name = ?1")
            .bind(&*name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
        let written = workflow_row(&write.namespace, &row)?;
        self.tell(&mut transaction).await?;
        kill_here("definitions::commit::written");
        transaction.commit().await.map_err(database)?;
        kill_here("definitions::commit::done");
        Ok(Written::Done(written))
    }

    async fn delete(
        &self,
        namespace: &Namespace,
        name: &str,
        version: Option<i64>,
        at: i64,
    ) -> Result<bool, StoreError> {
        let Some(name) = namespace.find(name) else {
            return Ok(false);
        };
        let mut transaction = self.database.begin().await?;
        let result = sqlx::query(
            "UPDATE workflows SET deleted_at = ?3, version = version + 1
             WHERE name = ?1 AND deleted_at IS NULL AND (?2 IS NULL OR version = ?2)",
        )
        .bind(&*name)
        .bind(version)
        .bind(at)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        if result.rows_affected() > 0 {
            self.tell(&mut transaction).await?;
        }
        transaction.commit().await.map_err(database)?;
        Ok(result.rows_affected() > 0)
    }

    async fn workflow(&self, namespace: &Namespace, name: &str) -> Result<Option<WorkflowRow>, StoreError> {
        let Some(name) = namespace.find(name) else {
            return Ok(None);
        };
        let row = sqlx::query("SELECT * FROM workflows WHERE name = ?1 AND deleted_at IS NULL")
            .bind(&*name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
        row.as_ref().map(|row| workflow_row(namespace, row)).transpose()
    }

    async fn list(
        &self,
        namespace: &Namespace,
        filter: &ListFilter,
        after: &str,
        limit: u32,
    ) -> Result<Vec<WorkflowRow>, StoreError> {
        let wanted = filter.name.as_deref().map(|name| namespace.find(name));
        if wanted == Some(None) {
            return Ok(Vec::new());
        }
        let wanted = wanted.flatten();
        let labels: Vec<Value> = filter.labels.iter().map(|(key, value)| json!([key, value])).collect();
        let rows = sqlx::query(
            "SELECT * FROM workflows w
             WHERE namespace = ?6 AND deleted_at IS NULL AND name > ?1 AND (?2 IS NULL OR name = ?2)
               AND (?3 IS NULL OR instr(substr(name, ?7), ?3) > 0)
               AND NOT EXISTS (SELECT 1 FROM json_each(?4) wanted WHERE NOT EXISTS (
                     SELECT 1 FROM json_each(w.labels) has
                     WHERE has.key = wanted.value ->> 0 AND has.value = wanted.value ->> 1))
             ORDER BY name LIMIT ?5",
        )
        .bind(&*namespace.qualify(after))
        .bind(wanted.as_deref())
        .bind(filter.name_part.as_deref())
        .bind(Value::from(labels).to_string())
        .bind(limit)
        .bind(namespace.as_str())
        .bind(own_name(namespace))
        .fetch_all(self.database.reader())
        .await
        .map_err(database)?;
        rows.iter().map(|row| workflow_row(namespace, row)).collect()
    }

    async fn revision(
        &self,
        namespace: &Namespace,
        workflow: &str,
        number: u32,
    ) -> Result<Option<RevisionRow>, StoreError> {
        let Some(workflow) = namespace.find(workflow) else {
            return Ok(None);
        };
        let row = sqlx::query("SELECT * FROM revisions WHERE workflow = ?1 AND number = ?2")
            .bind(&*workflow)
            .bind(number)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
        let row = row.as_ref().map(|row| revision_row(namespace, row));
        row.transpose().map_err(database)
    }

    async fn revisions(
        &self,
        namespace: &Namespace,
        workflow: &str,
        before: u32,
        limit: u32,
    ) -> Result<Vec<RevisionRow>, StoreError> {
        let Some(workflow) = namespace.find(workflow) else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query(
            "SELECT workflow, number, digest, '' AS source, '' AS document, message, created_at FROM revisions
             WHERE workflow = ?1 AND (?2 = 0 OR number < ?2) ORDER BY number DESC LIMIT ?3",
        )
        .bind(&*workflow)
        .bind(before)
        .bind(limit)
        .fetch_all(self.database.reader())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| revision_row(namespace, row))
            .collect::<Result<_, _>>()
            .map_err(database)
    }

    fn telling(&self, note: Note) -> Arc<dyn Store> {
        Arc::new(self.with(note))
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }

    async fn request(&self, namespace: &Namespace, key: &str) -> Result<Option<(String, String)>, StoreError> {
        let row = sqlx::query("SELECT workflow, fingerprint FROM requests WHERE id = ?1")
            .bind(key)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
        let told = |row: SqliteRow| {
            let workflow: String = row.try_get(0)?;
            Ok((namespace.plain(&workflow).to_owned(), row.try_get(1)?))
        };
        row.map(told).transpose().map_err(database)
    }
}

async fn put_workflow(
    connection: &mut SqliteConnection,
    write: &Write,
    name: &str,
    latest: u32,
    version: i64,
    fresh: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO workflows
             (name, description, labels, latest_revision, task_count, created_at, updated_at, version, namespace)
         VALUES (?1, ?2, ?3, ?4, coalesce(?5, 0), ?6, ?6, ?7, ?9)
         ON CONFLICT (name) DO UPDATE SET
             description = excluded.description, labels = excluded.labels,
             latest_revision = excluded.latest_revision, task_count = coalesce(?5, task_count),
             created_at = CASE WHEN ?8 THEN excluded.created_at ELSE created_at END,
             updated_at = excluded.updated_at, version = excluded.version, deleted_at = NULL",
    )
    .bind(name)
    .bind(&write.description)
    .bind(serde_json::to_string(&write.labels).unwrap_or_default())
    .bind(latest)
    .bind(write.revision.as_ref().map(|revision| revision.task_count))
    .bind(write.at)
    .bind(version)
    .bind(fresh)
    .bind(write.namespace.as_str())
    .execute(connection)
    .await
    .map_err(database)
    .map(drop)
}

async fn put_revision(
    connection: &mut SqliteConnection,
    write: &Write,
    name: &str,
    revision: &NewRevision,
    number: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO revisions (workflow, number, digest, source, document, message, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(name)
    .bind(number)
    .bind(&revision.digest)
    .bind(&revision.source)
    .bind(&revision.document)
    .bind(&revision.message)
    .bind(write.at)
    .execute(connection)
    .await
    .map_err(database)
    .map(drop)
}

fn workflow_row(namespace: &Namespace, row: &SqliteRow) -> Result<WorkflowRow, StoreError> {
    let labels: String = row.try_get("labels").map_err(database)?;
    let labels = serde_json::from_str(&labels)
        .map_err(|error| StoreError::Inconsistent(format!("a workflow's labels: {error}")))?;
    let read = || -> Result<WorkflowRow, sqlx::Error> {
        let name: String = row.try_get("name")?;
        Ok(WorkflowRow {
            namespace: namespace.clone(),
            name: namespace.plain(&name).to_owned(),
            description: row.try_get("description")?,
            labels,
            latest_revision: row.try_get("latest_revision")?,
            task_count: row.try_get("task_count")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            version: row.try_get("version")?,
        })
    };
    read().map_err(database)
}

fn revision_row(namespace: &Namespace, row: &SqliteRow) -> Result<RevisionRow, sqlx::Error> {
    let workflow: String = row.try_get("workflow")?;
    Ok(RevisionRow {
        workflow: namespace.plain(&workflow).to_owned(),
        number: row.try_get("number")?,
        digest: row.try_get("digest")?,
        source: row.try_get("source")?,
        document: row.try_get("document")?,
        message: row.try_get("message")?,
        created_at: row.try_get("created_at")?,
    })
}

#[cfg(test)]
mod tests;

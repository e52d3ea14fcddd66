//! The Postgres adapter.
//!
//! Several replicas write at once. A writer locks the workflow's row before it compares versions, and the insertion of
//! a new one compares again, so of two writers with the same expectation one finds it broken. What fails for the moment
//! is done again; a commit whose answer was lost is looked up before that, so nothing is written twice.

mod rows;
mod secrets;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_failpoint::kill_here;
use nexus_storage::Migration;
use nexus_storage::outbox::{self, Note, Outbox};
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, Retriable, retry};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{Expected, ListFilter, RevisionRow, Store, StoreError, WorkflowRow, Write, Written, own_name, written};
use rows::{revision_row, workflow_row};
use write::{put_request, put_revision, put_workflow};

const SCHEMA: &str = "definitions";

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "workflows",
        breaks: true,
        sql: include_str!("../../migrations/postgres/0001_workflows.sql"),
    },
    Migration {
        number: 2,
        name: "commits",
        breaks: false,
        sql: nexus_storage::postgres::COMMITS,
    },
    Migration {
        number: 3,
        name: "namespaces",
        breaks: false,
        sql: include_str!("../../migrations/postgres/0003_namespaces.sql"),
    },
    Migration {
        number: 4,
        name: "secrets",
        breaks: false,
        sql: include_str!("../../migrations/postgres/0004_secrets.sql"),
    },
    Migration {
        number: 5,
        name: "audit outbox",
        breaks: false,
        sql: outbox::POSTGRES,
    },
];

/// The definitions service's store in a schema of a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Database,
    /// What the audit log is told with each change.
    note: Option<Arc<Note>>,
}

impl PostgresStore {
    /// Connects to a database. Its schema is migrated or verified afterwards.
    ///
    /// # Errors
    /// When the address cannot be used or no connection can be had in time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::connect(url, SCHEMA, options).await?,
            note: None,
        })
    }

    /// Applies what the schema lacks; replicas may do so at once.
    ///
    /// # Errors
    /// When the schema was written by a newer version, or the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrated = self.database.migrate(MIGRATIONS).await;
        Ok(migrated.map_err(|error| error.at(self.database.place()))?)
    }

    /// Checks that the schema is what this version needs, and changes nothing.
    ///
    /// # Errors
    /// When it is not.
    pub async fn verify(&self) -> Result<(), StoreError> {
        let verified = self.database.verify(MIGRATIONS).await;
        Ok(verified.map_err(|error| error.at(self.database.place()))?)
    }

    /// Does something, again while it fails for the moment only. Errors say which database they are about.
    async fn trying<T, F>(&self, run: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        retry(Budget::default(), run).await.map_err(|error| match error {
            StoreError::Database(error) => StoreError::Database(error.at(self.database.place())),
            other => other,
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
    async fn tell(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Some(note) = &self.note else { return Ok(()) };
        Ok(outbox::put_postgres(connection, note).await?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn try_write(&self, write: &Write) -> Result<Written, StoreError> {
        let name = &*written(&write.namespace, &write.name)?;
        let mut transaction = self.database.begin().await?;
        let found = sqlx::query(
            "SELECT version, latest_revision, deleted_at IS NOT NULL FROM workflows WHERE name = $1 FOR UPDATE",
        )
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database)?;
        let (version, latest, deleted): (i64, i64, bool) = match &found {
            None => (0, 0, true),
            Some(row) => (
                row.try_get(0).map_err(database)?,
                row.try_get(1).map_err(database)?,
                row.try_get(2).map_err(database)?,
            ),
        };
        let fits = match write.expected {
            Expected::Absent => deleted,
            Expected::Version(expected) => !deleted && expected == version,
        };
        if !fits {
            return Ok(Written::Unexpected);
        }
        let number = latest + i64::from(write.revision.is_some());
        let Some(row) = put_workflow(&mut transaction, write, name, number, version, deleted).await? else {
            return Ok(Written::Unexpected);
        };
        let written = workflow_row(&write.namespace, &row)?;
        if let Some(revision) = &write.revision {
            put_revision(&mut transaction, write, name, revision, number).await?;
        }
        if !put_request(&mut transaction, write, name).await? {
            return Ok(Written::Unexpected);
        }
        self.tell(&mut transaction).await?;
        kill_here("definitions::commit::written");
        self.database.commit(transaction).await?;
        kill_here("definitions::commit::done");
        Ok(Written::Done(written))
    }

    async fn try_delete(&self, name: &str, version: Option<i64>, at: i64) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let result = sqlx::query(
            "UPDATE workflows SET deleted_at = $3, version = version + 1
             WHERE name = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL OR version = $2)",
        )
        .bind(name)
        .bind(version)
        .bind(at)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
        if result.rows_affected() > 0 {
            self.tell(&mut transaction).await?;
        }
        self.database.commit(transaction).await?;
        Ok(result.rows_affected() > 0)
    }
}

fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

impl Retriable for StoreError {
    fn is_retriable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retriable())
    }
}

/// Postgres stores every text but those with a NUL. None such is there, so none such can be found.
fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// What a workflow is written under whose name anybody may have typed; nothing when none can have it.
fn find<'a>(namespace: &Namespace, name: &'a str) -> Option<Cow<'a, str>> {
    namespace.find(name).filter(|name| storable(name))
}

fn check(write: &Write) -> Result<(), StoreError> {
    let revision = write.revision.as_ref();
    let request = write.request.as_ref();
    let fields = [
        ("name", write.name.as_str()),
        ("description", write.description.as_str()),
    ];
    let labels = write
        .labels
        .iter()
        .flat_map(|(key, value)| [("labels", key.as_str()), ("labels", value)]);
    let revision = revision.into_iter().flat_map(|revision| {
        [
            ("source", revision.source.as_str()),
            ("source", &revision.document),
            ("message", &revision.message),
        ]
    });
    let request = request.into_iter().map(|request| ("request_id", request.key.as_str()));
    let mut all = fields.into_iter().chain(labels).chain(revision).chain(request);
    match all.find(|(_, text)| !storable(text)) {
        Some((field, _)) => Err(StoreError::Unstorable { field }),
        None => Ok(()),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        check(&write)?;
        self.trying(|| self.try_write(&write)).await
    }

    async fn delete(
        &self,
        namespace: &Namespace,
        name: &str,
        version: Option<i64>,
        at: i64,
    ) -> Result<bool, StoreError> {
        let Some(name) = find(namespace, name) else {
            return Ok(false);
        };
        self.trying(|| self.try_delete(&name, version, at)).await
    }

    async fn workflow(&self, namespace: &Namespace, name: &str) -> Result<Option<WorkflowRow>, StoreError> {
        let Some(name) = find(namespace, name) else {
            return Ok(None);
        };
        self.trying(|| async {
            let row = sqlx::query(
                "SELECT name, description, labels::text AS labels, latest_revision, task_count, created_at, updated_at,
                     version
                 FROM workflows WHERE name = $1 AND deleted_at IS NULL",
            )
            .bind(&*name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database)?;
            row.as_ref().map(|row| workflow_row(namespace, row)).transpose()
        })
        .await
    }

    async fn list(
        &self,
        namespace: &Namespace,
        filter: &ListFilter,
        after: &str,
        limit: u32,
    ) -> Result<Vec<WorkflowRow>, StoreError> {
        let name = filter.name.as_deref().map(|name| find(namespace, name));
        if name == Some(None) {
            return Ok(Vec::new());
        }
        let (name, after) = (name.flatten(), namespace.qualify(after));
        let words = [filter.name_part.as_deref(), Some(&*after)];
        let labels = filter.labels.iter().flat_map(|(key, value)| [key.as_str(), value]);
        if !words.into_iter().flatten().chain(labels).all(storable) {
            return Ok(Vec::new());
        }
        let labels: Vec<Value> = filter.labels.iter().map(|(key, value)| json!([key, value])).collect();
        let labels = Value::from(labels).to_string();
        self.trying(|| async {
            let rows = sqlx::query(
                "SELECT name, description, labels::text AS labels, latest_revision, task_count, created_at, updated_at,
                     version
                 FROM workflows
                 WHERE namespace = $6 AND deleted_at IS NULL AND name > $1 AND ($2::text IS NULL OR name = $2)
                   AND ($3::text IS NULL OR position($3 IN substr(name, $7::integer)) > 0)
                   AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements($4::text::jsonb) wanted
                                   WHERE NOT labels @> jsonb_build_object(wanted ->> 0, wanted ->> 1))
                 ORDER BY name LIMIT $5",
            )
            .bind(&*after)
            .bind(name.as_deref())
            .bind(filter.name_part.as_deref())
            .bind(&labels)
            .bind(i64::from(limit))
            .bind(namespace.as_str())
            .bind(own_name(namespace))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(|row| workflow_row(namespace, row)).collect()
        })
        .await
    }

    async fn revision(
        &self,
        namespace: &Namespace,
        workflow: &str,
        number: u32,
    ) -> Result<Option<RevisionRow>, StoreError> {
        let Some(workflow) = find(namespace, workflow) else {
            return Ok(None);
        };
        self.trying(|| async {
            let row = sqlx::query("SELECT * FROM revisions WHERE workflow = $1 AND number = $2")
                .bind(&*workflow)
                .bind(i64::from(number))
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(|row| revision_row(namespace, row)).transpose()
        })
        .await
    }

    async fn revisions(
        &self,
        namespace: &Namespace,
        workflow: &str,
        before: u32,
        limit: u32,
    ) -> Result<Vec<RevisionRow>, StoreError> {
        let Some(workflow) = find(namespace, workflow) else {
            return Ok(Vec::new());
        };
        self.trying(|| async {
            let rows = sqlx::query(
                "SELECT workflow, number, digest, '' AS source, '' AS document, message, created_at FROM revisions
                 WHERE workflow = $1 AND ($2 = 0 OR number < $2) ORDER BY number DESC LIMIT $3",
            )
            .bind(&*workflow)
            .bind(i64::from(before))
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(|row| revision_row(namespace, row)).collect()
        })
        .await
    }

    fn telling(&self, note: Note) -> Arc<dyn Store> {
        Arc::new(self.with(note))
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }

    async fn request(&self, namespace: &Namespace, key: &str) -> Result<Option<(String, String)>, StoreError> {
        if !storable(key) {
            return Ok(None);
        }
        self.trying(|| async {
            let row = sqlx::query("SELECT workflow, fingerprint FROM requests WHERE id = $1")
                .bind(key)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            let told = |row: PgRow| {
                let workflow: String = row.try_get(0)?;
                Ok((namespace.plain(&workflow).to_owned(), row.try_get(1)?))
            };
            row.map(told).transpose().map_err(database)
        })
        .await
    }
}

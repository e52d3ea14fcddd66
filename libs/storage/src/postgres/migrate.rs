//! Migrations of a schema, which many replicas may start at once.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::Database;
use crate::migration::{Applied, missing};
use crate::retry::{Budget, retry};
use crate::{Error, Migration};

/// Time that migrations wait for another replica's, and that one of them may take.
const MIGRATION: Duration = Duration::from_secs(600);

impl Database {
    /// Applies what is missing, each migration in a transaction of its own together with the note that it was applied.
    /// Replicas that start at once take turns.
    ///
    /// # Errors
    /// When the schema was written by a newer version, an applied migration was changed, or the database fails.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), Error> {
        // Without a lock first: as a rule there is nothing to do.
        let applied = self.applied().await?;
        let left = missing(&self.shown, &applied, migrations)?.len();
        if left == 0 && !applied.is_empty() {
            return Ok(());
        }
        let budget = Budget {
            total: MIGRATION,
            ..Budget::default()
        };
        while retry(budget, || self.migrate_one(migrations)).await? {}
        Ok(())
    }

    /// Checks that everything is applied, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Behind`] when something is missing, and those of [`Self::migrate`].
    pub async fn verify(&self, migrations: &[Migration]) -> Result<(), Error> {
        let applied = self.applied().await?;
        if missing(&self.shown, &applied, migrations)?.is_empty() {
            return Ok(());
        }
        Err(Error::Behind {
            path: self.shown.to_string(),
            found: applied.last().map_or(0, |last| last.number),
            known: migrations.last().map_or(0, |migration| migration.number),
        })
    }

    async fn applied(&self) -> Result<Vec<Applied>, Error> {
        retry(Budget::default(), || async {
            let mut connection = self.writer.acquire().await?;
            let name = format!("{}.migrations", self.schema);
            let there: bool = sqlx::query("SELECT to_regclass($1) IS NOT NULL")
                .bind(name)
                .fetch_one(&mut *connection)
                .await?
                .try_get(0)?;
            if there {
                applied(&mut connection).await
            } else {
                Ok(Vec::new())
            }
        })
        .await
    }

    /// Applies the next migration; whether there may be more.
    async fn migrate_one(&self, migrations: &[Migration]) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let connection = &mut *transaction;
        self.prepare(connection).await?;
        let applied = applied(connection).await?;
        let Some(migration) = missing(&self.shown, &applied, migrations)?.first() else {
            // The schema itself may be new.
            transaction.commit().await?;
            return Ok(false);
        };
        sqlx::raw_sql(migration.sql).execute(&mut *connection).await?;
        sqlx::query("INSERT INTO migrations (number, name, digest, breaks) VALUES ($1, $2, $3, $4)")
            .bind(migration.number)
            .bind(migration.name)
            .bind(migration.digest())
            .bind(migration.breaks)
            .execute(&mut *connection)
            .await?;
        transaction.commit().await?;
        tracing::info!(place = &*self.shown, migration.number, migration.name, "migrated");
        Ok(true)
    }

    /// Waits for the turn and sees that there is a place for notes. The lock belongs to the transaction, so it cannot
    /// outlive it, also behind a pooler.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let millis = MIGRATION.as_millis();
        let limits = format!("SET LOCAL lock_timeout = {millis}; SET LOCAL statement_timeout = {millis}");
        sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut *connection).await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('nexus migrations of ' || $1, 0))")
            .bind(&self.schema)
            .execute(&mut *connection)
            .await?;
        // Asked first: a role without the right to create schemas can still migrate one that was made for it.
        let there: bool = sqlx::query("SELECT to_regnamespace($1) IS NOT NULL")
            .bind(&self.schema)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        if !there {
            let create = format!("CREATE SCHEMA {}", self.schema);
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
        }
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS migrations (
                 number bigint PRIMARY KEY, name text NOT NULL, digest text NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now()
             );
             ALTER TABLE migrations ADD COLUMN IF NOT EXISTS breaks boolean NOT NULL DEFAULT true",
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, Error> {
    // Notes of an older version do not say whether they break.
    let asked = "SELECT number, digest, coalesce((to_jsonb(note) ->> 'breaks')::boolean, true)
                 FROM migrations AS note ORDER BY number";
    let rows = sqlx::query(asked).fetch_all(connection).await?;
    let note = |row: &PgRow| {
        Ok(Applied {
            number: row.try_get(0)?,
            digest: row.try_get(1)?,
            breaks: row.try_get(2)?,
        })
    };
    rows.iter()
        .map(note)
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Error::from)
}

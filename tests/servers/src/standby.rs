//! Standbys: a second Postgres that follows another one and can take over from it.

use std::time::Instant;

use sqlx::{Connection, PgConnection, Row};

use crate::folder::Folder;
use crate::postgres::{USER, programs, run, user};
use crate::{DEADLINE, Error, PAUSE, Postgres, PostgresOptions, keeper, system};

impl Postgres {
    /// A standby of this server, which has everything that this one has committed until now and follows it. To be called
    /// within a Tokio runtime of several threads.
    ///
    /// # Errors
    /// When it cannot be made, or does not catch up.
    pub async fn standby(&self) -> Result<Self, Error> {
        let standby = tokio::task::block_in_place(|| self.copied())?;
        let deadline = Instant::now() + DEADLINE;
        while !self.is_followed().await? {
            if Instant::now() >= deadline {
                return Err(failed("the standby does not catch up"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(standby)
    }

    fn copied(&self) -> Result<Self, Error> {
        let folder = Folder::new()?;
        let user = user()?;
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).map_err(system("giving a directory away"))?;
        }
        let program = programs()?.join("pg_basebackup").display().to_string();
        let mut command = keeper::command(&program, user, "KILL");
        command
            .args(["-h", "127.0.0.1", "-U", USER, "-p", &self.port().to_string()])
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
            .arg(folder.path().join("data"))
            .current_dir(folder.path());
        run("pg_basebackup", command)?;
        let options = PostgresOptions {
            port: None,
            ..self.options().clone()
        };
        Self::over(folder, options)
    }

    /// Whether a standby has everything.
    async fn is_followed(&self) -> Result<bool, Error> {
        let asked =
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn = pg_current_wal_lsn()";
        let followers: i64 = self.ask(asked).await?;
        Ok(followers > 0)
    }

    /// From now on no commit is answered before a standby has it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn wait_for_standbys(&self) -> Result<(), Error> {
        self.say("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        self.say("SELECT pg_reload_conf()").await?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let asked = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            let waited_for: i64 = self.ask(asked).await?;
            if waited_for > 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(failed("no standby is waited for"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets a standby take over: it follows nobody any more and takes writes.
    ///
    /// # Errors
    /// When it does not.
    pub async fn promote(&self) -> Result<(), Error> {
        let promoted: bool = self.ask("SELECT pg_promote(true, 60)").await?;
        if promoted {
            Ok(())
        } else {
            Err(failed("the standby was not promoted"))
        }
    }

    async fn ask<T>(&self, question: &'static str) -> Result<T, Error>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let asked = async {
            let mut connection = PgConnection::connect(&self.url()).await?;
            let row = sqlx::query(question).fetch_one(&mut connection).await?;
            connection.close().await?;
            row.try_get(0)
        };
        asked.await.map_err(database)
    }

    async fn say(&self, statement: &'static str) -> Result<(), Error> {
        let said = async {
            let mut connection = PgConnection::connect(&self.url()).await?;
            sqlx::raw_sql(statement).execute(&mut connection).await?;
            connection.close().await
        };
        said.await.map_err(database)
    }
}

fn database(source: sqlx::Error) -> Error {
    Error::Database {
        name: "postgres".to_owned(),
        source,
    }
}

fn failed(said: &str) -> Error {
    Error::Failed {
        what: "postgres".to_owned(),
        said: said.to_owned(),
    }
}

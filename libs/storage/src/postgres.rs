//! A schema of a Postgres database: pools for writing and for reading, migrations that many replicas may start at once,
//! commits whose answer was lost, errors in the house's words.
//!
//! Every wait has an end: for a connection, for a statement, for a lock, and for a transaction that its owner forgot.
//! The driver has no TCP keepalive, so a server that vanishes without a word is noticed by the deadline that the caller
//! sets (`retry` has one); the server's own keepalive is asked for, so that it gives up on clients that have vanished
//! and lets go of their locks.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use crate::Error;
use crate::retry::{Budget, retry};

mod commit;
mod kept;
mod migrate;

pub use commit::COMMITS;
pub use kept::Kept;

/// How long a connection may take to show that it is alive.
const MOMENT: Duration = Duration::from_secs(1);
/// How long a transaction may take to begin, with everything that has to happen before.
const BEGINNING: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is asked whether it is alive before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// How a database is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections for writing by single statements at most, and as many for transactions.
    pub writers: u32,
    /// Connections for reading at most.
    pub readers: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a transaction may be open without a statement: its owner has forgotten it or is gone.
    pub idle_in_transaction_timeout: Duration,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a server that is not there yet is waited for at the start.
    pub reach_timeout: Duration,
    /// What the server's administrators see.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writers: 4,
            readers: 8,
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(15),
            acquire_timeout: Duration::from_secs(5),
            reach_timeout: Duration::from_secs(10),
            application_name: "nexus".to_owned(),
        }
    }
}

/// A schema of a Postgres database that is open.
#[derive(Debug, Clone)]
pub struct Database {
    /// No transaction is ever begun here, so what a single statement wrote is committed when it is answered.
    writer: PgPool,
    /// Where the one of them is that is kept between statements.
    place: kept::Place,
    transactions: PgPool,
    reader: PgPool,
    schema: String,
    /// Where it is, for people.
    shown: Arc<str>,
}

impl Database {
    /// Connects to a database, waiting a moment for one that is not there yet. The schema need not exist before
    /// [`Self::migrate`].
    ///
    /// # Errors
    /// When the address or the schema's name cannot be used, or no connection can be had in time.
    pub async fn connect(url: &str, schema: &str, options: Options) -> Result<Self, Error> {
        let connect = connect_options(url, schema, &options)?;
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            let what = "the database's address must begin with postgres://".to_owned();
            return Err(Error::Setting { what });
        }
        let shown: Arc<str> = format!(
            "schema {schema} of {}:{}/{}",
            connect.get_host(),
            connect.get_port(),
            connect.get_database().unwrap_or_default()
        )
        .into();
        let settings: Arc<str> = settings(schema, &options).into();
        let pool = |connections: u32, asks: bool| {
            let settings = Arc::clone(&settings);
            PgPoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(options.acquire_timeout)
                .after_connect(move |connection, _| {
                    // Nothing in it comes from outside: the schema's name was looked at.
                    let settings = AssertSqlSafe(settings.to_string());
                    Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
                })
                // A look before each use would cost a round trip each time.
                .test_before_acquire(false)
                .before_acquire(move |connection, meta| {
                    Box::pin(in_a_moment(async move {
                        if asks {
                            // One that is in a transaction that failed takes no more statements, and is well in every
                            // other way: it would be given out again and again. With this it is closed.
                            sqlx::query("SELECT 1").execute(connection).await?;
                        } else if meta.idle_for > FRESH {
                            connection.ping().await?;
                        }
                        Ok(true)
                    }))
                })
                // The driver asks too before it takes a connection back, and waits for the answer however long: one that
                // was given up in the middle of a statement because the server's machine is gone would hold its place
                // in the pool until the system notices, a quarter of an hour later.
                .after_release(|connection, _| {
                    Box::pin(in_a_moment(async move {
                        connection.ping().await?;
                        Ok(true)
                    }))
                })
        };
        let database = Self {
            writer: pool(options.writers, false).connect_lazy_with(connect.clone()),
            transactions: pool(options.writers, true).connect_lazy_with(connect.clone()),
            reader: pool(options.readers, false).connect_lazy_with(connect.clone()),
            place: kept::Place::default(),
            schema: schema.to_owned(),
            shown,
        };
        // Not through a pool: it tries a server that refuses again and again until its own time is over, and keeps to
        // itself that it was refused.
        let reach = || async {
            let connection = PgConnection::connect_with(&connect).await?;
            connection.close().await.map_err(Error::from)
        };
        let budget = Budget {
            total: options.reach_timeout,
            ..Budget::default()
        };
        retry(budget, reach)
            .await
            .map_err(|error: Error| error.at(&database.shown))?;
        Ok(database)
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        let transactions = self.transactions.clone();
        // It goes on when the caller gives up: of a BEGIN that is given up while its answer is under way the driver gives
        // the connection back in a transaction, since it rolls back only what it knows to have begun (sqlx 0.9,
        // `PgTransactionManager::begin`).
        let begun = tokio::spawn(async move {
            let late = |_| sqlx::Error::PoolTimedOut;
            timeout(BEGINNING, transactions.begin()).await.map_err(late)?
        });
        begun.await.map_err(|_| Error::timed_out())?.map_err(Error::from)
    }

    /// Where it is, for people: schema, host, port and name.
    #[must_use]
    pub fn place(&self) -> &Arc<str> {
        &self.shown
    }

    /// Connections for reading.
    #[must_use]
    pub fn reader(&self) -> &PgPool {
        &self.reader
    }

    /// Connections for writing by single statements, each of which is a transaction by itself.
    #[must_use]
    pub fn writer(&self) -> &PgPool {
        &self.writer
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.place.clear();
        self.reader.close().await;
        self.writer.close().await;
        self.transactions.close().await;
    }
}

/// Gives a sign of life no more than a moment.
async fn in_a_moment(sign: impl Future<Output = Result<bool, sqlx::Error>>) -> Result<bool, sqlx::Error> {
    timeout(MOMENT, sign).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn connect_options(url: &str, schema: &str, options: &Options) -> Result<PgConnectOptions, Error> {
    let mut letters = schema.bytes();
    let plain = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        && schema.len() < 64;
    if !plain {
        return Err(Error::Setting {
            what: format!("a schema's name is made of a-z, 0-9 and _, and begins with a letter; {schema:?} is not"),
        });
    }
    // What the driver says of an address may quote it, and it holds a password.
    let connect = PgConnectOptions::from_str(url).map_err(|_| Error::Setting {
        what: "the database's address cannot be read; it looks like postgres://USER:PASSWORD@HOST:5432/DATABASE".into(),
    })?;
    Ok(connect
        .application_name(&options.application_name)
        .statement_cache_capacity(128))
}

/// What every connection is told first. As statements and not as parameters of its start, which poolers refuse.
fn settings(schema: &str, options: &Options) -> String {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let settings = [
        ("search_path", format!("\"{schema}\"")),
        ("statement_timeout", millis(options.statement_timeout)),
        ("lock_timeout", millis(options.lock_timeout)),
        (
            "idle_in_transaction_session_timeout",
            millis(options.idle_in_transaction_timeout),
        ),
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        // Every statement here finds its rows by an index. A plan that was made while a table was small would read the
        // whole of it, and is kept while the table grows.
        ("enable_seqscan", "off".to_owned()),
        ("enable_hashjoin", "off".to_owned()),
        ("enable_mergejoin", "off".to_owned()),
        // Where a table has to be read whole all the same, the plan counts as so dear that it would be compiled first.
        ("jit", "off".to_owned()),
    ];
    let statement = |(name, value): &(&str, String)| format!("SET {name} TO {value};");
    settings.iter().map(statement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_schemas_that_cannot_be_used_are_refused_without_quoting_secrets() {
        let options = Options::default();
        for schema in ["", "a-b", "A", "1a", "a;b", &"a".repeat(64)] {
            assert!(connect_options("postgres://h/d", schema, &options).is_err(), "{schema}");
        }
        let error = connect_options("postgres://u:hunter2@h:port/d", "a", &options).expect_err("no port");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

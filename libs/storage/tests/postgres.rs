//! The Postgres database against a real private server: many migrators at once, refusals, kinds of errors, lost answers.

use std::task::Poll;
use std::time::Duration;

use nexus_servers::{Postgres, PostgresOptions};
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, retry};
use nexus_storage::{Error, ErrorKind, Migration};
use sqlx::Row;

const FIRST: Migration = Migration {
    number: 1,
    name: "first",
    sql: "CREATE TABLE a (x integer PRIMARY KEY); SELECT pg_sleep(0.05);",
};
const SECOND: Migration = Migration {
    number: 2,
    name: "second",
    sql: "CREATE TABLE b (y text); CREATE INDEX ON b (y);",
};

async fn fresh() -> String {
    let server = Postgres::shared().expect("a private Postgres");
    server.fresh_database().await.expect("a database")
}

fn quick() -> Options {
    Options {
        statement_timeout: Duration::from_secs(2),
        lock_timeout: Duration::from_millis(200),
        acquire_timeout: Duration::from_secs(2),
        reach_timeout: Duration::from_secs(2),
        ..Options::default()
    }
}

async fn open(url: &str) -> Database {
    Database::connect(url, "things", quick()).await.expect("connect")
}

async fn execute(database: &Database, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(database.writer()).await?;
    Ok(())
}

async fn count(database: &Database) -> i64 {
    let row = sqlx::query("SELECT count(*) FROM a").fetch_one(database.reader()).await;
    row.expect("count").get(0)
}

#[tokio::test]
async fn ten_migrators_at_once_apply_each_migration_once() {
    let url = fresh().await;
    let migrators = (0..10).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            let database = open(&url).await;
            database.migrate(&[FIRST, SECOND]).await.expect("migrate");
            database.verify(&[FIRST, SECOND]).await.expect("verify");
            database.close().await;
        })
    });
    for migrator in migrators.collect::<Vec<_>>() {
        migrator.await.expect("join");
    }
    let database = open(&url).await;
    let rows = sqlx::query("SELECT number, name FROM things.migrations ORDER BY number")
        .fetch_all(database.reader())
        .await
        .expect("notes");
    let notes: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(notes, [(1, "first".to_owned()), (2, "second".to_owned())]);
}

#[tokio::test]
async fn schemas_of_other_versions_are_refused() {
    let database = open(&fresh().await).await;
    let behind = database.verify(&[FIRST]).await.expect_err("nothing is there");
    assert!(matches!(behind, Error::Behind { found: 0, known: 1, .. }), "{behind}");
    database.migrate(&[FIRST, SECOND]).await.expect("migrate");
    database.migrate(&[FIRST, SECOND]).await.expect("again");
    for error in [
        database.migrate(&[FIRST]).await.expect_err("an older version"),
        database.verify(&[FIRST]).await.expect_err("an older version"),
    ] {
        assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("schema things of 127.0.0.1:"), "{error}");
    }
    let edited = Migration {
        sql: "SELECT 1",
        ..FIRST
    };
    let changed = database.migrate(&[edited, SECOND]).await.expect_err("edited");
    assert!(matches!(changed, Error::Changed { number: 1, .. }), "{changed}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_of_itself() {
    let database = open(&fresh().await).await;
    let broken = Migration {
        sql: "CREATE TABLE b (y text); SELECT 1/0;",
        ..SECOND
    };
    database.migrate(&[FIRST, broken]).await.expect_err("it fails");
    database
        .migrate(&[FIRST, SECOND])
        .await
        .expect("its table is not there");
}

#[tokio::test]
async fn errors_say_what_they_mean() {
    let database = open(&fresh().await).await;
    database.migrate(&[FIRST]).await.expect("migrate");
    execute(&database, "INSERT INTO a VALUES (1)").await.expect("insert");
    let mut transaction = database.begin().await.expect("begin");
    sqlx::raw_sql("SELECT x FROM a FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .expect("lock");
    for (sql, kind) in [
        ("INSERT INTO a VALUES (1)", ErrorKind::Duplicate),
        ("UPDATE a SET x = 2", ErrorKind::Transient),
        ("SET statement_timeout = 20; SELECT pg_sleep(10)", ErrorKind::Transient),
        ("SELECT pg_terminate_backend(pg_backend_pid())", ErrorKind::Transient),
        ("BEGIN READ ONLY; INSERT INTO a VALUES (9)", ErrorKind::ReadOnly),
        ("SELECT nonsense", ErrorKind::Other),
    ] {
        let mut connection = database.writer().acquire().await.expect("connection").detach();
        let error = sqlx::raw_sql(sql).execute(&mut connection).await.expect_err(sql);
        assert_eq!(Error::from(error).kind(), kind, "{sql}");
    }
    let nobody = Database::connect("postgres://nexus@127.0.0.1:1/x", "things", quick()).await;
    assert_eq!(nobody.expect_err("nobody listens").kind(), ErrorKind::Transient);
}

#[tokio::test]
async fn work_goes_on_after_restarts_and_kills() {
    let mut server = Postgres::start(PostgresOptions {
        fsync: true,
        ..PostgresOptions::default()
    })
    .expect("a Postgres");
    let url = server.create_database("d").await.expect("database");
    let database = open(&url).await;
    database.migrate(&[FIRST]).await.expect("migrate");
    for (number, how) in [(1, Postgres::stop as fn(&mut Postgres)), (2, Postgres::kill)] {
        how(&mut server);
        let budget = Budget {
            total: Duration::from_secs(30),
            ..Budget::default()
        };
        let writing = tokio::spawn({
            let database = database.clone();
            async move {
                let insert = || async {
                    let mut transaction = database.begin().await?;
                    sqlx::query("INSERT INTO a VALUES ($1)")
                        .bind(number)
                        .execute(&mut *transaction)
                        .await?;
                    database.commit(transaction).await
                };
                retry(budget, insert).await
            }
        });
        // The runtime has one thread only; the writer shall find the server down at least once.
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.resume().expect("resume");
        writing.await.expect("join").expect("in the end");
        assert_eq!(count(&database).await, i64::from(number));
    }
}

/// A relay between a client and the server that can be told to swallow the answer to a commit.
mod relay {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Relays to a port; a message that says COMMIT is passed on, and its answer lost with the connection, once for each
    /// time that `lose` is set.
    pub async fn start(to: u16, lose: Arc<AtomicBool>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, Arc::clone(&lose)));
            }
        });
        port
    }

    async fn pass(mut client: TcpStream, to: u16, lose: Arc<AtomicBool>) {
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.expect("connect");
        let (mut up, mut down) = ([0; 8192], [0; 8192]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(length @ 1..) = read else { return };
                    server.write_all(&up[..length]).await.expect("write");
                    if up[..length].windows(6).any(|word| word == b"COMMIT") && lose.swap(false, Ordering::SeqCst) {
                        // The server has answered, so it has committed; nobody hears of it.
                        drop(server.read(&mut down).await);
                        return;
                    }
                }
                read = server.read(&mut down) => {
                    let Ok(length @ 1..) = read else { return };
                    if client.write_all(&down[..length]).await.is_err() { return }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_looked_up() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let url = fresh().await;
    let server = Postgres::shared().expect("shared");
    let lose = Arc::new(AtomicBool::new(false));
    let port = relay::start(server.port(), Arc::clone(&lose)).await;
    let relayed = url.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let database = open(&relayed).await;
    database.migrate(&[FIRST]).await.expect("migrate");
    lose.store(true, Ordering::SeqCst);
    let mut transaction = database.begin().await.expect("begin");
    sqlx::query("INSERT INTO a VALUES (1)")
        .execute(&mut *transaction)
        .await
        .expect("insert");
    database
        .commit(transaction)
        .await
        .expect("it was committed, and that is found out");
    assert!(!lose.load(Ordering::SeqCst), "the answer was lost");
    assert_eq!(count(&database).await, 1);
}

/// Connections of this database that are in the middle of a transaction.
async fn in_transactions(database: &Database) -> i64 {
    let asked = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let row = sqlx::query(asked).fetch_one(database.reader()).await;
    row.expect("activity").get(0)
}

#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_connection_in_a_transaction() {
    let url = fresh().await;
    let database = open(&url).await;
    database.migrate(&[FIRST]).await.expect("migrate");
    for round in 0..300 {
        // At every moment of it: the connection is had, BEGIN is sent, its answer is under way.
        let mut begin = Box::pin(database.begin());
        for _ in 0..round {
            let done = std::future::poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_ready())).await;
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while in_transactions(&database).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "a transaction was left open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is written after it is seen by others.
    for _ in 0..8 {
        let before = count(&database).await;
        let add = "INSERT INTO a SELECT coalesce(max(x), 0) + 1 FROM a";
        let mut transaction = database.begin().await.expect("begin");
        sqlx::raw_sql(add).execute(&mut *transaction).await.expect("add");
        transaction.commit().await.expect("commit");
        execute(&database, add).await.expect("add");
        assert_eq!(count(&database).await, before + 2);
    }
}

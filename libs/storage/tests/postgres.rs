//! The Postgres database against a real private server: many migrators at once, refusals, kinds of errors, lost answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nexus_servers::{Certificates, Postgres, PostgresOptions};
use nexus_storage::postgres::{COMMITS, Database, Options};
use nexus_storage::retry::{Budget, retry};
use nexus_storage::{Error, ErrorKind, Migration};
use sqlx::Row;

const FIRST: Migration = Migration {
    number: 1,
    name: "first",
    breaks: true,
    sql: "CREATE TABLE a (x integer PRIMARY KEY); SELECT pg_sleep(0.05);",
};
const SECOND: Migration = Migration {
    number: 2,
    name: "second",
    breaks: true,
    sql: "CREATE TABLE b (y text); CREATE INDEX ON b (y);",
};

const MARKS: Migration = Migration {
    number: 2,
    name: "commits",
    breaks: true,
    sql: COMMITS,
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
    // What breaks nothing is no reason to refuse: during an upgrade the old version starts again, and it may be undone.
    const MORE: Migration = Migration {
        number: 3,
        name: "more",
        breaks: false,
        sql: "CREATE TABLE c (z text)",
    };
    database.migrate(&[FIRST, SECOND, MORE]).await.expect("migrate");
    database.verify(&[FIRST, SECOND]).await.expect("an older version");
    database
        .migrate(&[FIRST, SECOND])
        .await
        .expect("an older version, which changes nothing");
    database.verify(&[FIRST, SECOND, MORE]).await.expect("the newer one");
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
    database.migrate(&[FIRST, MARKS]).await.expect("migrate");
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

/// A relay between a client and the server that can be told to play tricks with answers.
mod relay {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// What happens to answers, each once when it is set.
    #[derive(Debug, Default)]
    pub struct Tricks {
        /// COMMIT is passed on, and its answer lost with the connection.
        pub lose_commit: AtomicBool,
        /// COMMIT is lost with the connection; the server hears nothing of it and not even that.
        pub lose_word: AtomicBool,
        /// The answer to BEGIN comes late.
        pub hold_begin: AtomicBool,
        /// Where further connections lead, when it is set.
        pub then_to: AtomicU16,
    }

    /// How late.
    pub const LATE: Duration = Duration::from_millis(300);

    /// Relays to a port; tells its own.
    pub async fn start(to: u16, tricks: Arc<Tricks>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let moved = Some(tricks.then_to.load(Ordering::SeqCst)).filter(|port| *port > 0);
                let to = moved.unwrap_or(to);
                tokio::spawn(pass(client, to, Arc::clone(&tricks)));
            }
        });
        port
    }

    async fn pass(mut client: TcpStream, to: u16, tricks: Arc<Tricks>) {
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.expect("connect");
        let (mut up, mut down) = ([0; 8192], [0; 8192]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(length @ 1..) = read else { return };
                    let says = |word: &[u8]| up[..length].windows(word.len()).any(|part| part == word);
                    if says(b"COMMIT") && tricks.lose_word.swap(false, Ordering::SeqCst) {
                        // The server keeps the transaction open, as it would when a machine vanishes.
                        tokio::spawn(async move {
                            tokio::time::sleep(LATE).await;
                            drop(server);
                        });
                        return;
                    }
                    server.write_all(&up[..length]).await.expect("write");
                    if says(b"COMMIT") && tricks.lose_commit.swap(false, Ordering::SeqCst) {
                        // The server has answered, so it has committed; nobody hears of it.
                        drop(server.read(&mut down).await);
                        return;
                    }
                    if says(b"BEGIN") && tricks.hold_begin.swap(false, Ordering::SeqCst) {
                        tokio::time::sleep(LATE).await;
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

/// A database behind a relay.
async fn relayed() -> (Database, std::sync::Arc<relay::Tricks>) {
    let url = fresh().await;
    let server = Postgres::shared().expect("shared");
    let tricks = std::sync::Arc::<relay::Tricks>::default();
    let port = relay::start(server.port(), std::sync::Arc::clone(&tricks)).await;
    let database = open(&url.replace(&format!(":{}/", server.port()), &format!(":{port}/"))).await;
    database.migrate(&[FIRST, MARKS]).await.expect("migrate");
    (database, tricks)
}

/// Writes a number in a transaction.
async fn write(database: &Database, number: i64) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    sqlx::query("INSERT INTO a VALUES ($1)")
        .bind(number)
        .execute(&mut *transaction)
        .await?;
    database.commit(transaction).await
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_looked_up() {
    let (database, tricks) = relayed().await;
    tricks.lose_commit.store(true, Ordering::SeqCst);
    let written = write(&database, 1).await;
    written.expect("it was committed, and that is found out");
    assert!(!tricks.lose_commit.load(Ordering::SeqCst), "the answer was lost");
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn a_commit_that_was_lost_itself_is_none_and_never_becomes_one() {
    let (database, tricks) = relayed().await;
    tricks.lose_word.store(true, Ordering::SeqCst);
    let lost = write(&database, 1).await.expect_err("it was not committed");
    assert!(lost.is_retriable(), "known not to be committed: {lost}");
    assert!(!tricks.lose_word.load(Ordering::SeqCst), "the word was lost");
    assert_eq!(count(&database).await, 0);
    write(&database, 1).await.expect("it may be done again");
}

/// A server that crashed, and one that takes over from another, give numbers of transactions out again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_is_not_taken_for_that_of_another_transaction_with_its_number() {
    let primary = Postgres::start(PostgresOptions::default()).expect("a Postgres");
    primary.create_database("d").await.expect("database");
    let tricks = std::sync::Arc::<relay::Tricks>::default();
    let port = relay::start(primary.port(), std::sync::Arc::clone(&tricks)).await;
    let database = open(&format!("postgres://nexus@127.0.0.1:{port}/d")).await;
    database.migrate(&[FIRST, MARKS]).await.expect("migrate");
    let standby = primary.standby().await.expect("a standby");
    standby.promote().await.expect("promote");

    let mut lost = database.begin().await.expect("begin");
    sqlx::query("INSERT INTO a VALUES (1)")
        .execute(&mut *lost)
        .await
        .expect("insert");
    let number = "SELECT pg_current_xact_id()::text::bigint";
    let taken: i64 = sqlx::query(number).fetch_one(&mut *lost).await.expect("number").get(0);
    let other = open(&standby.url_of("d")).await;
    while sqlx::query(number)
        .fetch_one(other.writer())
        .await
        .expect("number")
        .get::<i64, _>(0)
        <= taken
    {}
    let fate = sqlx::query("SELECT pg_xact_status($1::text::xid8)")
        .bind(taken.to_string())
        .fetch_one(other.writer())
        .await;
    assert_eq!(
        fate.expect("fate").get::<&str, _>(0),
        "committed",
        "that of another one"
    );

    tricks.then_to.store(standby.port(), Ordering::SeqCst);
    tricks.lose_word.store(true, Ordering::SeqCst);
    database.commit(lost).await.expect_err("it was not committed");
    assert_eq!(count(&database).await, 0);
    write(&database, 1).await.expect("it may be done again");
}

/// Connections of this database that are in the middle of a transaction.
async fn in_transactions(database: &Database) -> i64 {
    let asked = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let row = sqlx::query(asked).fetch_one(database.reader()).await;
    row.expect("activity").get(0)
}

/// The driver, left to itself, gives a connection back that is in a transaction: it rolls back only what it knows to have
/// begun. Whatever is written over it by a single statement then is never committed, and one statement that fails makes
/// all that follow fail.
#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_connection_in_a_transaction() {
    let (database, tricks) = relayed().await;
    tricks.hold_begin.store(true, Ordering::SeqCst);
    let given_up = tokio::time::timeout(relay::LATE / 3, database.begin()).await;
    assert!(
        given_up.is_err() && !tricks.hold_begin.load(Ordering::SeqCst),
        "its answer is late"
    );
    tokio::time::sleep(relay::LATE).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while in_transactions(&database).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "a transaction was left open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_over_tls_is_verified_with_the_root_that_its_address_names() {
    let (certificates, others) = (
        Certificates::new().expect("certificates"),
        Certificates::new().expect("others"),
    );
    let server = Postgres::start(PostgresOptions {
        settings: certificates.postgres(),
        ..PostgresOptions::default()
    })
    .expect("a Postgres");
    let url = |root: &Certificates| {
        let root = root.ca();
        format!(
            "postgres://nexus@localhost:{}/postgres?sslmode=verify-full&sslrootcert={}",
            server.port(),
            root.display()
        )
    };
    let database = open(&url(&certificates)).await;
    let asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = sqlx::query(asked).fetch_one(database.writer()).await.expect("asked");
    assert!(row.get::<bool, _>(0), "the connection is encrypted");
    let refused = Database::connect(&url(&others), "things", quick()).await;
    let error = refused.expect_err("of another root").to_string();
    assert!(error.contains("certificate"), "{error}");
}

//! Private servers start, keep what they should over a kill, come back on the same port, and leave nothing behind.

use std::path::PathBuf;
use std::time::Instant;

use nexus_servers::{MariaDb, Postgres, PostgresOptions, Redis, RedisOptions};
use sqlx::{Connection, PgConnection, Row};

async fn number(url: &str, sql: &'static str) -> i32 {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("query");
    row.get(0)
}

#[tokio::test]
async fn a_postgres_keeps_its_data_over_a_stop_and_a_kill() {
    let began = Instant::now();
    let options = PostgresOptions {
        fsync: true,
        ..PostgresOptions::default()
    };
    let mut server = Postgres::start(options).expect("start");
    println!("started in {:?}", began.elapsed());
    let url = server.create_database("some-name").await.expect("database");
    let mut connection = PgConnection::connect(&url).await.expect("connect");
    sqlx::raw_sql("CREATE TABLE t AS SELECT 7 AS x")
        .execute(&mut connection)
        .await
        .expect("create");
    let pid = server.pid().expect("it runs");
    for how in [Postgres::stop, Postgres::kill] {
        how(&mut server);
        assert_eq!(server.pid(), None);
        assert!(PgConnection::connect(&url).await.is_err(), "it is down");
        let began = Instant::now();
        server.resume().expect("resume");
        println!("resumed in {:?}", began.elapsed());
        assert_ne!(server.pid(), Some(pid), "a new process");
        assert_eq!(number(&url, "SELECT x FROM t").await, 7);
    }
    let directory: PathBuf = server.socket().to_owned();
    assert!(
        directory.join(format!(".s.PGSQL.{}", server.port())).exists(),
        "a Unix socket"
    );
    let began = Instant::now();
    drop(server);
    println!("dropped in {:?}", began.elapsed());
    assert!(!directory.exists(), "it leaves nothing behind");
}

#[tokio::test]
async fn the_shared_postgres_outlives_the_thread_that_asked_for_it() {
    let url = std::thread::spawn(|| Postgres::shared().expect("start").url())
        .join()
        .expect("thread");
    assert_eq!(number(&url, "SELECT 1").await, 1);
    let server = Postgres::shared().expect("the same");
    let (one, two) = tokio::join!(server.fresh_database(), server.fresh_database());
    assert_ne!(one.expect("one"), two.expect("two"));
}

#[tokio::test]
async fn a_redis_comes_back_empty_on_the_same_port() {
    let began = Instant::now();
    let mut server = Redis::start(RedisOptions::default()).expect("start");
    println!("redis started in {:?}", began.elapsed());
    let url = server.url();
    for how in [Redis::stop, Redis::kill] {
        how(&mut server);
        assert_eq!(server.pid(), None);
        server.resume().expect("resume");
        assert_eq!(server.url(), url);
        assert!(server.pid().is_some());
    }
}

#[test]
fn a_mariadb_starts_and_leaves_nothing_behind() {
    let mut server = MariaDb::start().expect("start");
    let pid = server.pid().expect("it runs");
    assert!(server.url().starts_with("mysql://root@127.0.0.1:"));
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
}

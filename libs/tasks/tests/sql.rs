//! SQL tasks on SQLite files, and on Postgres when `NEXUS_TEST_POSTGRES` names one.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Run, options};
use nexus_tasks::{FailureKind, SecretStore};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_from_creation_to_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite://{}/t.db", folder.path().display());
    let run = Run::default();
    let absent = run.run("sql", json!({"url": url, "statement": "select 1"})).await;
    assert_eq!(absent.failure().error_type, "SqlConnect");
    let create = run.run("sql", json!({"url": format!("{url}?mode=rwc"), "statement": "create table t (id integer primary key, name text not null, x real, b blob, ok boolean, j text)"})).await;
    assert_eq!(create.output(), json!({"rows": [], "row_count": 0, "columns": []}));
    let insert = run.run("sql", json!({"url": url, "statement": "insert into t values (:id, :name, :x, x'00ff', :ok, :j), (2, ':name', null, null, false, null)",
        "bind": {"id": 9007199254740993_i64, "name": "it's", "x": 1.5, "ok": true, "j": [1, {"a": null}]}})).await;
    assert_eq!(insert.output()["row_count"], 2);
    let select = run
        .run(
            "sql",
            json!({"url": url, "statement": "select *, id from t order by id desc;"}),
        )
        .await;
    let output = select.output();
    assert_eq!(output["columns"], json!(["id", "name", "x", "b", "ok", "j", "id_2"]));
    assert_eq!(
        output["rows"][0],
        json!({"id": 9007199254740993_i64, "name": "it's", "x": 1.5, "b": "AP8=", "ok": true, "j": "[1,{\"a\":null}]", "id_2": 9007199254740993_i64})
    );
    assert_eq!(output["rows"][1]["name"], ":name");
    let empty = run
        .run(
            "sql",
            json!({"url": url, "statement": "select name from t where id = :id", "bind": {"id": -1}}),
        )
        .await;
    assert_eq!(empty.output(), json!({"rows": [], "row_count": 0, "columns": ["name"]}));

    let twice = run
        .run(
            "sql",
            json!({"url": url, "statement": "insert into t (id, name) values (2, 'x')"}),
        )
        .await;
    assert_eq!(twice.failure().error_type, "SqlError");
    assert_eq!(
        twice.failure().details.as_ref().expect("details")["kind"],
        "unique_violation"
    );
    let many = run
        .run("sql", json!({"url": url, "statement": "select 1; drop table t"}))
        .await;
    assert_eq!(many.failure().error_type, "InvalidTask");
    let capped = run
        .run(
            "sql",
            json!({"url": url, "statement": "select * from t", "max_rows": 1}),
        )
        .await;
    assert_eq!(capped.failure().error_type, "TooManyRows");
    let large = run
        .run("sql", json!({"url": url, "statement": "select hex(zeroblob(1000000))"}))
        .await;
    assert_eq!(large.failure().error_type, "OutputTooLarge");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_statement_is_stopped_and_its_file_is_free_again() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite://{}/t.db?mode=rwc", folder.path().display());
    let setup = Run::default();
    setup
        .run("sql", json!({"url": url, "statement": "create table t (n int)"}))
        .await
        .output();
    let run = Run::default().timeout(Duration::from_millis(300));
    let endless = "insert into t with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c";
    let started = Instant::now();
    let ended = run.run("sql", json!({"url": url, "statement": endless})).await;
    assert_eq!(ended.failure().kind, FailureKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
    // The write lock is free once the statement has really stopped.
    setup
        .run("sql", json!({"url": url, "statement": "insert into t values (1)"}))
        .await
        .output();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_names_and_keep_their_passwords() {
    let mut with_store = options();
    let env = [
        ("NEXUS_CONNECTION_MEMORY".to_owned(), "sqlite::memory:".to_owned()),
        (
            "NEXUS_CONNECTION_AWAY".to_owned(),
            "postgres://me:top-secret@127.0.0.1:1/db".to_owned(),
        ),
    ];
    with_store.secrets = Arc::new(SecretStore::new(env, None));
    with_store.allow_private = false;
    let run = Run::with(with_store);
    let ended = run
        .run("sql", json!({"connection": "memory", "statement": "select 1 as one"}))
        .await;
    assert_eq!(ended.output()["rows"], json!([{"one": 1}]));
    let away = run
        .run("sql", json!({"connection": "away", "statement": "select 1"}))
        .await;
    assert_eq!(away.failure().error_type, "SqlConnect");
    assert!(!format!("{:?}", away.failure()).contains("top-secret"));
    let missing = run
        .run("sql", json!({"connection": "nowhere", "statement": "select 1"}))
        .await;
    assert!(missing.failure().message.contains("NEXUS_CONNECTION_NOWHERE") && missing.failure().non_retryable);
    for url in [
        "sqlite::memory:",
        "postgres://127.0.0.1/db",
        "postgres://localhost/db",
        "postgres:///db?host=/tmp",
    ] {
        let refused = run.run("sql", json!({"url": url, "statement": "select 1"})).await;
        assert_eq!(refused.failure().error_type, "AddressRefused", "{url}");
    }
    let odd = run
        .run("sql", json!({"url": "oracle://x", "statement": "select 1"}))
        .await;
    assert_eq!(odd.failure().error_type, "InvalidUrl");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_types_travel_both_ways() {
    let Ok(url) = std::env::var("NEXUS_TEST_POSTGRES") else {
        println!("skipped: NEXUS_TEST_POSTGRES is not set");
        return;
    };
    let run = Run::default();
    let statement = "select :i::int4 as i, :n::numeric as n, :d::date as d, :t::timestamptz as t, :u::uuid as u, :list::text[] as list, \
        :nothing::text as nothing, 1.5::float8 as f, '\\x00ff'::bytea as b, (select count(*) from jsonb_to_recordset(:rows) as r(id text)) as rows, :j::jsonb as j";
    let ended = run.run("sql", json!({"url": url, "statement": statement, "bind": {
        "i": 7, "n": "123456789012345678901234567890.10", "d": "2026-01-31", "t": "2026-01-31T12:00:00+01:00",
        "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "list": ["a", null], "nothing": null, "rows": [{"id": "x"}, {"id": "y"}], "j": {"k": [1]}}})).await;
    assert_eq!(
        ended.output()["rows"][0],
        json!({"i": 7, "n": "123456789012345678901234567890.1", "d": "2026-01-31", "t": "2026-01-31T11:00:00Z",
        "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "list": ["a", null], "nothing": null, "f": 1.5, "b": "AP8=", "rows": 2, "j": {"k": [1]}})
    );
    let broken = run
        .run("sql", json!({"url": url, "statement": "select 1 from no_such_table"}))
        .await;
    assert_eq!(broken.failure().details.as_ref().expect("details")["sqlstate"], "42P01");
    let wrong = run
        .run(
            "sql",
            json!({"url": url, "statement": "select :d::date", "bind": {"d": "soon"}}),
        )
        .await;
    assert!(
        wrong.failure().message.contains("`soon` is no date"),
        "{}",
        wrong.failure().message
    );
    let slow = Run::default().timeout(Duration::from_millis(300));
    let marker = format!("select pg_sleep(60) -- {}", std::process::id());
    assert_eq!(
        slow.run("sql", json!({"url": url, "statement": marker}))
            .await
            .failure()
            .kind,
        FailureKind::Timeout
    );
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let running = run.run("sql", json!({"url": url, "statement": "select count(*) as n from pg_stat_activity where state = 'active' and query like :q",
            "bind": {"q": format!("select pg_sleep(60) -- {}%", std::process::id())}})).await;
        if running.output()["rows"][0]["n"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "the statement still runs on the server");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

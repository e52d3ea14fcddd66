//! SQL tasks on SQLite files.

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
async fn a_statement_that_has_run_is_not_run_again_because_of_its_answer() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite://{}/t.db?mode=rwc", folder.path().display());
    let run = Run::default();
    for ddl in [
        "create table t (n int, b boolean, j text)",
        "insert into t values (1, 7, x'ff')",
    ] {
        run.run("sql", json!({"url": url, "statement": ddl})).await.output();
    }
    let insert = "insert into t (n) values (1), (2), (3) returning n";
    let cut = run
        .run("sql", json!({"url": url, "statement": insert, "max_rows": 2}))
        .await;
    let failure = cut.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("TooManyRows", true)
    );
    assert!(failure.message.contains("the statement has run"), "{}", failure.message);
    let count = run
        .run(
            "sql",
            json!({"url": url, "statement": "select count(*) as n, max(b) as b from t"}),
        )
        .await;
    assert_eq!(count.output()["rows"], json!([{"n": 4, "b": 7}]));
}

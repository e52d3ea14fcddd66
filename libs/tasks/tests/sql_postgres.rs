//! SQL tasks on a private Postgres: every type of an answer, and what is told of a statement that has run.

mod common;

use std::time::{Duration, Instant};

use common::Run;
use nexus_servers::Postgres;
use nexus_tasks::{FailureKind, Outcome};
use serde_json::{Value, json};

/// The address of a database that nobody else uses.
async fn database() -> String {
    let server = Postgres::shared().expect("a private Postgres");
    server.fresh_database().await.expect("a database")
}

async fn ask(run: &Run, url: &str, statement: &str) -> Value {
    let task = json!({"url": url, "statement": statement});
    run.run("sql", task).await.output()
}

async fn one(run: &Run, url: &str, expression: &str) -> Value {
    let output = ask(run, url, &format!("select {expression} as v")).await;
    output["rows"][0]["v"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_types_travel_both_ways() {
    let url = database().await;
    let run = Run::default();
    let statement = "select :i::int4 as i, :n::numeric as n, :d::date as d, :t::timestamptz as t, :u::uuid as u, :list::text[] as list, \
        :nothing::text as nothing, 1.5::float8 as f, '\\x00ff'::bytea as b, (select count(*) from jsonb_to_recordset(:rows) as r(id text)) as rows, :j::jsonb as j";
    let ended = run.run("sql", json!({"url": url, "statement": statement, "bind": {
        "i": 7, "n": "123456789012345678901234567890.10", "d": "2026-01-31", "t": "2026-01-31T12:00:00+01:00",
        "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "list": ["a", null], "nothing": null, "rows": [{"id": "x"}, {"id": "y"}], "j": {"k": [1]}}})).await;
    assert_eq!(
        ended.output()["rows"][0],
        json!({"i": 7, "n": "123456789012345678901234567890.10", "d": "2026-01-31", "t": "2026-01-31T11:00:00Z",
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
        wrong
            .failure()
            .message
            .contains(r#"invalid input syntax for type date: "soon""#),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_any_type_has_an_answer() {
    let (run, url) = (Run::default(), database().await);
    for ddl in [
        "create type colour as enum ('red', 'it''s')",
        "create domain positive as int check (value > 0)",
        "create type pair as (a int, b text)",
        "create type span as range (subtype = float8)",
    ] {
        ask(&run, &url, ddl).await;
    }
    for (expression, value) in [
        // What a library's types cannot hold.
        ("'infinity'::timestamptz", json!("infinity")),
        ("'-infinity'::timestamp", json!("-infinity")),
        ("'infinity'::date", json!("infinity")),
        ("'0044-03-15 BC'::date", json!("0044-03-15 BC")),
        ("'4713-01-01 BC'::timestamp", json!("4713-01-01T00:00:00 BC")),
        (
            "'294276-12-31 23:59:59.999999+00'::timestamptz",
            json!("294276-12-31T23:59:59.999999Z"),
        ),
        ("'5874897-12-31'::date", json!("5874897-12-31")),
        ("'24:00:00'::time", json!("24:00:00")),
        ("'12:00:00+05:30'::timetz", json!("12:00:00+05:30")),
        ("'NaN'::numeric", json!("NaN")),
        ("'-Infinity'::numeric", json!("-Infinity")),
        ("1.50::numeric(10,2)", json!("1.50")),
        ("1e-20::numeric", json!("0.00000000000000000001")),
        ("0.1::real", json!(0.1)),
        ("'NaN'::float8", json!("NaN")),
        (
            "interval '1 mon -2 days 03:04:05.6'",
            json!("1 mon -2 days +03:04:05.6"),
        ),
        ("'{1,null,3}'::int[]", json!([1, null, 3])),
        ("array[[1,2],[3,4]]", json!([[1, 2], [3, 4]])),
        ("'{}'::text[]", json!([])),
        ("array[interval '1 day', null]", json!(["1 day", null])),
        ("array['infinity'::timestamptz]", json!(["infinity"])),
        ("array['red'::colour]", json!(["red"])),
        ("array[row(1,'x')::pair]", json!(["(1,x)"])),
        ("int4range(1, 5)", json!("[1,5)")),
        ("span(1, null)", json!("[1,)")),
        ("'it''s'::colour", json!("it's")),
        ("3::positive", json!(3)),
        ("row(1, 'a b')::pair", json!(r#"(1,"a b")"#)),
        (
            r#"row(1, null, 'a"b', true, '', interval '1 h')"#,
            json!(r#"(1,,"a""b",t,"",01:00:00)"#),
        ),
        ("array_agg(row(1, 'x'))", json!(["(1,x)"])),
        ("'12.34'::money", json!("$12.34")),
        ("b'101'", json!("101")),
        ("'101'::varbit", json!("101")),
        ("'10.0.0.1'::inet", json!("10.0.0.1")),
        ("'10.0.0.0/8'::cidr", json!("10.0.0.0/8")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("'<a>b</a>'::xml", json!("<a>b</a>")),
        ("to_tsvector('simple', 'a b')", json!("'a':1 'b':2")),
        ("point(1, 2)", json!("(1,2)")),
        ("polygon '((0,0),(1,1))'", json!("((0,0),(1,1))")),
        ("5::oid", json!(5)),
        ("'pg_class'::regclass", json!("pg_class")),
        ("'x'::name", json!("x")),
        (r#"'x'::"char""#, json!("x")),
        ("'ab '::char(3)", json!("ab ")),
        (r"'\x00ff'::bytea", json!("AP8=")),
        (r#"'{"a": 1e400}'::json"#, json!(r#"{"a": 1e400}"#)),
        (
            "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid",
            json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ),
        ("'1/2'::pg_lsn", json!("1/2")),
        ("'1 2'::int2vector", json!("1 2")),
        ("null::interval", json!(null)),
        ("pg_sleep(0)", json!(null)),
    ] {
        assert_eq!(one(&run, &url, expression).await, value, "{expression}");
    }
    // A type that the driver cannot even name is refused before anything runs.
    let task = json!({"url": url, "statement": "select '{[1,2)}'::int4multirange as v"});
    let refused = run.run("sql", task).await;
    let failure = refused.failure();
    assert!(
        failure.non_retryable && failure.message.contains("::text"),
        "{failure:?}"
    );
    assert_eq!(one(&run, &url, "'{[1,2)}'::int4multirange::text").await, "{[1,2)}");
    // Whatever else the catalogs hold is answered too, or refused before it runs.
    for table in [
        "pg_type",
        "pg_statistic",
        "pg_rewrite",
        "pg_index",
        "pg_stats",
        "pg_proc",
        "pg_class",
    ] {
        let task = json!({"url": url, "statement": format!("select * from {table} limit 3")});
        if let Outcome::Failed(failure) = &run.run("sql", task).await.outcome {
            assert!(
                failure.message.contains("nothing has run"),
                "{table}: {}",
                failure.message
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_any_type_can_be_bound() {
    let (run, url) = (Run::default(), database().await);
    for ddl in [
        "create domain positive as int check (value > 0)",
        "create type colour as enum ('red', 'blue')",
        "create table t (p positive, i interval, c colour, r int4range, n numeric, a int[], cs colour[], d date, ip inet, b bit(3), t timestamp)",
    ] {
        ask(&run, &url, ddl).await;
    }
    let insert = "insert into t values (:p, :i, :c, :r, :n, :a, :cs, :d, :ip, :b, :t) returning *";
    let row = json!({"p": 3, "i": "1 day", "c": "red", "r": "[1,2)", "n": "NaN", "a": [[1, null]], "cs": ["blue", null],
        "d": "infinity", "ip": "10.0.0.1", "b": "101", "t": "2026-01-31T11:00:00"});
    let mut bind = row.clone();
    bind["t"] = json!("2026-01-31T12:00:00+01:00");
    let done = run
        .run("sql", json!({"url": url, "statement": insert, "bind": bind}))
        .await;
    assert_eq!(done.output()["rows"], json!([row]));
    let task = json!({"url": url, "statement": "insert into t (p) values (:p)", "bind": {"p": -3}});
    let wrong = run.run("sql", task).await;
    assert!(
        wrong.failure().message.contains("violates check constraint"),
        "{:?}",
        wrong.failure()
    );
    assert_eq!(one(&run, &url, "(select count(*) from t)").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_has_run_is_not_run_again_because_of_its_answer() {
    let (run, url) = (Run::default(), database().await);
    let failed = async |task: Value| run.run("sql", task).await.failure().clone();
    ask(&run, &url, "create table t (id serial, took interval, acl aclitem)").await;
    // Refused before it runs.
    let failure = failed(json!({"url": url, "statement": "insert into t default values returning acl"})).await;
    assert!(
        failure.non_retryable && failure.message.contains("acl::text"),
        "{failure:?}"
    );
    assert_eq!(one(&run, &url, "(select count(*) from t)").await, 0);
    // It has run, and says so; each of its rows is there.
    let many = "insert into t (took) select interval '1 hour' from generate_series(1, 20) returning id, took";
    let failure = failed(json!({"url": url, "statement": many, "max_rows": 3})).await;
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("TooManyRows", true)
    );
    assert!(failure.message.contains("the statement has run"), "{}", failure.message);
    assert_eq!(one(&run, &url, "(select count(*) from t)").await, 20);
    let large = "insert into t default values returning repeat('x', 3000000) as v";
    let failure = failed(json!({"url": url, "statement": large})).await;
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("OutputTooLarge", true)
    );
    assert!(failure.message.contains("the statement has run"), "{}", failure.message);
    assert_eq!(one(&run, &url, "(select count(*) from t)").await, 21);
    // What only reads does not claim to have done anything.
    let failure = failed(json!({"url": url, "statement": "select id, took from t", "max_rows": 3})).await;
    assert!(
        failure.non_retryable && !failure.message.contains("has run"),
        "{failure:?}"
    );
    assert_eq!(
        ask(&run, &url, "insert into t (took) values ('1 h'), (null) returning took").await,
        json!({"rows": [{"took": "01:00:00"}, {"took": null}], "row_count": 2, "columns": ["took"]})
    );
    assert_eq!(ask(&run, &url, "update t set took = null").await["row_count"], 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_while_a_statement_runs_says_whether_it_may_have_run() {
    let (run, url) = (Run::default(), database().await);
    ask(&run, &url, "create table t (id int)").await;
    for (statement, last) in [
        ("insert into t select 1 from pg_sleep(30)", true),
        ("select pg_sleep(30)", false),
    ] {
        let kill = async {
            let until = Instant::now() + Duration::from_secs(20);
            let other = Run::default();
            let end = format!(
                "select count(pg_terminate_backend(pid)) as n from pg_stat_activity where query = '{statement}'"
            );
            while ask(&other, &url, &end).await["rows"][0]["n"] == 0 {
                assert!(Instant::now() < until, "the statement does not begin");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (ended, ()) = tokio::join!(run.run("sql", json!({"url": url, "statement": statement})), kill);
        let failure = ended.failure();
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            ("SqlConnect", last),
            "{failure:?}"
        );
        assert_eq!(failure.message.contains("it may have taken effect"), last);
    }
    let task = json!({"url": url, "statement": "insert into t values (1 / 0)"});
    let refused = run.run("sql", task).await;
    assert!(!refused.failure().non_retryable, "the server has rolled it back");
}

//! SQL tasks on a private MariaDB: text of any collation, dates that are none, RETURNING and procedures.

mod common;

use common::Run;
use nexus_servers::MariaDb;
use serde_json::{Value, json};

fn url() -> String {
    MariaDb::shared().expect("a private MariaDB").url()
}

async fn ask(run: &Run, statement: &str) -> Value {
    run.run("sql", json!({"url": url(), "statement": statement}))
        .await
        .output()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_any_type_has_an_answer() {
    let run = Run::default();
    ask(&run, "create table probe (id int)").await;
    for (number, (kind, written, value)) in [
        ("varchar(20) collate utf8mb4_bin", "'plain'", json!("plain")),
        (
            "varchar(20) character set latin1 collate latin1_bin",
            "'café'",
            json!("café"),
        ),
        ("char(5) collate utf8mb4_bin", "'x'", json!("x")),
        ("longtext character set utf8mb3", "'é'", json!("é")),
        ("text collate utf8mb4_bin", "''", json!("")),
        ("json", r#"'{"a": [1]}'"#, json!(r#"{"a": [1]}"#)),
        (
            "uuid",
            "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
            json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ),
        ("inet6", "'::1'", json!("::1")),
        ("enum('a', 'b') collate utf8mb4_bin", "'b'", json!("b")),
        ("set('a', 'b')", "'a,b'", json!("a,b")),
        ("varbinary(3)", "x'00ff'", json!("AP8=")),
        ("blob", "x'00ff'", json!("AP8=")),
        ("binary(2)", "x'0001'", json!("AAE=")),
        ("decimal(10,2)", "1.50", json!("1.50")),
        ("bit(1)", "b'1'", json!(1)),
        ("bit(64)", "~0", json!(u64::MAX)),
        ("year", "2026", json!(2026)),
        ("tinyint(1)", "1", json!(true)),
        ("tinyint(1)", "5", json!(5)),
        ("tinyint", "-5", json!(-5)),
        ("mediumint", "-8388608", json!(-8388608)),
        ("int unsigned", "4294967295", json!(4294967295_u32)),
        ("bigint", "-9223372036854775808", json!(i64::MIN)),
        ("bigint unsigned", "18446744073709551615", json!(u64::MAX)),
        ("float", "0.1", json!(0.1)),
        ("double", "1.5", json!(1.5)),
        ("date", "'2026-01-31'", json!("2026-01-31")),
        (
            "datetime(6)",
            "'9999-12-31 23:59:59.999999'",
            json!("9999-12-31T23:59:59.999999"),
        ),
        ("timestamp", "'2026-01-31 12:00:00'", json!("2026-01-31T12:00:00Z")),
        ("time", "'-838:59:59'", json!("-838:59:59")),
        ("point", "point(1, 2)", json!("AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==")),
        ("datetime", "null", json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("t_{number}");
        ask(&run, &format!("create table {table} (v {kind})")).await;
        let inserted = ask(&run, &format!("insert into {table} values ({written})")).await;
        assert_eq!(inserted, json!({"rows": [], "row_count": 1, "columns": []}), "{kind}");
        let read = ask(&run, &format!("select v from {table}")).await;
        assert_eq!(read["rows"], json!([{"v": value}]), "{kind} {written}");
    }
    // Dates that are none come out of expressions in every mode of the server.
    for (expression, value) in [
        ("cast(0 as date)", json!("0000-00-00")),
        ("cast(0 as datetime)", json!("0000-00-00T00:00:00")),
        ("cast('2026-00-00' as date)", json!("2026-00-00")),
    ] {
        let ended = ask(&run, &format!("select {expression} as v from (select 1) as one")).await;
        let read = ended["rows"][0]["v"].clone();
        assert!(read == value || read.is_null(), "{expression}: {read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_and_procedures_give_rows() {
    let run = Run::default();
    ask(&run, "create table ret (id int auto_increment primary key, v text)").await;
    assert_eq!(
        ask(&run, "insert into ret (v) values ('x') returning id, v").await,
        json!({"rows": [{"id": 1, "v": "x"}], "row_count": 1, "columns": ["id", "v"]})
    );
    assert_eq!(
        ask(&run, "insert into ret (v) values ('y'), ('z')").await["row_count"],
        2
    );
    assert_eq!(
        ask(&run, "delete from ret where id > 1 returning id").await["row_count"],
        2
    );
    ask(&run, "create procedure one() select 1 as a").await;
    assert_eq!(
        ask(&run, "call one()").await,
        json!({"rows": [{"a": 1}], "row_count": 1, "columns": ["a"]})
    );
    // One statement to the server, though its body has several.
    let mut server = sqlx::mysql::MySqlConnectOptions::new();
    server = std::str::FromStr::from_str(&url()).unwrap_or(server);
    let mut connection = sqlx::ConnectOptions::connect(&server).await.expect("connect");
    let many = "create procedure many() begin select 1 as a, 2 as b; select 'x' as c union select 'y'; update ret set v = 'w'; end";
    sqlx::raw_sql(many).execute(&mut connection).await.expect("create");
    assert_eq!(
        ask(&run, "call many()").await,
        json!({"rows": [{"c": "x"}, {"c": "y"}], "row_count": 2, "columns": ["c"]})
    );
    assert_eq!(
        ask(&run, "select v from ret where id < 0").await,
        json!({"rows": [], "row_count": 0, "columns": ["v"]})
    );
    let insert = "insert into ret (v) values (:v) returning v";
    let bound = json!({"url": url(), "statement": insert, "bind": {"v": "é"}});
    assert_eq!(run.run("sql", bound).await.output()["rows"], json!([{"v": "é"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_has_run_is_not_run_again_because_of_its_answer() {
    let run = Run::default();
    ask(&run, "create table kept (id int auto_increment primary key, v int)").await;
    let many = "insert into kept (v) values (1), (2), (3), (4) returning id";
    let cut = run
        .run("sql", json!({"url": url(), "statement": many, "max_rows": 2}))
        .await;
    let failure = cut.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("TooManyRows", true)
    );
    assert!(failure.message.contains("the statement has run"), "{}", failure.message);
    assert_eq!(ask(&run, "select count(*) as n from kept").await["rows"][0]["n"], 4);
    let task = json!({"url": url(), "statement": "insert into kept values (1, 1)"});
    let twice = run.run("sql", task).await;
    assert_eq!(
        twice.failure().details.as_ref().expect("details")["kind"],
        "unique_violation"
    );
    assert!(!twice.failure().non_retryable);
}

//! A sound run, made by hand, and ways to falsify it.

use std::path::Path;

use nexus_verify::{Findings, Inputs, Invariant, Source, verify};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tempfile::TempDir;

const SCHEMA: &str = include_str!("../../../../services/execution/sql/migrations/sqlite/0001_executions.sql");
const DEFINITIONS: &str = include_str!("../../../../services/definitions/migrations/sqlite/0001_workflows.sql");

/// `a` is tried twice, `b` needs it and is at_most_once, `c` needs `b` and is at_least_once.
const DOCUMENT: &str = r#"{"name":"w","tasks":{
    "a":{"retry":{"max_attempts":2},"bash":{"run":"x","env":{"W":"{{ params.witness }}"}}},
    "b":{"needs":["a"],"delivery":"at_most_once","bash":{"run":"x","env":{"W":"{{ params.witness }}"}}},
    "c":{"needs":["b"],"bash":{"run":"x","env":{"W":"{{ params.witness }}"}}}}}"#;

/// The execution's id and its shard, 5.
const HEX: &str = "01900000000070008000000000000005";
const ID: &str = "01900000-0000-7000-8000-000000000005";

/// (sequence, kind, task, attempt, state, data); `at` is 1,000 times the sequence in milliseconds.
const HISTORY: &[(i64, i64, i64, i64, i64, &str)] = &[
    (1, 1, -1, 0, 0, ""),
    (2, 5, 0, 1, 0, ""),
    (3, 2, -1, 0, 0, ""),
    (4, 6, 0, 1, 0, r#"{"worker":"w1"}"#),
    (
        5,
        7,
        0,
        1,
        0,
        r#"{"failure":{"kind":"user","type":"E","message":"m"},"next_at":5500000}"#,
    ),
    (6, 5, 0, 2, 0, ""),
    (7, 6, 0, 2, 0, r#"{"worker":"w1"}"#),
    (8, 9, 0, 2, 8, ""),
    (9, 5, 1, 1, 0, ""),
    (10, 6, 1, 1, 0, r#"{"worker":"w1"}"#),
    (11, 9, 1, 1, 8, ""),
    (12, 5, 2, 1, 0, ""),
    (13, 6, 2, 1, 0, r#"{"worker":"w1"}"#),
    (
        14,
        8,
        2,
        1,
        0,
        r#"{"failure":{"kind":"infrastructure","type":"WorkerLost","message":"m"}}"#,
    ),
    (15, 6, 2, 2, 0, r#"{"worker":"w2"}"#),
    (16, 9, 2, 2, 8, ""),
    (17, 4, -1, 0, 5, ""),
];

/// (when in ms, line).
pub(crate) const WITNESS: &[(i64, &str)] = &[
    (0, r#""kind":"mark","mark":"life","life":"l1""#),
    (1, r#""kind":"mark","mark":"ready","life":"l1""#),
    (
        4_100,
        r#""kind":"begin","execution":"E","task":"a","attempt":1,"life":"l1","pid":1"#,
    ),
    (
        4_200,
        r#""kind":"end","execution":"E","task":"a","attempt":1,"life":"l1","pid":1,"ok":false"#,
    ),
    (
        7_100,
        r#""kind":"begin","execution":"E","task":"a","attempt":2,"life":"l1","pid":2"#,
    ),
    (
        7_200,
        r#""kind":"end","execution":"E","task":"a","attempt":2,"life":"l1","pid":2,"ok":true,"nonce":"na""#,
    ),
    (
        10_100,
        r#""kind":"begin","execution":"E","task":"b","attempt":1,"life":"l1","pid":3"#,
    ),
    (
        10_200,
        r#""kind":"end","execution":"E","task":"b","attempt":1,"life":"l1","pid":3,"ok":true,"nonce":"nb""#,
    ),
    (
        13_100,
        r#""kind":"begin","execution":"E","task":"c","attempt":1,"life":"l1","pid":4"#,
    ),
    (13_200, r#""kind":"mark","mark":"killed","life":"l1""#),
    (13_300, r#""kind":"mark","mark":"life","life":"l2""#),
    (13_400, r#""kind":"mark","mark":"ready","life":"l2""#),
    (
        15_100,
        r#""kind":"begin","execution":"E","task":"c","attempt":2,"life":"l2","pid":5"#,
    ),
    (
        15_200,
        r#""kind":"end","execution":"E","task":"c","attempt":2,"life":"l2","pid":5,"ok":true,"nonce":"nc""#,
    ),
];

const LEDGER: &[&str] = &[
    r#"{"op":1,"type":"invoke","f":"start","at_ns":1,"request_id":"k1"}"#,
    r#"{"op":1,"type":"info","f":"start","at_ns":2,"request_id":"k1","value":"Unavailable"}"#,
    r#"{"op":2,"type":"invoke","f":"start","at_ns":3,"request_id":"k1"}"#,
    r#"{"op":2,"type":"ok","f":"start","at_ns":4,"request_id":"k1","execution":"E"}"#,
    r#"{"op":3,"type":"invoke","f":"report","at_ns":5,"execution":"E","task":"b","attempt":1}"#,
    r#"{"op":3,"type":"ok","f":"report","at_ns":6,"execution":"E","task":"b","attempt":1,"value":"accepted"}"#,
];

/// A run on the disk that can be falsified.
pub(crate) struct Run {
    folder: TempDir,
    pub(crate) witness: Vec<(i64, String)>,
    pub(crate) ledger: Vec<String>,
}

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Nothing here has to survive anything.
        .synchronous(sqlx::sqlite::SqliteSynchronous::Off);
    options.connect().await.expect("open")
}

impl Run {
    pub(crate) async fn sound() -> Self {
        let run = Self {
            folder: tempfile::tempdir().expect("folder"),
            witness: WITNESS.iter().map(|(at, line)| (*at, (*line).to_owned())).collect(),
            ledger: LEDGER.iter().map(|line| (*line).to_owned()).collect(),
        };
        run.sql(SCHEMA).await;
        run.sql(
            "INSERT INTO shards WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 63)
             SELECT i, x'01', 2 FROM n",
        )
        .await;
        for (sequence, kind, task, attempt, state, data) in HISTORY {
            run.sql(&format!(
                "INSERT INTO history VALUES (x'{HEX}', {sequence}, {sequence}000000, {kind}, {task}, {attempt}, {state}, '{data}')"
            ))
            .await;
        }
        run.sql(&format!(
            "INSERT INTO executions VALUES (x'{HEX}', 5, 'w', 1, 5, 0, '', '{{}}', '', 17, 1000000, 3000000, 17000000, NULL);
             INSERT INTO params VALUES (x'{HEX}', '{{}}');
             INSERT INTO requests VALUES ('k1', 'f', x'{HEX}', 1);
             INSERT INTO tasks VALUES (x'{HEX}', 0, 8, 2, 0, 0, 2000000, 6000000, 4000000, 7000000, 8000000, NULL, 'w1', NULL);
             INSERT INTO tasks VALUES (x'{HEX}', 1, 8, 1, 0, 0, 9000000, 9000000, 10000000, 10000000, 11000000, NULL, 'w1', NULL);
             INSERT INTO tasks VALUES (x'{HEX}', 2, 8, 2, 1, 0, 12000000, 14000000, 13000000, 15000000, 16000000, NULL, 'w2', NULL);
             INSERT INTO outputs VALUES (x'{HEX}', 0, '{{\"nonce\":\"na\"}}'), (x'{HEX}', 1, '{{\"nonce\":\"nb\"}}'),
                                        (x'{HEX}', 2, '{{\"nonce\":\"nc\"}}');"
        ))
        .await;
        let mut definitions = open(&run.folder.path().join("definitions.db")).await;
        sqlx::raw_sql(DEFINITIONS)
            .execute(&mut definitions)
            .await
            .expect("schema");
        sqlx::query("INSERT INTO revisions VALUES ('w', 1, 'd', '', ?1, '', 1)")
            .bind(DOCUMENT)
            .execute(&mut definitions)
            .await
            .expect("revision");
        run
    }

    pub(crate) async fn sql(&self, sql: &str) {
        let mut connection = open(&self.folder.path().join("execution.db")).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .expect("sql");
    }

    /// Replaces a line of the witness that contains a text.
    pub(crate) fn witness_line(&mut self, containing: &str, change: impl FnOnce(&mut (i64, String))) {
        let line = self.witness.iter_mut().find(|(_, line)| line.contains(containing));
        change(line.expect("the line is there"));
    }

    pub(crate) fn without_witness_line(&mut self, containing: &str) {
        let before = self.witness.len();
        self.witness.retain(|(_, line)| !line.contains(containing));
        assert_eq!(self.witness.len() + 1, before);
    }

    pub(crate) async fn judge(&self) -> Findings {
        let path = |name: &str| self.folder.path().join(name);
        let lines = self.witness.iter().zip(1..).map(|((at, line), seq)| {
            format!(
                "{{\"seq\":{seq},\"at_ns\":{},\"mono_ns\":{seq},{line}}}\n",
                at * 1_000_000
            )
            .replace("\"E\"", &format!("\"{ID}\""))
        });
        std::fs::write(path("witness"), lines.collect::<String>()).expect("witness");
        let lines = self
            .ledger
            .iter()
            .map(|line| line.replace("\"E\"", &format!("\"{ID}\"")) + "\n");
        std::fs::write(path("ledger"), lines.collect::<String>()).expect("ledger");
        let inputs = Inputs {
            source: Source::Directory(self.folder.path().to_owned()),
            shards: None,
            witness: Some(path("witness")),
            ledger: Some(path("ledger")),
            quiet_since: Some(1_000_000),
            lazy_ms: None,
            wrong_clocks: false,
        };
        verify(&inputs).await.expect("verify")
    }

    /// Fails unless the planted breach is found under this invariant, with a text that says what it is.
    pub(crate) async fn finds(&self, invariant: Invariant, text: &str) {
        let findings = self.judge().await;
        let found = findings
            .breaches()
            .iter()
            .any(|breach| breach.invariant == invariant && breach.problem.contains(text));
        assert!(
            found,
            "{} {text:?} was not found in:\n{}",
            invariant.name(),
            findings.report()
        );
        assert!(findings.report().contains("BREACH"));
        assert!(findings.summary()["breaches"].as_u64() > Some(0));
    }
}

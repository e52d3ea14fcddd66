//! Does the checker see what it is for? A sound run, made by hand, passes; each breach that is planted into it is found
//! under its own invariant. A checker that cannot fail proves nothing.

use std::path::Path;

use nexus_verify::{Findings, Inputs, Invariant, verify};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use tempfile::TempDir;

const SCHEMA: &str = include_str!("../../../services/execution/migrations/sqlite/0001_executions.sql");
const DEFINITIONS: &str = include_str!("../../../services/definitions/migrations/sqlite/0001_workflows.sql");

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
const WITNESS: &[(i64, &str)] = &[
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
struct Run {
    folder: TempDir,
    witness: Vec<(i64, String)>,
    ledger: Vec<String>,
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
    async fn sound() -> Self {
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

    async fn sql(&self, sql: &str) {
        let mut connection = open(&self.folder.path().join("execution.db")).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .expect("sql");
    }

    /// Replaces a line of the witness that contains a text.
    fn witness_line(&mut self, containing: &str, change: impl FnOnce(&mut (i64, String))) {
        let line = self.witness.iter_mut().find(|(_, line)| line.contains(containing));
        change(line.expect("the line is there"));
    }

    fn without_witness_line(&mut self, containing: &str) {
        let before = self.witness.len();
        self.witness.retain(|(_, line)| !line.contains(containing));
        assert_eq!(self.witness.len() + 1, before);
    }

    async fn judge(&self) -> Findings {
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
            data: self.folder.path().to_owned(),
            witness: Some(path("witness")),
            ledger: Some(path("ledger")),
            quiet_since: Some(1_000_000),
            lazy_ms: None,
        };
        verify(&inputs).await.expect("verify")
    }

    /// Fails unless the planted breach is found under this invariant, with a text that says what it is.
    async fn finds(&self, invariant: Invariant, text: &str) {
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

#[tokio::test]
async fn a_sound_run_passes_and_every_invariant_is_looked_at() {
    let findings = Run::sound().await.judge().await;
    assert!(findings.breaches().is_empty(), "{}", findings.report());
    use Invariant as I;
    for invariant in [
        I::Integrity,
        I::DurableStart,
        I::Liveness,
        I::UniqueGrant,
        I::NoGhosts,
        I::Overlap,
        I::Order,
        I::Terminal,
        I::Truth,
        I::SingleWriter,
        I::Replay,
        I::NothingLeft,
    ] {
        assert!(findings.checked(invariant) > 0, "{invariant:?} was not looked at");
    }
    assert_eq!((findings.counter("keys_ok"), findings.counter("starts_info")), (1, 1));
}

/// SQL that falsifies the database, and what has to be found.
#[tokio::test]
async fn breaches_in_the_database_are_found() {
    use Invariant as I;
    let wrong: &[(&str, I, &str)] = &[
        // I1
        ("DELETE FROM requests", I::DurableStart, "the store has None"),
        ("DELETE FROM executions", I::DurableStart, "was acknowledged"),
        (
            "INSERT INTO requests VALUES ('k2', 'f', (SELECT id FROM executions), 1)",
            I::DurableStart,
            "2 keys name",
        ),
        ("UPDATE requests SET key = 'k9'", I::DurableStart, "no client asked"),
        (
            "UPDATE requests SET execution = x'00'",
            I::DurableStart,
            "does not exist",
        ),
        // I2
        (
            "UPDATE executions SET state = 2, finished_at = NULL",
            I::Liveness,
            "quiet",
        ),
        // I3
        (
            "UPDATE history SET attempt = 1 WHERE sequence = 15",
            I::UniqueGrant,
            "given out 2 times",
        ),
        // I4
        (
            "DELETE FROM history WHERE sequence = 10",
            I::NoGhosts,
            "no TASK_STARTED",
        ),
        (
            "UPDATE history SET kind = 6 WHERE sequence = 14",
            I::NoGhosts,
            "spent 3 attempts of 1",
        ),
        ("UPDATE executions SET revision = 2", I::NoGhosts, "does not exist"),
        // I6
        (
            "UPDATE history SET task = 1 WHERE sequence = 2; UPDATE history SET task = 0 WHERE sequence = 9",
            I::Order,
            "b became ready",
        ),
        // I7
        (
            "INSERT INTO history SELECT execution, 18, 18000000, 5, 2, 3, 0, '' FROM history WHERE sequence = 1",
            I::Terminal,
            "goes on after the end",
        ),
        (
            "UPDATE executions SET finished_at = 15000000",
            I::Terminal,
            "after the execution had ended",
        ),
        // I8
        ("DELETE FROM outputs WHERE position = 1", I::Truth, "an output: false"),
        (
            "UPDATE outputs SET value = '{}' WHERE position = 1",
            I::Truth,
            "told the witness of no such end",
        ),
        (
            "UPDATE history SET attempt = 1 WHERE sequence = 8",
            I::Truth,
            "attempt 1 is stored as a success",
        ),
        (
            "INSERT INTO outputs VALUES ((SELECT id FROM executions), 7, '1')",
            I::Truth,
            "an output stands at 7",
        ),
        (
            "UPDATE history SET kind = 5 WHERE sequence = 11",
            I::Truth,
            "is in no event",
        ),
        // I9
        ("DELETE FROM history WHERE sequence = 9", I::SingleWriter, "gaps"),
        (
            "UPDATE executions SET sequence = 16",
            I::SingleWriter,
            "the row is at event 16",
        ),
        ("UPDATE executions SET shard = 6", I::SingleWriter, "shard 6"),
        (
            "UPDATE shards SET owner = x'02' WHERE id = 3",
            I::SingleWriter,
            "several owners",
        ),
        ("UPDATE shards SET epoch = 1", I::SingleWriter, "the epoch is 1"),
        ("DELETE FROM shards WHERE id = 63", I::SingleWriter, "no owner"),
        // I10
        ("UPDATE tasks SET state = 12 WHERE position = 0", I::Replay, "task 0 is"),
        (
            "UPDATE tasks SET returned = 0 WHERE position = 2",
            I::Replay,
            "task 2 is",
        ),
        (
            "UPDATE tasks SET infra_losses = 1 WHERE position = 2",
            I::Replay,
            "task 2 is",
        ),
        ("UPDATE tasks SET leases = 3 WHERE position = 0", I::Replay, "task 0 is"),
        (
            "UPDATE tasks SET ready_at = 1 WHERE position = 0",
            I::Replay,
            "task 0 is",
        ),
        (
            "UPDATE tasks SET worker = 'w9' WHERE position = 0",
            I::Replay,
            "task 0 is",
        ),
        ("UPDATE executions SET state = 6", I::Replay, "state is 6"),
        ("UPDATE executions SET started_at = 1", I::Replay, "started_at is 1"),
        (
            "DELETE FROM tasks WHERE position = 0",
            I::Replay,
            "a history and no row",
        ),
        (
            "UPDATE history SET state = 10 WHERE sequence = 8",
            I::Replay,
            "cannot follow",
        ),
        (
            "UPDATE history SET attempt = 3 WHERE sequence = 6",
            I::Replay,
            "cannot follow",
        ),
        // I12
        ("DELETE FROM params", I::NothingLeft, "params are missing"),
        (
            "INSERT INTO params VALUES (x'00', '')",
            I::NothingLeft,
            "without an execution",
        ),
        (
            "UPDATE tasks SET state = 3 WHERE position = 2",
            I::NothingLeft,
            "2 of its 3 tasks",
        ),
    ];
    for (sql, invariant, text) in wrong {
        let run = Run::sound().await;
        run.sql(sql).await;
        run.finds(*invariant, text).await;
    }
}

#[tokio::test]
async fn six_losses_are_one_too_many() {
    let run = Run::sound().await;
    run.sql("UPDATE history SET data = '{\"counted\":true}' WHERE sequence = 14")
        .await;
    for n in 0..10 {
        let kind = if n % 2 == 0 { 6 } else { 8 };
        run.sql(&format!(
            "INSERT INTO history SELECT execution, {}, 1, {kind}, 2, {}, 0, '{{\"counted\":true}}' FROM history WHERE sequence = 1",
            100 + n,
            3 + n / 2
        ))
        .await;
    }
    run.finds(Invariant::NoGhosts, "was lost 6 times").await;
}

#[tokio::test]
async fn breaches_that_only_the_witness_can_tell_are_found() {
    use Invariant as I;
    // A task that nobody asked for.
    let mut run = Run::sound().await;
    run.witness_line("\"attempt\":2,\"life\":\"l2\"", |line| {
        line.1 = line.1.replace("\"E\"", "\"F\"")
    });
    run.finds(I::NoGhosts, "knows no such execution").await;
    // The same attempt twice in one life.
    let mut run = Run::sound().await;
    run.witness_line("\"pid\":4", |line| {
        line.1 = line.1.replace("\"c\",\"attempt\":1", "\"b\",\"attempt\":1")
    });
    run.finds(I::UniqueGrant, "b attempt 1 began 2 times").await;
    run.finds(I::Overlap, "at_most_once and began 2 times").await;
    // An overlap whose first process lived on, with nothing in the history.
    let mut run = Run::sound().await;
    run.without_witness_line("killed");
    run.sql("UPDATE history SET at = 99000000 WHERE sequence = 14").await;
    run.finds(I::Overlap, "without a cause").await;
    // A task that began before the one that it needs had ended.
    let mut run = Run::sound().await;
    run.witness.swap(5, 6);
    run.finds(I::Order, "b attempt 1 began before a had ended well").await;
    // A success whose task never said so, and one that told of another output.
    let mut run = Run::sound().await;
    run.without_witness_line("\"nonce\":\"nb\"");
    run.finds(I::Truth, "b attempt 1 is stored as a success").await;
    let mut run = Run::sound().await;
    run.witness_line("\"nonce\":\"nc\"", |line| line.1 = line.1.replace("nc", "other"));
    run.finds(I::Truth, "c attempt 2 is stored as a success").await;
    // A task that ran after the end of its execution.
    let mut run = Run::sound().await;
    run.witness_line("\"pid\":5", |line| line.0 = 17_500);
    run.finds(I::Terminal, "after the execution had ended").await;
    // A task that was skipped, and ran.
    let run = Run::sound().await;
    run.sql("UPDATE tasks SET state = 10 WHERE position = 2").await;
    run.finds(I::Terminal, "not to run").await;
    // A witness that lost a line.
    let mut run = Run::sound().await;
    run.without_witness_line("\"pid\":3,\"ok\"");
    run.witness.push((16_000, WITNESS[5].1.to_owned()));
    run.finds(I::NoGhosts, "an end without a begin").await;
}

#[tokio::test]
async fn a_lease_that_was_not_stored_is_excused_only_close_to_the_death_of_its_process() {
    let forget = "DELETE FROM history WHERE sequence IN (13, 14);
                  UPDATE history SET sequence = sequence - 2, attempt = attempt - (task = 2) WHERE sequence > 14;
                  UPDATE executions SET sequence = 15; UPDATE tasks SET leases = 1, returned = 0, ready_at = 12000000,
                      started_at = 15000000 WHERE position = 2";
    let mut run = Run::sound().await;
    run.sql(forget).await;
    for line in ["\"pid\":5", "\"nonce\":\"nc\""] {
        run.witness_line(line, |line| line.1 = line.1.replace("\"attempt\":2", "\"attempt\":1"));
    }
    // Attempt 1 began twice: in the life that was killed 100 ms later, and in the next one.
    let findings = run.judge().await;
    assert!(findings.breaches().is_empty(), "{}", findings.report());
    // The history has a TASK_STARTED of attempt 1, so look at one that it has not: kill long after, or never.
    run.witness_line("\"pid\":4", |line| {
        line.1 = line.1.replace("\"attempt\":1", "\"attempt\":7")
    });
    let findings = run.judge().await;
    assert!(findings.breaches().is_empty(), "{}", findings.report());
    assert_eq!(findings.counter("begins_before_their_lease_was_stored"), 1);
    run.witness_line("\"mark\":\"killed\"", |line| line.0 += 2_000);
    run.finds(Invariant::NoGhosts, "died 2100 ms later").await;
    run.without_witness_line("\"mark\":\"killed\"");
    run.finds(Invariant::NoGhosts, "died never later").await;
}

#[tokio::test]
async fn breaches_of_what_callers_were_told_are_found() {
    use Invariant as I;
    let line = |op: u32, stage: &str, more: &str| format!("{{\"op\":{op},\"type\":\"{stage}\",\"at_ns\":9,{more}}}");
    // Another execution under the same key.
    let mut run = Run::sound().await;
    run.ledger[3] = run.ledger[3].replace("\"E\"", "\"F\"");
    run.finds(I::DurableStart, "was acknowledged").await;
    let mut run = Run::sound().await;
    let second = "\"f\":\"start\",\"request_id\":\"k1\"";
    run.ledger.push(line(9, "invoke", second));
    run.ledger.push(line(9, "ok", &format!("{second},\"execution\":\"F\"")));
    run.finds(I::DurableStart, "several executions").await;
    // A start that was refused and done.
    let mut run = Run::sound().await;
    run.ledger[1] = run.ledger[1].replace("info", "fail");
    run.ledger[3] = run.ledger[3].replace("\"ok\"", "\"fail\"");
    run.finds(I::DurableStart, "refused, and exists").await;
    // A cancel that was acknowledged before the end and not done.
    let mut run = Run::sound().await;
    let cancel = "\"f\":\"cancel\",\"execution\":\"E\"";
    run.ledger.push(line(9, "invoke", cancel));
    run.ledger.push(line(9, "ok", cancel));
    run.finds(I::DurableStart, "neither was cancelled").await;
    // A report that was accepted for an attempt that is not closed.
    let mut run = Run::sound().await;
    run.ledger[5] = run.ledger[5].replace("\"attempt\":1", "\"attempt\":4");
    run.finds(I::Truth, "is in no event").await;
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let run = Run::sound().await;
    // An index that does not agree with its table.
    run.sql(
        "PRAGMA writable_schema = on;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX executions_by_workflow ON executions (id, workflow)'
         WHERE name = 'executions_by_workflow'",
    )
    .await;
    run.finds(Invariant::Integrity, "execution.db").await;
}

//! What the databases alone can show.

use nexus_verify::Invariant;

use crate::run::Run;

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

//! What only the witness and the callers can tell.

use nexus_verify::Invariant;

use crate::run::{Run, WITNESS};

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

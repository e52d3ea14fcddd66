//! `kill -9` at random moments under a steady load, also in the middle of a recovery.

use std::time::Duration;

use nexus_faults::{Arena, CHAIN, Chance, DATA, FAN, Mix, ONCE, RETRY, STOPPED, Tally};

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, STOPPED, DATA];
/// Clients that keep the load up.
const CLIENTS: u64 = 6;

/// The work of a process that died goes on after this at the latest.
const BOUND: Duration = Duration::from_secs(15);

/// How many kills: `NEXUS_FAULT_KILLS`, or the short set's.
fn kills() -> u64 {
    std::env::var("NEXUS_FAULT_KILLS").map_or(10, |text| text.parse().expect("NEXUS_FAULT_KILLS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_under_load_break_no_promise() {
    let test = "random_kills_under_load_break_no_promise";
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(CLIENTS, MIX, chance.below(u64::MAX));
    for _ in 0..kills() {
        tokio::time::sleep(Duration::from_millis(200 + chance.below(1_000))).await;
        arena.kill(&mut nexus);
        tally.fault("kill_under_load");
        // Every third time the successor dies too, before it serves or just after.
        while chance.below(3) == 0 {
            let mut victim = arena.spawn("");
            tokio::time::sleep(Duration::from_millis(chance.below(60))).await;
            let fault = if victim.said().contains("ready in") {
                "kill_just_after_recovery"
            } else {
                "kill_during_recovery"
            };
            let died = arena.died_ns;
            arena.kill(&mut victim);
            // Recovery is measured from the first of the deaths.
            arena.died_ns = died;
            tally.fault(fault);
        }
        let died = arena.died_ns;
        nexus = arena.start();
        tally
            .to_ready
            .add(Duration::from_nanos((nexus_faults::now_ns() - died).unsigned_abs()));
        tally.to_first_task.add(arena.first_task_after_death(&nexus.life).await);
    }
    load.settle(clients).await;
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert!(tally.hits() >= kills(), "a run counts only if the faults really hit");
    assert_eq!(
        findings.counter("keys"),
        findings.counter("keys_ok"),
        "every key was answered in the end"
    );
    assert_eq!(
        findings.counter("lives_killed"),
        tally.hits(),
        "the witness knows of every death"
    );
    assert!(
        findings.counter("runs_repeated") > 0 && findings.counter("returned") > 0,
        "no attempt was interrupted: the kills hit nothing"
    );
    assert!(findings.counter("executions") >= kills() && load.ended() == findings.counter("executions"));
    let slowest = tally.to_first_task.max();
    assert!(slowest < BOUND, "work went on only after {slowest:?}");
    arena.require_no_breach(&findings);
}

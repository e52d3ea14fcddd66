//! Stops by SIGTERM under load: what runs may finish, and nothing is lost, repeated or left unknown by them.

use std::time::Duration;

use nexus_faults::{Arena, CHAIN, Chance, DATA, FAN, Mix, ONCE, PAY_FIRST, RETRY, Tally, now_ns};

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, DATA, PAY_FIRST];
const CLIENTS: u64 = 8;

/// How many stops: half of `NEXUS_FAULT_KILLS`, or the short set's.
fn stops() -> u64 {
    std::env::var("NEXUS_FAULT_KILLS").map_or(8, |text| text.parse::<u64>().expect("a number") / 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_under_load_repeat_nothing_and_leave_nothing_unknown() {
    let test = "stops_under_load_repeat_nothing_and_leave_nothing_unknown";
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(CLIENTS, MIX, chance.below(u64::MAX));
    for _ in 0..stops() {
        tokio::time::sleep(Duration::from_millis(200 + chance.below(600))).await;
        let status = nexus.stop();
        assert!(status.success(), "{status}: {}", nexus.said());
        arena.died(&nexus, "SIGTERM");
        tally.fault("stop_under_load");
        nexus = arena.start();
        let took = Duration::from_nanos((now_ns() - arena.died_ns).unsigned_abs());
        tally.to_ready.add(took);
    }
    load.settle(clients).await;
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"));
    assert_eq!(findings.counter("unknown"), 0, "no at_most_once task was in doubt");
    assert_eq!(findings.counter("infra_losses"), 0, "a stop is nobody's fault");
    arena.require_no_breach(&findings);
}

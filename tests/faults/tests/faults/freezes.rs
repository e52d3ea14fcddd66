//! Processes that are frozen (a stopped machine, a full swap) or that vanish: NEXUS itself, and workers outside of it.

use std::time::{Duration, Instant};

use nexus_api::execution::v1::execution;
use nexus_faults::{
    Arena, CHAIN, Chance, DATA, FAN, FAR, FAR_ONCE, Mix, ONCE, Outside, RETRY, SLOW, Tally, eventually, now_ns, signal,
};
use nix::sys::signal::Signal;

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, DATA, SLOW];
/// Longer than a lease (15 s) and a session's silence (15 s), each with the patrol that looks for them (5 s).
const FREEZE: Duration = Duration::from_secs(22);
/// A task whose worker is silent runs again after this at the latest.
const SILENT: Duration = Duration::from_secs(25);
/// A task whose worker's stream broke, after this.
const BROKEN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_nexus_that_was_frozen_goes_on_and_breaks_no_promise() {
    let test = "a_nexus_that_was_frozen_goes_on_and_breaks_no_promise";
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    eventually("long tasks run", Duration::from_secs(20), async || {
        !arena.begins(|run| run.task == "nap").is_empty()
    })
    .await;
    arena.freeze(nexus.pid(), &nexus.life, FREEZE).await;
    tally.fault("freeze_of_nexus");
    let woken = now_ns();
    let before = arena.begins(|_| true).len();
    eventually("tasks begin again", Duration::from_secs(10), async || {
        arena.begins(|_| true).len() > before
    })
    .await;
    tally
        .to_first_task
        .add(Duration::from_nanos((now_ns() - woken).unsigned_abs()));
    load.settle(clients).await;
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!(
        findings.counter("infra_losses"),
        0,
        "who was frozen cannot blame the workers for their silence: {}",
        nexus.said()
    );
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"));
    arena.require_no_breach(&findings);
}

/// Starts a worker and an execution, and waits until the worker has begun its task.
async fn begun(arena: &Arena, mode: &str, life: &str, number: u64, task: &nexus_faults::Workflow) -> (Outside, String) {
    let ledger = arena.ledger_file();
    let worker = Outside::spawn(
        life,
        mode,
        &arena.server(),
        arena.witness(),
        &ledger,
        number * 1_000_000,
    );
    let id = arena.load_numbered(number).start(task).await;
    eventually("the worker begins", Duration::from_secs(20), async || {
        !arena.begins(|run| run.life == life).is_empty()
    })
    .await;
    // In the middle of the task, with some heartbeats behind it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    (worker, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_silent_workers_run_again_in_time_and_late_reports_are_stale() {
    let test = "tasks_of_silent_workers_run_again_in_time_and_late_reports_are_stale";
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let _nexus = arena.start();
    load.apply(&[FAR, FAR_ONCE]).await;
    // One is frozen with an ordinary task, one with a task that must not run twice, one is killed. None has a stream.
    let (frozen, ordinary) = begun(&arena, "poll", "outside-1", 1, &FAR).await;
    let (frozen_once, once) = begun(&arena, "poll", "outside-2", 2, &FAR_ONCE).await;
    let (mut killed, second) = begun(&arena, "poll", "outside-3", 3, &FAR).await;
    for worker in [&frozen, &frozen_once] {
        signal(worker.pid(), Signal::SIGSTOP);
        arena.mark("stopped", &worker.life, "");
        tally.fault("freeze_of_a_worker");
    }
    killed.kill();
    arena.mark("killed", &killed.life, "kill -9");
    tally.fault("kill_of_a_polling_worker");
    let since = now_ns();
    let begun_at = Instant::now();
    let (server, witness) = (arena.server(), arena.witness());
    let fresh = Outside::spawn("outside-4", "poll", &server, witness, &arena.ledger_file(), 4_000_000);
    eventually(
        "both tasks have begun again",
        SILENT + Duration::from_secs(20),
        async || arena.begins(|run| run.life == fresh.life).len() == 2,
    )
    .await;
    // One worker takes them one after the other, so the first begin is the recovery; the second waited for its slot.
    let first = arena.begins(|run| run.life == fresh.life)[0];
    let took = Duration::from_nanos((first - since).unsigned_abs());
    tally.to_first_task.add(took);
    assert!(took <= SILENT, "a silent worker's task ran again after {took:?}");
    for id in [&ordinary, &second] {
        let execution = load.wait(id).await;
        assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    }
    assert_eq!(
        load.wait(&once).await.state(),
        execution::State::Failed,
        "nobody knows whether it ran"
    );
    assert!(begun_at.elapsed() < SILENT * 2);
    for worker in [&frozen, &frozen_once] {
        arena.mark("continued", &worker.life, "");
        signal(worker.pid(), Signal::SIGCONT);
    }
    eventually("both late reports are answered", Duration::from_secs(20), async || {
        std::fs::read_to_string(arena.ledger_file()).is_ok_and(|text| text.matches("\"stale\"").count() == 2)
    })
    .await;
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!((findings.counter("reports_stale"), findings.counter("unknown")), (2, 1));
    assert_eq!(arena.begins(|run| run.execution == once).len(), 1, "at_most_once");
    arena.require_no_breach(&findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_killed_worker_with_a_stream_run_again_at_once() {
    let test = "tasks_of_a_killed_worker_with_a_stream_run_again_at_once";
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let _nexus = arena.start();
    load.apply(&[FAR]).await;
    for round in 1..=3 {
        let (mut worker, id) = begun(&arena, "stream", &format!("outside-{round}"), round, &FAR).await;
        worker.kill();
        let since = now_ns();
        arena.mark("killed", &worker.life, "kill -9");
        tally.fault("kill_of_a_streaming_worker");
        let (server, witness, ledger) = (arena.server(), arena.witness(), arena.ledger_file());
        let heir = Outside::spawn(
            &format!("heir-{round}"),
            "stream",
            &server,
            witness,
            &ledger,
            (10 + round) * 1_000_000,
        );
        let execution = load.wait(&id).await;
        assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
        let begins = arena.begins(|run| run.life == heir.life);
        let took = Duration::from_nanos((begins[0] - since).unsigned_abs());
        tally.to_first_task.add(took);
        assert!(took <= BROKEN, "it ran again after {took:?}");
    }
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!(
        (findings.counter("infra_losses"), findings.counter("reports_accepted")),
        (3, 3)
    );
    arena.require_no_breach(&findings);
}

//! Faults of a mesh: two replicas of each service and four workers under a steady load, and what is done to them.

mod builds;
mod clocks;
mod failover;
mod freezes;
mod kills;
mod outages;
mod partitions;
mod points;
mod postgres;
mod redis;
mod returns;
mod rolling;
mod soak;
mod three;

use nexus_faults::{CHAIN, Chance, DATA, FAN, FAR, Load, MeshArena, MeshTally, Mix, ONCE, RETRY, SLOW, STOPPED, WEB};
use nexus_fleet::Shape;
use nexus_verify::Findings;
use tokio::task::JoinHandle;

/// What clients start all the time.
const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, STOPPED, DATA, WEB];
/// Tasks for workers that speak the protocol by hand.
const FAR_MIX: Mix = &[FAR];
/// Tasks that are in the middle of something whenever one looks.
const SLOW_MIX: Mix = &[SLOW];
/// Clients that keep the load up.
const CLIENTS: u64 = MIX.len() as u64 + 1;

/// Two replicas of each service, four workers.
fn shape() -> Shape {
    Shape {
        log: "info,nexus_worker=info".into(),
        ..Shape::default()
    }
}

/// A load that runs.
struct Running {
    load: Load,
    clients: Vec<JoinHandle<()>>,
}

impl Running {
    /// Applies the workflows and lets clients work.
    async fn begin(arena: &MeshArena, test: &str) -> Self {
        Self::begin_with(arena, test, MIX, CLIENTS).await
    }

    /// The same with clients of some workflows.
    async fn begin_with(arena: &MeshArena, test: &str, mix: Mix, clients: u64) -> Self {
        let mut chance = Chance::of_run(test);
        let load = arena.load();
        load.apply(mix).await;
        let clients = load.run(clients, mix, chance.below(u64::MAX));
        Self { load, clients }
    }

    /// Lets clients finish what they have begun and begin nothing more.
    async fn pause(&mut self) {
        self.load.settle(std::mem::take(&mut self.clients)).await;
        self.load.go_on();
    }

    /// Lets clients work that were paused.
    fn go_on(&mut self) {
        if self.clients.is_empty() {
            self.clients = self.load.run(1, &[CHAIN], 1);
        }
    }

    /// The same, with a client of tasks for outside workers.
    async fn begin_with_far(arena: &MeshArena, test: &str) -> Self {
        let mut running = Self::begin(arena, test).await;
        running.load.apply(FAR_MIX).await;
        running.clients.extend(running.load.run(1, FAR_MIX, 1));
        running
    }

    /// The same, with clients of tasks that take nine seconds.
    async fn begin_with_slow(arena: &MeshArena, test: &str) -> Self {
        let mut running = Self::begin(arena, test).await;
        running.load.apply(SLOW_MIX).await;
        running.clients.extend(running.load.run(4, SLOW_MIX, 1));
        running
    }

    /// Lets clients finish and everything become quiet, judges, and prints the run's line.
    async fn end(self, arena: &mut MeshArena, tally: &MeshTally, test: &str) -> Findings {
        let Self { load, clients } = self;
        load.settle(clients).await;
        let findings = arena.judge().await;
        let errors = load.errors();
        tally.print(test, &errors, &findings);
        assert!(tally.hits() > 0, "a run counts only if the faults really hit");
        let keys = findings.counter("keys");
        assert_eq!(keys, findings.counter("keys_ok"), "every key was answered in the end");
        assert_eq!(
            load.ended(),
            findings.counter("executions"),
            "every execution was seen to end"
        );
        // Those that do nothing tell the witness nothing.
        let told = findings.counter("witnessed_begins") + tally.silent();
        assert!(keys > 20 && told > keys, "there was a load");
        for error in errors.keys() {
            assert!(
                is_retryable(error),
                "clients saw an error that cannot be repeated: {errors:?}"
            );
        }
        arena.require_no_breach(&findings);
        findings
    }
}

/// Whether an error, told by code and reason, says that the call may be repeated.
fn is_retryable(error: &str) -> bool {
    if error.ends_with("BROKEN_CONNECTION") {
        return true;
    }
    ["Unavailable", "DeadlineExceeded", "ResourceExhausted", "Aborted"]
        .iter()
        .any(|code| error.starts_with(code))
}

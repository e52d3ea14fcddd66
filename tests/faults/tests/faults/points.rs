//! Kills at the points that must not tear: each at its first and its third hit, under a load that passes all of them.

use nexus_api::execution::v1::{ListTasksRequest, execution, task};
use nexus_faults::{
    Arena, CHAIN, DATA, DEADLINE, During, FAN, Load, Mix, Nexus, ONCE, OWNER_POINTS, POINTS, Point, RETRY, SLOW,
    STOPPED, Tally, eventually,
};
use nexus_verify::Findings;

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, STOPPED, DATA];
/// One client for each workflow, so that the first round has all of them.
const CLIENTS: u64 = MIX.len() as u64;

/// Whether the whole set is wanted: every point at its first and its third hit. The short set takes the last hit of each.
fn whole_set() -> bool {
    std::env::var_os("NEXUS_FAULT_ALL").is_some()
}

fn armed(point: &str, hit: u32) -> String {
    match hit {
        1 => format!("{point}=return"),
        hit => format!("{point}={}*off->return", hit - 1),
    }
}

/// Kills at a point, restarts, lets everything finish, and judges.
async fn run(point: Point, hit: u32) {
    let what = format!("{} hit {hit}", point.name);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let (mut victim, clients) = match point.during {
        During::Load => {
            let victim = arena.spawn(&armed(point.name, hit));
            (victim, begin(&load))
        }
        During::Recovery => {
            let mut first = arena.start();
            let clients = begin(&load);
            eventually("the load runs", DEADLINE, async || arena.begins(|_| true).len() > 8).await;
            arena.kill(&mut first);
            (arena.spawn(&armed(point.name, hit)), clients)
        }
    };
    arena.wait_for_death(&mut victim, &what).await;
    tally.fault("failpoint");
    assert!(victim.said().contains("failpoints are armed"), "{}", victim.said());
    load.end();
    let _nexus = survive(&mut arena, &mut tally).await;
    load.settle(clients.await.expect("clients")).await;
    let revisions = load.revisions(MIX).await;
    assert!(
        revisions.iter().all(|revision| *revision == 1),
        "{what}: applied twice: {revisions:?}"
    );
    let findings = arena.judge().await;
    tally.print(&what, &findings);
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"), "{what}");
    assert!(
        findings.counter("executions") > 0 && findings.counter("witnessed_begins") > 0,
        "{what}"
    );
    arena.require_no_breach(&findings);
}

/// Starts after a death, and measures it.
async fn survive(arena: &mut Arena, tally: &mut Tally) -> Nexus {
    let nexus = arena.start();
    let took = nexus_faults::now_ns() - arena.died_ns;
    tally.to_ready.add(std::time::Duration::from_nanos(took.unsigned_abs()));
    nexus
}

/// Applies the workflows and lets the clients work; all of that outlives the deaths of the server.
fn begin(load: &Load) -> tokio::task::JoinHandle<Vec<tokio::task::JoinHandle<()>>> {
    let load = load.clone();
    tokio::spawn(async move {
        load.apply(MIX).await;
        load.run(CLIENTS, MIX, 7)
    })
}

async fn run_all(points: impl Iterator<Item = &'static Point>) {
    for point in points {
        for hit in point.hits {
            if whole_set() || Some(hit) == point.hits.last() {
                run(*point, *hit).await;
            }
        }
    }
}

// In two halves, so that both cores have something to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_breaks_no_promise_first_half() {
    run_all(POINTS.iter().chain(OWNER_POINTS).step_by(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_breaks_no_promise_second_half() {
    run_all(POINTS.iter().chain(OWNER_POINTS).skip(1).step_by(2)).await;
}

/// The state of `pay` after a kill at a point that `pay` passes after it was given out and before its worker knows.
async fn pay_after_a_kill(point: &str, workflow_hit: u32) -> (Arena, Findings, task::State, usize) {
    let mut arena = Arena::new();
    let load = arena.load();
    let mut victim = arena.spawn(&armed(point, workflow_hit));
    load.apply(&[ONCE]).await;
    let started = tokio::spawn({
        let load = load.clone();
        async move { load.one(&ONCE).await }
    });
    arena.wait_for_death(&mut victim, point).await;
    let _nexus = arena.start();
    let execution = started.await.expect("client");
    let request = ListTasksRequest {
        execution: execution.id.clone(),
        ..ListTasksRequest::default()
    };
    let tasks = load
        .executions()
        .list_tasks(request)
        .await
        .expect("tasks")
        .into_inner()
        .tasks;
    let pay = tasks.iter().find(|task| task.id == "pay").expect("pay").state();
    let begins = arena.begins(|run| run.task == "pay").len();
    if pay == task::State::Unknown {
        assert_eq!(execution.state(), execution::State::Failed, "a person has to look");
    }
    let findings = arena.judge().await;
    (arena, findings, pay, begins)
}

/// `pay` is given out with the acknowledgement of `cart`'s report: it is stored as given out, its worker never hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_at_most_once_task_whose_grant_was_stored_and_not_told_is_unknown_and_never_run() {
    let point = "execution::report::committed";
    let (arena, findings, pay, begins) = pay_after_a_kill(point, 1).await;
    assert_eq!(
        (pay, begins),
        (task::State::Unknown, 0),
        "given out once, to nobody, and not again"
    );
    assert_eq!(findings.counter("unknown"), 1);
    arena.require_no_breach(&findings);
}

/// It ran and paid, and its report was not stored: nobody can know, so it is not run again.
#[tokio::test(flavor = "multi_thread")]
async fn an_at_most_once_task_that_ended_and_was_not_reported_is_unknown_and_ran_once() {
    // The first end is that of `cart`, the second that of `pay`.
    let (arena, findings, pay, begins) = pay_after_a_kill("worker::ended", 2).await;
    assert_eq!((pay, begins), (task::State::Unknown, 1));
    arena.require_no_breach(&findings);
}

/// Its report was stored: it succeeded, whatever became of the acknowledgement.
#[tokio::test(flavor = "multi_thread")]
async fn an_at_most_once_task_whose_report_was_stored_has_succeeded() {
    let (arena, findings, pay, begins) = pay_after_a_kill("execution::report::committed", 2).await;
    assert_eq!((pay, begins), (task::State::Succeeded, 1));
    arena.require_no_breach(&findings);
}

/// A commit that holds the grant and was not made: it was not given out, so it may be.
#[tokio::test(flavor = "multi_thread")]
async fn an_at_most_once_task_whose_grant_was_not_stored_runs_once() {
    // Commits of this one execution: the start, then the report of `cart` together with the grant of `pay`. Leases of
    // other tasks may go by themselves in between, so the point is the report's own.
    let (arena, findings, pay, begins) = pay_after_a_kill("execution::report::received", 1).await;
    assert_eq!((pay, begins), (task::State::Succeeded, 1));
    arena.require_no_breach(&findings);
}

/// A root that is `at_most_once` is given out by itself: the kill hits between that commit and the worker's hearing of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_at_most_once_root_whose_grant_was_stored_and_not_told_is_unknown() {
    let mut arena = Arena::new();
    let load = arena.load();
    let mut victim = arena.spawn(&armed("execution::grant", 1));
    load.apply(&[nexus_faults::PAY_FIRST]).await;
    // In the background: the kill may hit before the start is answered, and then it is asked again.
    let started = tokio::spawn({
        let load = load.clone();
        async move { load.one(&nexus_faults::PAY_FIRST).await }
    });
    arena.wait_for_death(&mut victim, "execution::grant").await;
    let _nexus = arena.start();
    let execution = started.await.expect("client");
    assert_eq!(execution.state(), execution::State::Failed);
    let findings = arena.judge().await;
    assert_eq!((findings.counter("unknown"), arena.begins(|_| true).len()), (1, 0));
    arena.require_no_breach(&findings);
}

/// While a lease is held: the heartbeat's third hit comes after six seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_a_heartbeat_of_a_long_task_repeats_it() {
    let mut arena = Arena::new();
    let load = arena.load();
    let mut victim = arena.spawn(&armed("execution::heartbeat", 3));
    load.apply(&[SLOW]).await;
    let id = load.start(&SLOW).await;
    arena.wait_for_death(&mut victim, "execution::heartbeat").await;
    let _nexus = arena.start();
    let execution = load.wait(&id).await;
    assert_eq!(execution.state(), execution::State::Succeeded);
    let findings = arena.judge().await;
    assert_eq!(arena.begins(|run| run.task == "nap").len(), 2, "once in each life");
    arena.require_no_breach(&findings);
}

/// `nexus version` says so, and the release's dependencies have none.
#[test]
fn only_the_binary_of_the_tests_has_failpoints() {
    let version = std::process::Command::new(nexus_faults::binary("nexus"))
        .arg("version")
        .output()
        .expect("nexus version");
    let said = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(said.contains("failpoints"), "run `make build` first; it says {said}");
    let tree = |package: &str| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = std::process::Command::new(cargo)
            .args([
                "tree",
                "--offline",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "-p",
                package,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo tree");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .any(|line| line.starts_with("fail v"))
    };
    assert!(tree("nexus-faults"), "what is looked for can be found");
    assert!(!tree("nexus"), "`cargo build --release -p nexus` would have failpoints");
}

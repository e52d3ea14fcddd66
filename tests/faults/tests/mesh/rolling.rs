//! A rolling restart of everything under load: nobody notices.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, whole_set};
use nexus_fleet::Role;
use sqlx::Row;

use crate::{Running, shape};

/// Longest time that a process may take to end.
const DRAIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_nothing_and_burns_no_attempt() {
    let test = "a_rolling_restart_under_load_fails_nothing_and_burns_no_attempt";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for _ in 0..if whole_set() { 3 } else { 1 } {
        for (role, what) in [
            (Role::Execution, "drain_execution"),
            (Role::Definitions, "drain_definitions"),
            (Role::Worker, "drain_worker"),
        ] {
            for number in 0..arena.mesh.count(role) {
                arena.some_begin(10).await;
                let stopped = arena.roll(role, number).await;
                assert_eq!(stopped.code, Some(0), "{what} {number}: {stopped:?}");
                assert!(stopped.took <= DRAIN, "{what} {number}: {stopped:?}");
                tally.fault(format!("restart_{}", role.name()));
                tally.recovered(what, stopped.took);
            }
        }
    }
    let findings = running.end(&mut arena, &tally, test).await;
    let failed = "SELECT id::text, workflow, state::bigint, failure FROM execution.executions
                  WHERE workflow <> 'stopped' AND state <> 5";
    let failed: Vec<String> = arena
        .ask(failed)
        .await
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {:?}",
                row.get::<String, _>(0),
                row.get::<String, _>(1),
                row.get::<i64, _>(2),
                row.get::<Option<String>, _>(3)
            )
        })
        .collect();
    assert!(failed.is_empty(), "executions failed: {failed:#?}");
    let burned = "SELECT execution::text, position::bigint, leases::bigint, returned::bigint, infra_losses::bigint
                  FROM execution.tasks t JOIN execution.executions e ON e.id = t.execution
                  WHERE infra_losses > 0 OR leases - returned > CASE workflow WHEN 'retry' THEN 3 ELSE 1 END";
    let burned: Vec<String> = arena
        .ask(burned)
        .await
        .iter()
        .map(|row| {
            format!(
                "{} {:?}",
                row.get::<String, _>(0),
                (1..5).map(|place| row.get::<i64, _>(place)).collect::<Vec<_>>()
            )
        })
        .collect();
    assert!(
        burned.is_empty(),
        "attempts were burned (task, leases, returned, losses): {burned:#?}"
    );
    assert!(findings.counter("executions") > 50);
}

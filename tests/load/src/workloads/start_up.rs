//! From the start of the process to the first answer; for a mesh, from the start of its first process to the readiness of
//! all.

use std::time::{Duration, Instant};

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::Bench;
use crate::dev::Dev;
use crate::error::{BenchError, broken};
use crate::report::{Aim, Line};
use crate::stats::Figures;
use crate::{client, proc};

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let (mut answered, mut line_seen, mut printed, mut memory) = Default::default();
    for _ in 0..bench.options.runs {
        let folder = bench.place.fresh()?;
        let (answered_ms, server) = client::timed(first_answer(bench, folder)).await?;
        note(&mut answered, answered_ms);
        note(&mut line_seen, server.ready_ms);
        note(&mut printed, server.printed_ready_ms);
        note(&mut memory, proc::rss_mib(server.pid()));
    }
    let line = Line::new("start_up")
        .figure("ms", &answered)
        .aim(Some(Aim::AtMost(150.0)))
        .number("ready_line_ms", line_seen.median())
        .number("printed_ready_ms", printed.median())
        .number("rss_mib", memory.median());
    Ok(vec![line])
}

/// Postgres and Redis run before, and the database is migrated.
pub(super) async fn mesh(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let (mut ready, mut memory) = (Figures::default(), Figures::default());
    for _ in 0..bench.options.few_runs(3) {
        let (server, ready_ms) = bench.start_mesh(bench.replicas(), &[]).await?;
        ready.add(ready_ms);
        memory.add(server.own().map(proc::rss_mib).sum());
    }
    let line = Line::new("start_up")
        .figure("ms", &ready)
        .aim(Some(Aim::AtMost(1000.0)))
        .number("rss_mib", memory.median());
    Ok(vec![line])
}

fn note(figures: &mut Figures, figure: f64) {
    figures.add(figure);
}

/// Starts a server on a folder and has its health checked.
pub(super) async fn first_answer(bench: &Bench<'_>, folder: tempfile::TempDir) -> Result<Dev, BenchError> {
    let server = Dev::start_on(&bench.place, folder)?;
    let transport = nexus_mesh::transport::connect(server.address()).map_err(|error| broken(error.to_string()))?;
    let mut health = HealthClient::new(transport);
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(status) = health.check(HealthCheckRequest::default()).await {
        if Instant::now() > deadline {
            return Err(status.into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(server)
}

//! Many tasks at once: one wide graph, and many small executions.

use super::{Bench, Measured, Sample, repeat};
use crate::client::timed;
use crate::error::BenchError;
use crate::mesh::Replicas;
use crate::report::{Aim, Line};
use crate::server::Server;
use crate::workflows;

/// Calls that a client has under way at a time.
const AT_ONCE: usize = 32;
/// Tasks of a diamond.
const DIAMOND: usize = 5;

pub(super) async fn fan(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let width = bench.options.size(1000, 100);
    let mut server = bench.start().await?;
    let client = server.client()?;
    let workflow = client.apply(workflows::fan("bench_fan", width)).await?;
    client.run(&workflow).await?;
    let measured = repeat(&mut server, bench.options.runs, width + 2, async || {
        let (figure, execution) = timed(client.run(&workflow)).await?;
        Ok(Sample {
            figure,
            events: execution.last_event,
        })
    })
    .await?;
    let line = measured
        .line("fan_1_1000_1", "ms")
        .aim(Some(Aim::AtMost(300.0)))
        .floor((width + 2) as f64 * 1e3 / bench.commits().batched_rows_per_s)
        .number("tasks_per_s", (width + 2) as f64 * 1e3 / measured.figures.median());
    Ok(vec![line])
}

pub(super) async fn diamonds(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut server = bench.start().await?;
    let measured = measure_diamonds(bench, &mut server).await?;
    Ok(vec![diamonds_line("diamonds_500", &measured)])
}

/// With more workers, then with more replicas of the execution service too.
pub(super) async fn scaling(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut lines = Vec::new();
    for (execution, workers) in [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4)] {
        let name = format!("diamonds_500_{execution}_execution_{workers}_workers");
        eprintln!("  {name} …");
        let (mut server, _) = bench.start_mesh(Replicas { execution, workers }, &[]).await?;
        let measured = measure_diamonds(bench, &mut server).await?;
        lines.push(diamonds_line(&name, &measured));
    }
    Ok(lines)
}

/// Starts them all as fast as a client can, and waits for them all; the figure is tasks per second.
pub(super) async fn measure_diamonds(bench: &Bench<'_>, server: &mut Server) -> Result<Measured, BenchError> {
    let count = bench.options.size(500, 50);
    let client = server.client()?;
    let workflow = client.apply(workflows::diamond("bench_diamond")).await?;
    client.run_many(&workflow, count / 10, AT_ONCE).await?;
    repeat(server, bench.options.runs, count * DIAMOND, async || {
        let (took, events) = timed(client.run_many(&workflow, count, AT_ONCE)).await?;
        Ok(Sample {
            figure: (count * DIAMOND) as f64 * 1e3 / took,
            events,
        })
    })
    .await
}

pub(super) fn diamonds_line(name: &str, measured: &Measured) -> Line {
    measured
        .line(name, "tasks/s")
        .aim(Some(Aim::AtLeast(4000.0)))
        .number("aim_cpu_ms_per_task", 0.45)
}

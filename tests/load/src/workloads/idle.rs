//! A server that has nothing to do, after it had something to do.

use std::time::Duration;

use super::Bench;
use crate::error::{BenchError, broken};
use crate::metrics;
use crate::proc;
use crate::report::Line;
use crate::stats::Figures;
use crate::workflows::{Runner, chain};

/// How long the server is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let server = bench.start().await?;
    {
        // The connection is closed again: the figure is for a server that nobody talks to.
        let client = server.client()?;
        let workflow = client.apply(chain("bench_idle", 1, Runner::Local)).await?;
        client.run(&workflow).await?;
    }
    let Some(pid) = server.own().next() else {
        return Err(broken("there is no process"));
    };
    tokio::time::sleep(SETTLE).await;
    let window = bench.options.size(10, 2) as f64 / f64::from(bench.options.runs);
    let before = metrics::read(server.metrics()).await;
    let (mut cpu, mut sleeps) = (Figures::default(), Figures::default());
    for _ in 0..bench.options.runs {
        let (cpu_ms, slept) = (proc::cpu_ms(pid), proc::sleeps(pid));
        tokio::time::sleep(Duration::from_secs_f64(window)).await;
        cpu.add((proc::cpu_ms(pid) - cpu_ms) / window);
        sleeps.add((proc::sleeps(pid) - slept) / window);
    }
    let after = metrics::read(server.metrics()).await;
    let mut line = Line::new("idle")
        .figure("wake-ups/s", &sleeps)
        .number("cpu_ms_per_s", cpu.median())
        .number("rss_mib", proc::rss_mib(pid))
        .number("aim_rss_mib", 40.0);
    if let Some((before, after)) = before.zip(after) {
        let seconds = window * f64::from(bench.options.runs);
        line = line.number("commits_per_s", (after.commits - before.commits) / seconds);
    }
    Ok(vec![line])
}

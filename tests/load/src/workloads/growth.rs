//! What a hundred thousand finished executions in the store do to a server's speed: the same workloads before and
//! after, and how many times as long they take.

use super::{Bench, Measured, Sample, chain, latency, load, repeat, start_up};
use crate::client::timed;
use crate::error::BenchError;
use crate::report::Line;
use crate::server::Server;
use crate::stats::number;
use crate::workflows::{self, Runner};

/// Calls under way while the store is filled.
const AT_ONCE: usize = 64;

/// The same workloads at one time.
struct Point {
    latency: latency::Latencies,
    chain: Measured,
    diamonds: Measured,
    restart_ms: f64,
}

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let count = bench.options.size(100_000, 2_000);
    let server = bench.start().await?;
    let (before, mut server) = point(bench, server).await?;
    eprintln!("  filling the store with {count} executions …");
    let client = server.client()?;
    let workflow = client.apply(workflows::chain("bench_fill", 1, Runner::Local)).await?;
    let filled = repeat(&mut server, 1, count, async || {
        let (took, events) = timed(client.run_many(&workflow, count, AT_ONCE)).await?;
        Ok(Sample {
            figure: count as f64 * 1e3 / took,
            events,
        })
    })
    .await?;
    let (after, server) = point(bench, server).await?;
    drop(server);
    let ratio = |before: f64, after: f64| number(after / before);
    let growth = Line::new("after_100k_executions")
        .figure("x latency", &{
            let mut figures = crate::stats::Figures::default();
            figures.add(after.latency.first_start.median() / before.latency.first_start.median());
            figures
        })
        .number("executions", count as f64)
        .value(
            "chain_40_x",
            ratio(before.chain.figures.median(), after.chain.figures.median()),
        )
        .value(
            "diamonds_500_x",
            ratio(after.diamonds.figures.median(), before.diamonds.figures.median()),
        )
        .value("restart_x", ratio(before.restart_ms, after.restart_ms))
        .number("restart_ms_before", before.restart_ms)
        .number("restart_ms_after", after.restart_ms);
    let mut lines = vec![filled.line("fill", "executions/s"), growth];
    for (when, point) in [("before", before), ("after", after)] {
        lines.push(point.latency.line(&format!("{when}_fill_submit_to_first_start"), bench));
        lines.push(chain::line(&format!("{when}_fill_chain_40"), &point.chain, bench));
        lines.push(load::diamonds_line(
            &format!("{when}_fill_diamonds_500"),
            &point.diamonds,
        ));
    }
    Ok(lines)
}

/// Measures, then stops the server and starts it again on the same folder.
async fn point(bench: &Bench<'_>, mut server: Server) -> Result<(Point, Server), BenchError> {
    let latency = latency::measure(bench, &mut server).await?;
    let chain = chain::measure(bench, &mut server, Runner::Local).await?;
    let diamonds = load::measure_diamonds(bench, &mut server).await?;
    let folder = server.stop()?;
    let (restart_ms, dev) = timed(start_up::first_answer(bench, folder)).await?;
    let point = Point {
        latency,
        chain,
        diamonds,
        restart_ms,
    };
    Ok((point, Server::dev(dev)))
}

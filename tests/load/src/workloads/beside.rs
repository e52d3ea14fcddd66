//! What computing tasks cost everybody else: a no-op from its start to its end while forty Python tasks want every core.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Bench, Measured, Sample, repeat};
use crate::client::timed;
use crate::dev::Dev;
use crate::error::BenchError;
use crate::report::{Aim, Line};
use crate::server::Server;
use crate::stats::Figures;
use crate::workflows::{self, Runner};

/// Computing tasks at a time.
const TASKS: usize = 40;
/// So many slots that the no-op has one of its own.
const SLOTS: &str = "48";

/// Between two no-ops.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn run(bench: &Bench<'_>, name: &str) -> Result<Vec<Line>, BenchError> {
    let dev = Dev::start_with(&bench.place, bench.place.fresh()?, &["--slots", SLOTS])?;
    let mut server = Server::dev(dev);
    let client = server.client()?;
    let noop = client.apply(workflows::chain("bench_noop", 1, Runner::Local)).await?;
    let n = if bench.options.quick { 27 } else { 31 };
    let busy = client.apply(workflows::side_by_side("bench_busy", n, TASKS)).await?;
    let mut idle = Figures::default();
    for _ in 0..bench.options.size(200, 20) {
        idle.add(timed(client.run(&noop)).await?.0);
    }
    let (mut alone, mut beside) = (Figures::default(), Figures::default());
    let runs = bench.options.few_runs(3);
    let measured: Measured = repeat(&mut server, runs, TASKS, async || {
        alone.add(timed(client.run(&busy)).await?.0);
        let begun = Instant::now();
        let id = client.start(&busy).await?;
        let mut noops = async || loop {
            match timed(client.run(&noop)).await {
                Ok((took, _)) => beside.add(took),
                Err(error) => return error,
            }
            // One now and then: a flood of them would be a load of its own.
            sleep(PAUSE).await;
        };
        let execution = tokio::select! {
            execution = client.finish(&id) => execution?,
            error = noops() => return Err(error),
        };
        Ok(Sample {
            figure: begun.elapsed().as_secs_f64() * 1e3,
            events: execution.last_event,
        })
    })
    .await?;
    // The computing itself is the figure of the run; what it leaves to others is what the workload is about.
    Ok(vec![
        measured
            .line_of(name, "ms", &beside)
            .aim(Some(Aim::AtMost(15.0)))
            .number("p95", beside.percentile(0.95))
            .number("idle_p50", idle.median())
            .number("idle_p95", idle.percentile(0.95))
            .number("computing_beside_noops_ms", measured.figures.median())
            .number("computing_alone_ms", alone.median()),
    ])
}

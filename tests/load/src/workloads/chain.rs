//! Forty tasks that do nothing, one after the other: what a step costs.

use super::{Bench, Measured, Sample, repeat};
use crate::client::timed;
use crate::error::BenchError;
use crate::outside::OutsideWorker;
use crate::report::{Aim, Line};
use crate::server::Server;
use crate::workflows::{Runner, chain};

const LENGTH: usize = 40;

pub(super) async fn local(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut server = bench.start().await?;
    let measured = measure(bench, &mut server, Runner::Local).await?;
    Ok(vec![line("chain_40", &measured, bench)])
}

pub(super) async fn outside(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut server = bench.start().await?;
    let _worker = OutsideWorker::start(server.executions()).await?;
    let measured = measure(bench, &mut server, Runner::Outside).await?;
    Ok(vec![line("chain_40_outside", &measured, bench)])
}

pub(super) async fn measure(bench: &Bench<'_>, server: &mut Server, runner: Runner) -> Result<Measured, BenchError> {
    let client = server.client()?;
    let workflow = client.apply(chain("bench_chain", LENGTH, runner)).await?;
    client.run(&workflow).await?;
    repeat(server, bench.options.runs, LENGTH, async || {
        let (figure, execution) = timed(client.run(&workflow)).await?;
        Ok(Sample {
            figure,
            events: execution.last_event,
        })
    })
    .await
}

/// The least is a commit for the start and one for each task.
pub(super) fn line(name: &str, measured: &Measured, bench: &Bench<'_>) -> Line {
    measured
        .line(name, "ms")
        .aim(Some(Aim::AtMost(60.0)))
        .floor(bench.commits().single_ms() * (LENGTH + 1) as f64)
}

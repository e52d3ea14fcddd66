//! From the call that starts an execution to its first task in a worker's hands, on a server with nothing else to do.

use std::time::Instant;

use super::{Bench, Measured, Sample, repeat};
use crate::error::BenchError;
use crate::outside::OutsideWorker;
use crate::report::{Aim, Line};
use crate::server::Server;
use crate::stats::Figures;
use crate::workflows::{Runner, chain};

/// Latencies of one kind each.
pub(super) struct Latencies {
    pub(super) first_start: Figures,
    acknowledged: Figures,
    measured: Measured,
}

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut server = bench.start().await?;
    let latencies = measure(bench, &mut server).await?;
    Ok(vec![latencies.line("submit_to_first_start", bench)])
}

/// Starts executions one after the other, each after the end of the one before.
pub(super) async fn measure(bench: &Bench<'_>, server: &mut Server) -> Result<Latencies, BenchError> {
    let client = server.client()?;
    let workflow = client.apply(chain("bench_latency", 1, Runner::Outside)).await?;
    let mut worker = OutsideWorker::start(server.executions()).await?;
    let starts = bench.options.size(500, 50);
    let (mut first_start, mut acknowledged) = (Figures::default(), Figures::default());
    let mut warm = false;
    let mut one = async |warm: bool| {
        let begun = Instant::now();
        let id = client.start(&workflow).await?;
        let answer_ms = begun.elapsed().as_secs_f64() * 1e3;
        // The lease may well be here before the answer is.
        let arrived = worker.arrival_of(&id).await?;
        let execution = client.finish(&id).await?;
        let figure = arrived.duration_since(begun).as_secs_f64() * 1e3;
        if warm {
            first_start.add(figure);
            acknowledged.add(answer_ms);
        }
        Ok(Sample {
            figure,
            events: execution.last_event,
        })
    };
    for _ in 0..starts.div_ceil(10) {
        one(warm).await?;
    }
    warm = true;
    let measured = repeat(server, u32::try_from(starts).unwrap_or(u32::MAX), 1, async || {
        one(warm).await
    })
    .await?;
    Ok(Latencies {
        first_start,
        acknowledged,
        measured,
    })
}

impl Latencies {
    pub(super) fn line(&self, name: &str, bench: &Bench<'_>) -> Line {
        self.measured
            .line(name, "ms")
            .aim(Some(Aim::AtMost(2.0)))
            .floor(bench.commits().single_ms())
            .number("p99", self.first_start.percentile(0.99))
            .number("acknowledged_p50", self.acknowledged.median())
            .number("acknowledged_p99", self.acknowledged.percentile(0.99))
    }
}

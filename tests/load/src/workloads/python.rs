//! Python tasks in a row: what a task of the user's costs beside its own work.

use super::{Bench, Measured, Sample, repeat};
use crate::client::timed;
use crate::error::BenchError;
use crate::report::{Aim, Line};
use crate::workflows::{self, Isolation};

pub(super) async fn fib10(bench: &Bench<'_>, name: &str, isolation: Isolation) -> Result<Vec<Line>, BenchError> {
    let length = 40;
    let measured = measure(bench, 10, length, isolation).await?;
    let processes = bench.processes;
    let (aim, own_ms) = match isolation {
        None => (Some(Aim::AtMost(180.0)), 0.0),
        Some("warm") => (Some(Aim::AtMost(70.0)), 0.0),
        Some(_) => (None, processes.bare_python_ms),
    };
    let floor = (bench.commits().single_ms() + own_ms + processes.fib10_ms) * length as f64;
    Ok(vec![measured.line(name, "ms").aim(aim).floor(floor)])
}

pub(super) async fn fib33(bench: &Bench<'_>, name: &str) -> Result<Vec<Line>, BenchError> {
    let length = bench.options.size(10, 2);
    let measured = measure(bench, 33, length, None).await?;
    let floor = bench.processes.fib33_ms * length as f64;
    Ok(vec![
        measured
            .line(name, "ms")
            .aim(Some(Aim::AtMost(floor * 1.01)))
            .floor(floor),
    ])
}

async fn measure(bench: &Bench<'_>, n: u32, length: usize, isolation: Isolation) -> Result<Measured, BenchError> {
    let mut server = bench.start().await?;
    let client = server.client()?;
    let workflow = client
        .apply(workflows::fibonacci("bench_python", n, length, isolation))
        .await?;
    let small = client
        .apply(workflows::fibonacci("bench_python_warm_up", 10, 10, isolation))
        .await?;
    client.run(&small).await?;
    repeat(&mut server, bench.options.runs, length, async || {
        let (figure, execution) = timed(client.run(&workflow)).await?;
        Ok(Sample {
            figure,
            events: execution.last_event,
        })
    })
    .await
}

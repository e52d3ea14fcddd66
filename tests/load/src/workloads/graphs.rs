//! Graphs of many tasks: a chain, a star, and layers. Each is applied and run, in a server of its own.

use super::{Bench, Sample, failed, repeat};
use crate::client::timed;
use crate::costs;
use crate::error::BenchError;
use crate::report::Line;
use crate::workflows::{self, Runner};

pub(super) async fn run(bench: &Bench<'_>, tasks: usize) -> Result<Vec<Line>, BenchError> {
    let mut lines = Vec::new();
    for shape in ["chain", "star", "layered"] {
        let name = format!("graph_{tasks}_{shape}");
        let workflow = format!("bench_{shape}");
        let source = match shape {
            "chain" => workflows::chain(&workflow, tasks, Runner::Local),
            "star" => workflows::star(&workflow, tasks - 1),
            _ => workflows::layered(&workflow, tasks),
        };
        eprintln!("  {name} …");
        lines.push(match measure(bench, &name, source, tasks).await {
            Ok(line) => line,
            Err(error) => failed(&name, error),
        });
    }
    Ok(lines)
}

async fn measure(bench: &Bench<'_>, name: &str, source: String, tasks: usize) -> Result<Line, BenchError> {
    let mut server = bench.start().await?;
    let client = server.client()?;
    let bytes = source.len();
    let (apply_ms, workflow) = timed(client.apply(source)).await?;
    let apply_peak = costs::peak_mib(&server);
    // A large graph takes long enough for one run to say what it has to say.
    let runs = if tasks > 10_000 { 1 } else { bench.options.few_runs(3) };
    let mut started = 0.0;
    let measured = repeat(&mut server, runs, tasks, async || {
        let (whole, (start_ms, execution)) = timed(async {
            let (start_ms, id) = timed(client.start(&workflow)).await?;
            Ok((start_ms, client.finish(&id).await?))
        })
        .await?;
        started = start_ms;
        Ok(Sample {
            figure: whole,
            events: execution.last_event,
        })
    })
    .await?;
    Ok(measured
        .line(name, "ms")
        .number("tasks_per_s", tasks as f64 * 1e3 / measured.figures.median())
        .number("apply_ms", apply_ms)
        .number("apply_peak_rss_mib", apply_peak)
        .number("start_acknowledged_ms", started)
        .number("file_kib", bytes as f64 / 1024.0))
}

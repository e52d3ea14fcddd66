//! The workloads, and what they have in common: a server of their own, a warm-up, so many runs, and what they cost.

mod chain;
mod graphs;
mod growth;
mod idle;
mod latency;
mod load;
mod python;
mod start_up;

use std::time::Duration;

use serde_json::Value;

use crate::error::{BenchError, broken};
use crate::limits::{self, Commits, Processes};
use crate::metrics::{self, Counters};
use crate::options::Options;
use crate::proc;
use crate::report::Line;
use crate::server::{Place, Server};
use crate::stats::Figures;

/// Every workload, in the order in which they run.
const NAMES: &[&str] = &[
    "start_up",
    "submit_to_first_start",
    "chain_40",
    "chain_40_outside",
    "fan_1_1000_1",
    "diamonds_500",
    "python_fib10_x40_fork",
    "python_fib10_x40_warm",
    "python_fib10_x40_process",
    "python_fib33_x10",
    "graph_10000",
    "graph_100000",
    "idle",
    "after_100k_executions",
];

/// What every workload is given.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) place: Place,
    pub(crate) processes: Processes,
    /// Measured right before the workload.
    pub(crate) commits: Commits,
}

/// What came out of some runs.
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    /// Tasks of all runs.
    tasks: f64,
    events: u64,
    cpu_ms: f64,
    client_cpu_ms: f64,
    peak_mib: f64,
    counters: Option<Counters>,
}

/// What one run gives.
pub(crate) struct Sample {
    /// The measured figure.
    pub(crate) figure: f64,
    /// Events in the histories that it wrote.
    pub(crate) events: u64,
}

impl Measured {
    /// The line with what the runs cost.
    pub(crate) fn line(&self, name: &str, unit: &str) -> Line {
        let line = Line::new(name)
            .figure(unit, &self.figures)
            .number("tasks", self.tasks / self.figures.count().max(1) as f64);
        self.costs(line)
    }

    fn costs(&self, line: Line) -> Line {
        let line = line
            .number("cpu_ms_per_task", self.cpu_ms / self.tasks)
            .number("client_cpu_ms_per_task", self.client_cpu_ms / self.tasks)
            .number("events_per_task", self.events as f64 / self.tasks)
            .number("peak_rss_mib", self.peak_mib);
        match self.counters {
            Some(Counters { commits, rows }) => line
                .number("commits_per_task", commits / self.tasks)
                .number("rows_per_task", rows / self.tasks),
            None => line,
        }
    }
}

/// Runs something so many times and takes down what it costs. Warming up is the caller's.
pub(crate) async fn repeat(
    server: &Server,
    runs: u32,
    tasks: usize,
    mut run: impl AsyncFnMut() -> Result<Sample, BenchError>,
) -> Result<Measured, BenchError> {
    let before = metrics::read(server.metrics()).await;
    let (cpu, own_cpu) = (proc::cpu_ms(server.pid()), proc::cpu_ms(std::process::id()));
    proc::reset_peak(server.pid());
    let mut figures = Figures::default();
    let mut events = 0;
    for _ in 0..runs {
        let sample = run().await?;
        figures.add(sample.figure);
        events += sample.events;
    }
    let cpu_ms = proc::cpu_ms(server.pid()) - cpu;
    // The server is a child of this process: what it used is not the client's.
    let client_cpu_ms = (proc::cpu_ms(std::process::id()) - own_cpu - cpu_ms).max(0.0);
    let after = metrics::read(server.metrics()).await;
    Ok(Measured {
        figures,
        tasks: tasks as f64 * f64::from(runs),
        events,
        cpu_ms,
        client_cpu_ms,
        peak_mib: proc::peak_mib(server.pid()),
        counters: before.zip(after).map(|(before, after)| Counters {
            commits: after.commits - before.commits,
            rows: after.rows - before.rows,
        }),
    })
}

/// Runs what the options ask for and prints each line as soon as it is there.
pub(crate) async fn run_all(options: &Options) -> Result<Vec<Value>, BenchError> {
    if options.list {
        NAMES.iter().for_each(|name| println!("{name}"));
        return Ok(Vec::new());
    }
    if let Some(unknown) = options.only.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(broken(format!(
            "there is no workload {unknown:?}; there are {}",
            NAMES.join(", ")
        )));
    }
    let place = Place::find(options)?;
    eprintln!("measuring {}", place.binary().display());
    let second = Duration::from_millis(if options.quick { 300 } else { 1000 });
    let commits = Commits::measure(&place, second).await?;
    let processes = Processes::measure()?;
    let mut lines = vec![limits::line(&place, commits, processes)?];
    println!("{}", lines[0]);
    let mut bench = Bench {
        options,
        place,
        processes,
        commits,
    };
    let chosen = |name: &&&str| options.only.is_empty() || options.only.iter().any(|only| only == **name);
    for name in NAMES.iter().filter(chosen) {
        eprintln!("{name} …");
        bench.commits = Commits::measure(&bench.place, second / 2).await?;
        // One that fails does not take the others along.
        let made = match Box::pin(run_one(&bench, name)).await {
            Ok(made) => made,
            Err(error) => vec![failed(name, error)],
        };
        for line in made {
            let line = line.limits(bench.commits).done();
            println!("{line}");
            lines.push(line);
        }
    }
    Ok(lines)
}

/// The line of a workload that gave no figure.
pub(crate) fn failed(name: &str, error: BenchError) -> Line {
    eprintln!("{name}: {error}");
    match error {
        BenchError::Refused(message) => Line::new(name).text("refused", &message),
        error => Line::new(name).text("failed", &error.to_string()),
    }
}

async fn run_one(bench: &Bench<'_>, name: &str) -> Result<Vec<Line>, BenchError> {
    match name {
        "start_up" => start_up::run(bench).await,
        "submit_to_first_start" => latency::run(bench).await,
        "chain_40" => chain::local(bench).await,
        "chain_40_outside" => chain::outside(bench).await,
        "fan_1_1000_1" => load::fan(bench).await,
        "diamonds_500" => load::diamonds(bench).await,
        "python_fib10_x40_fork" => python::fib10(bench, name, None).await,
        "python_fib10_x40_warm" => python::fib10(bench, name, Some("warm")).await,
        "python_fib10_x40_process" => python::fib10(bench, name, Some("process")).await,
        "python_fib33_x10" => python::fib33(bench, name).await,
        "graph_10000" => graphs::run(bench, bench.options.size(10_000, 1_000)).await,
        "graph_100000" => graphs::run(bench, bench.options.size(100_000, 2_000)).await,
        "idle" => idle::run(bench).await,
        "after_100k_executions" => growth::run(bench).await,
        other => Err(broken(format!("there is no workload {other:?}"))),
    }
}

//! The workloads, and what they have in common: a server of their own, a warm-up, so many runs, and what they cost.

mod beside;
mod chain;
mod graphs;
mod growth;
mod idle;
mod idle_mesh;
mod latency;
mod load;
mod python;
mod start_up;

use std::time::Duration;

use serde_json::Value;

use crate::costs::{self, Costs};
use crate::dev::{Dev, Place};
use crate::error::{BenchError, broken};
use crate::limits::{self, Commits, Limits, Processes};
use crate::mesh::{self, Replicas};
use crate::options::Options;
use crate::report::Line;
use crate::ruler::Ruler;
use crate::server::Server;
use crate::stats::Figures;

/// Every workload of `nexus dev`, in the order in which they run.
const DEV: &[&str] = &[
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
    "noop_beside_40_python",
    "graph_1000",
    "graph_10000",
    "graph_100000",
    "idle",
    "after_100k_executions",
];

/// Every workload of a mesh.
const MESH: &[&str] = &[
    "start_up",
    "submit_to_first_start",
    "chain_40",
    "chain_40_outside",
    "fan_1_1000_1",
    "diamonds_500",
    "diamonds_500_scaling",
    "python_fib10_x40_fork",
    "python_fib10_x40_warm",
    "graph_1000",
    "graph_10000",
    "idle",
];

/// What every workload is given.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) place: Place,
    pub(crate) processes: Processes,
    /// Measured right before the workload.
    pub(crate) limits: Limits,
}

impl Bench<'_> {
    /// Starts what is measured: a `nexus dev` on a fresh folder, or a mesh.
    pub(crate) async fn start(&self) -> Result<Server, BenchError> {
        match self.options.mesh {
            false => Ok(Server::dev(Dev::start_on(&self.place, self.place.fresh()?)?)),
            true => Ok(self.start_mesh(self.replicas(), &[]).await?.0),
        }
    }

    /// What the options say about the mesh.
    pub(crate) fn replicas(&self) -> Replicas {
        Replicas {
            execution: self.options.execution as usize,
            workers: self.options.workers as usize,
        }
    }

    /// Starts a mesh with so many replicas and some more settings of Postgres; also the milliseconds that it took.
    pub(crate) async fn start_mesh(&self, replicas: Replicas, postgres: &[&str]) -> Result<(Server, f64), BenchError> {
        let mut shape = mesh::shape(self.options, self.place.binary(), replicas);
        shape
            .postgres
            .extend(postgres.iter().map(|setting| (*setting).to_owned()));
        let (mesh, ready_ms) = mesh::start(shape).await?;
        Ok((Server::mesh(mesh), ready_ms))
    }

    /// What the disk can do.
    pub(crate) fn commits(&self) -> Commits {
        self.limits.commits
    }
}

/// What came out of some runs.
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    /// Tasks of all runs.
    tasks: f64,
    events: u64,
    costs: Costs,
    peak_mib: f64,
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
        self.line_of(name, unit, &self.figures)
    }

    /// The same about other figures that were taken meanwhile.
    fn line_of(&self, name: &str, unit: &str, figures: &Figures) -> Line {
        let line = Line::new(name)
            .figure(unit, figures)
            .number("tasks", self.tasks / self.figures.count().max(1) as f64)
            .number("events_per_task", self.events as f64 / self.tasks)
            .number("peak_rss_mib", self.peak_mib);
        self.costs.add_to(line, self.tasks)
    }
}

/// Runs something so many times and takes down what it costs. Warming up is the caller's.
pub(crate) async fn repeat(
    server: &mut Server,
    runs: u32,
    tasks: usize,
    mut run: impl AsyncFnMut() -> Result<Sample, BenchError>,
) -> Result<Measured, BenchError> {
    let before = Costs::read(server).await?;
    costs::reset_peaks(server);
    let mut figures = Figures::default();
    let mut events = 0;
    for _ in 0..runs {
        let sample = run().await?;
        figures.add(sample.figure);
        events += sample.events;
    }
    let costs = Costs::read(server).await?.since(&before);
    Ok(Measured {
        figures,
        tasks: tasks as f64 * f64::from(runs),
        events,
        costs,
        peak_mib: costs::peak_mib(server),
    })
}

/// Runs what the options ask for and prints each line as soon as it is there.
pub(crate) async fn run_all(options: &Options) -> Result<Vec<Value>, BenchError> {
    let names = if options.mesh { MESH } else { DEV };
    if options.list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(Vec::new());
    }
    if let Some(unknown) = options.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(broken(format!(
            "there is no workload {unknown:?}; there are {}",
            names.join(", ")
        )));
    }
    let place = Place::find(options)?;
    eprintln!("measuring {}", place.binary().display());
    let ruler = match options.mesh {
        true => Some(Ruler::start(mesh::postgres(options)).await?),
        false => None,
    };
    let second = Duration::from_millis(if options.quick { 300 } else { 1000 });
    let limits = Limits::measure(&place, ruler.as_ref(), second).await?;
    let processes = Processes::measure()?;
    let folder = match &ruler {
        Some(ruler) => ruler.folder().to_owned(),
        None => place.folder().to_owned(),
    };
    let mut lines = vec![limits::line(&folder, limits, processes)?];
    println!("{}", lines[0]);
    let mut bench = Bench {
        options,
        place,
        processes,
        limits,
    };
    let chosen = |name: &&&str| options.only.is_empty() || options.only.iter().any(|only| only == **name);
    for name in names.iter().filter(chosen) {
        eprintln!("{name} …");
        bench.limits = Limits::measure(&bench.place, ruler.as_ref(), second / 2).await?;
        // One that fails does not take the others along.
        let made = match Box::pin(run_one(&bench, name)).await {
            Ok(made) => made,
            Err(error) => vec![failed(name, error)],
        };
        for line in made {
            let line = line.limits(bench.limits).done();
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
        "start_up" if bench.options.mesh => start_up::mesh(bench).await,
        "start_up" => start_up::run(bench).await,
        "submit_to_first_start" => latency::run(bench).await,
        "chain_40" => chain::local(bench).await,
        "chain_40_outside" => chain::outside(bench).await,
        "fan_1_1000_1" => load::fan(bench).await,
        "diamonds_500" => load::diamonds(bench).await,
        "diamonds_500_scaling" => load::scaling(bench).await,
        "python_fib10_x40_fork" => python::fib10(bench, name, None).await,
        "python_fib10_x40_warm" => python::fib10(bench, name, Some("warm")).await,
        "python_fib10_x40_process" => python::fib10(bench, name, Some("process")).await,
        "python_fib33_x10" => python::fib33(bench, name).await,
        "noop_beside_40_python" => beside::run(bench, name).await,
        "graph_1000" => graphs::run(bench, bench.options.size(1_000, 500)).await,
        "graph_10000" => graphs::run(bench, bench.options.size(10_000, 1_000)).await,
        "graph_100000" => graphs::run(bench, bench.options.size(100_000, 2_000)).await,
        "idle" if bench.options.mesh => idle_mesh::run(bench).await,
        "idle" => idle::run(bench).await,
        "after_100k_executions" => growth::run(bench).await,
        other => Err(broken(format!("there is no workload {other:?}"))),
    }
}

//! What the machine can do without NEXUS: commits of the same store with the same settings, the ways between processes
//! of a mesh, processes, bare Python.
//! Disks and neighbours change from minute to minute, so commits are measured again before each workload.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nexus_storage::sqlite::{Database, Durability, Migration};
use serde_json::{Map, Value, json};

use crate::dev::Place;
use crate::error::{BenchError, broken};
use crate::proc;
use crate::ruler::{Hops, Ruler};
use crate::stats::{Figures, number};

/// Rows of a batched commit.
const BATCH: i64 = 100;

const TABLE: Migration = Migration {
    number: 1,
    name: "limits",
    breaks: true,
    sql: "CREATE TABLE narrow (id INTEGER PRIMARY KEY, state INTEGER NOT NULL) STRICT;",
};

const FIB: &str = "
import sys, time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def took(n):
    begun = time.perf_counter()
    fib(n)
    return (time.perf_counter() - begun) * 1e3
print(sys.executable, sorted(took(10) for _ in range(200))[100], took(33))
";

/// What the disk can do, and the ways between processes where there are several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) commits: Commits,
    hops: Option<Hops>,
}

impl Limits {
    /// Measures commits for about so long.
    pub(crate) async fn measure(place: &Place, ruler: Option<&Ruler>, time: Duration) -> Result<Self, BenchError> {
        Ok(match ruler {
            None => Self {
                commits: Commits::measure(place, time).await?,
                hops: None,
            },
            Some(ruler) => Self {
                commits: ruler.commits(time).await?,
                hops: Some(ruler.hops().await?),
            },
        })
    }

    pub(crate) fn to_json(self) -> Map<String, Value> {
        let mut limits = Map::new();
        limits.insert("commits_per_s".into(), number(self.commits.single_per_s));
        limits.insert("batched_rows_per_s".into(), number(self.commits.batched_rows_per_s));
        if let Some(hops) = self.hops {
            hops.add_to(&mut limits);
        }
        limits.insert("load".into(), number(proc::load()));
        limits
    }
}

/// What the disk can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commits {
    /// Commits of one narrow row each, one after the other, fsynced.
    pub(crate) single_per_s: f64,
    /// Rows in commits of a hundred, fsynced.
    pub(crate) batched_rows_per_s: f64,
}

impl Commits {
    /// Measures for about so long.
    async fn measure(place: &Place, time: Duration) -> Result<Self, BenchError> {
        let folder = place.fresh()?;
        let database = Database::open(&folder.path().join("limit.db"), Durability::Full, &[TABLE]).await?;
        let mut next = 0;
        let single_per_s = commits(&database, &mut next, 1, time).await?;
        let batches = commits(&database, &mut next, BATCH, time / 2).await?;
        database.close().await;
        Ok(Self {
            single_per_s,
            batched_rows_per_s: batches * BATCH as f64,
        })
    }

    /// Milliseconds of one commit.
    pub(crate) fn single_ms(&self) -> f64 {
        1e3 / self.single_per_s
    }
}

/// Commits per second of so many rows each. Rows go over as one JSON array, as the execution store sends its own.
async fn commits(database: &Database, next: &mut i64, rows: i64, time: Duration) -> Result<f64, BenchError> {
    let begun = Instant::now();
    let mut count = 0.0;
    while begun.elapsed() < time {
        let ids: Vec<i64> = (*next..*next + rows).collect();
        *next += rows;
        let mut transaction = database.begin().await?;
        sqlx::query("INSERT INTO narrow SELECT value, 1 FROM json_each(?1)")
            .bind(json!(ids).to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        count += 1.0;
    }
    Ok(count / begun.elapsed().as_secs_f64())
}

/// What processes cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    /// Start and end of `/bin/true`.
    pub(crate) true_ms: f64,
    /// Start and end of `python3 -c pass`.
    pub(crate) python_ms: f64,
    /// The same with `-I -S`, without the site's packages.
    pub(crate) bare_python_ms: f64,
    /// fib(10) and fib(33) in a Python that runs already.
    pub(crate) fib10_ms: f64,
    pub(crate) fib33_ms: f64,
}

impl Processes {
    pub(crate) fn measure() -> Result<Self, BenchError> {
        let output = Command::new("python3").args(["-c", FIB]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.trim_end().rsplitn(3, ' ');
        let mut figure = || words.next()?.parse().ok();
        let (Some(fib33_ms), Some(fib10_ms)) = (figure(), figure()) else {
            return Err(broken(format!("python3 gave no figures: {text:?}")));
        };
        // The interpreter itself: what is called python3 may be a script that looks for one.
        let python = words.next().unwrap_or("python3");
        Ok(Self {
            true_ms: median_run(50, "/bin/true", &[])?,
            python_ms: median_run(15, python, &["-c", "pass"])?,
            bare_python_ms: median_run(15, python, &["-I", "-S", "-c", "pass"])?,
            fib10_ms,
            fib33_ms,
        })
    }
}

fn median_run(times: u32, program: &str, args: &[&str]) -> Result<f64, BenchError> {
    let mut figures = Figures::default();
    for _ in 0..times {
        let begun = Instant::now();
        Command::new(program).args(args).stdin(Stdio::null()).status()?;
        figures.add(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(figures.median())
}

/// The line that describes the machine.
pub(crate) fn line(folder: &Path, limits: Limits, processes: Processes) -> Result<Value, BenchError> {
    let mut line = Map::from_iter([
        ("workload".to_owned(), json!("limits")),
        ("cores".to_owned(), json!(std::thread::available_parallelism()?.get())),
        ("file_system".to_owned(), json!(proc::file_system(folder))),
        ("true_ms".to_owned(), number(processes.true_ms)),
        ("python_ms".to_owned(), number(processes.python_ms)),
        ("bare_python_ms".to_owned(), number(processes.bare_python_ms)),
        ("fib10_ms".to_owned(), number(processes.fib10_ms)),
        ("fib33_ms".to_owned(), number(processes.fib33_ms)),
    ]);
    line.extend(limits.to_json());
    Ok(Value::Object(line))
}

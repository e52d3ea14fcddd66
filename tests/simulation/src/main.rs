//! `nexus-simulate`: any number of seeds, one again with every step shown, or the hunt for planted bugs.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use nexus_engine::planted::Bug;
use nexus_simulation::{many, simulate};
use serde_json::{Map, Value, json};

/// Simulates NEXUS under seeded faults
#[derive(Parser)]
#[command(name = "nexus-simulate")]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed; a number from the time of day when not said
    #[arg(long)]
    from: Option<u64>,
    /// Simulate this one seed and show every step
    #[arg(long, conflicts_with_all = ["seeds", "from", "hunt"])]
    seed: Option<u64>,
    /// With a bug planted
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Plant each bug in turn and simulate until it is caught, so many seeds at most
    #[arg(long, value_name = "SEEDS")]
    hunt: Option<u64>,
    /// Threads; one for each core when not said
    #[arg(long)]
    threads: Option<usize>,
}

fn bug(name: &str) -> Result<Bug, String> {
    let known = Bug::ALL
        .iter()
        .find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| {
        let names: Vec<String> = Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect();
        format!("there is no such bug; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        return one(seed, args.bug);
    }
    many::silence_panics();
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let from = args.from.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs()) * 1_000_000
    });
    match args.hunt {
        Some(limit) => hunt(from, limit, threads),
        None => seeds(from, args.seeds, threads, args.bug),
    }
}

fn one(seed: u64, bug: Option<Bug>) -> ExitCode {
    let verdict = simulate(seed, bug, true);
    for breach in &verdict.breaches {
        println!("{breach}");
    }
    println!("seed {seed}: {} breaches", verdict.breaches.len());
    ExitCode::from(u8::from(!verdict.breaches.is_empty()))
}

fn seeds(from: u64, seeds: u64, threads: usize, bug: Option<Bug>) -> ExitCode {
    let begun = Instant::now();
    let summary = many::run(from, seeds, threads, bug, false);
    for verdict in summary.failed.iter().take(10) {
        eprintln!("seed {} (again with: nexus-simulate --seed {0}):", verdict.seed);
        for breach in &verdict.breaches {
            eprintln!("  {breach}");
        }
    }
    let counts: Map<String, Value> = summary
        .counts
        .named()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect();
    let seconds = begun.elapsed().as_secs_f64();
    let line = json!({"simulation": {"seeds": summary.seeds, "from": from, "breaches": summary.failed.len(),
        "seconds": (seconds * 10.0).round() / 10.0, "threads": threads, "counts": counts}});
    println!("{line}");
    ExitCode::from(u8::from(!summary.failed.is_empty()))
}

fn hunt(from: u64, limit: u64, threads: usize) -> ExitCode {
    let mut caught = 0;
    for bug in Bug::ALL {
        let hunt = many::hunt(*bug, from, limit, threads);
        caught += usize::from(hunt.caught.is_some());
        let line = json!({"planted": format!("{bug:?}"), "seeds": hunt.seeds, "caught_by": hunt.caught});
        println!("{line}");
    }
    println!("{}", json!({"planted": Bug::ALL.len(), "caught": caught}));
    ExitCode::from(u8::from(caught < Bug::ALL.len()))
}

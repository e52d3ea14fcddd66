//! What the bench can be told.

use std::path::PathBuf;

/// Measures `nexus dev`, or a mesh: one line of JSON for each figure on standard output, progress and a table on standard
/// error.
#[derive(Debug, clap::Parser)]
#[command(name = "nexus-bench", version)]
pub(crate) struct Options {
    /// The program to measure; the `nexus` beside this one when not said
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Only these workloads (see --list)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Measure a mesh of processes with a Postgres and a Redis of its own instead of a `nexus dev`
    #[arg(long)]
    pub(crate) mesh: bool,
    /// Replicas of the execution service in the mesh
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = replicas(), requires = "mesh")]
    pub(crate) execution: u32,
    /// Workers in the mesh
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = replicas(), requires = "mesh")]
    pub(crate) workers: u32,
    /// Tasks that each worker of the mesh runs at a time
    #[arg(long, value_name = "N", default_value_t = 16, requires = "mesh")]
    pub(crate) slots: u32,
    /// A variable of the environment of every process of the mesh
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair, requires = "mesh")]
    pub(crate) environment: Vec<(String, String)>,
    /// A setting of the mesh's Postgres
    #[arg(long, value_name = "NAME=VALUE", requires = "mesh")]
    pub(crate) postgres: Vec<String>,
    /// How often each workload is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// A reader of the feed is registered, so that commits tell it: what that costs is the difference to a run without
    #[arg(long, conflicts_with = "mesh")]
    pub(crate) reader: bool,
    /// Smaller workloads, to see that the bench itself works
    #[arg(long)]
    pub(crate) quick: bool,
    /// Folder for the databases of `nexus dev`, on the file system to measure; `target/bench` beside the program when
    /// not said. The mesh's Postgres is in the system's folder for temporary files, which TMPDIR names
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// List the workloads and end
    #[arg(long)]
    pub(crate) list: bool,
}

fn replicas() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=16)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Options {
    /// A size, or the smaller one with `--quick`.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// The number of runs of a workload that takes long.
    pub(crate) fn few_runs(&self, most: u32) -> u32 {
        self.runs.min(most)
    }
}

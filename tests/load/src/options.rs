//! What the bench can be told.

use std::path::PathBuf;

/// Measures `nexus dev`: one line of JSON for each workload on standard output, progress and a table on standard error.
#[derive(Debug, clap::Parser)]
#[command(name = "nexus-bench", version)]
pub(crate) struct Options {
    /// The program to measure; the `nexus` beside this one when not said
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Only these workloads (see --list)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// How often each workload is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// Smaller workloads, to see that the bench itself works
    #[arg(long)]
    pub(crate) quick: bool,
    /// Folder for the databases, on the file system to measure; `target/bench` beside the program when not said
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// List the workloads and end
    #[arg(long)]
    pub(crate) list: bool,
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

//! What can be typed about secrets. A value is never an argument: whoever lists processes would see it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nexus_cli_frame::Page;

#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Set a secret; the value comes from a file, from stdin, or is asked for
    Set(SetArgs),
    /// List secrets by name, without their values
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show what is known of a secret, without its value
    Get {
        /// Its name
        #[arg(value_name = "SECRET")]
        name: String,
    },
    /// Delete a secret with all its versions
    Delete {
        /// Its name
        #[arg(value_name = "SECRET")]
        name: String,
    },
    /// List the workflows whose newest revision names a secret
    Uses {
        /// Its name
        #[arg(value_name = "SECRET")]
        name: String,
        #[command(flatten)]
        page: Page,
    },
    /// Wrap with the newest key of the server what older keys have wrapped
    RotateKeys {
        /// Secrets of every namespace
        #[arg(long)]
        all_namespaces: bool,
        /// Versions of one call
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1000))]
        batch: i32,
    },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name, as in {{ secrets.NAME }}
    #[arg(value_name = "SECRET")]
    pub(crate) name: String,
    /// Take the value from this file, byte by byte; `-` for stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// Give it the value of an earlier version that is kept
    #[arg(long, value_name = "VERSION", conflicts_with = "from_file", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) restore: Option<u32>,
    /// What it is for; as it was when not said
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

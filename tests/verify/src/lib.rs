//! Did NEXUS keep its promises? A [`witness`] is told by the tasks themselves what they do, a [`ledger`] by the clients
//! what they called and what they were answered, and [`verify`] compares both with the databases.
//!
//! Nothing here shares code with NEXUS: own SQL, own reading of the workflow, own fold of the history. A mistake that
//! both made would have to be made twice.

mod checks;
mod database;
mod document;
mod earlier;
mod findings;
mod fold;
pub mod ledger;
pub mod shards;
pub mod witness;

use std::path::{Path, PathBuf};

pub use earlier::{Lacking, lacking};
pub use findings::{Breach, Findings, Invariant};

/// Where NEXUS stores.
#[derive(Debug, Clone)]
pub enum Source {
    /// A data directory: `execution.db` and `definitions.db`.
    Directory(PathBuf),
    /// The address of a mesh's Postgres.
    Postgres(String),
}

impl Default for Source {
    fn default() -> Self {
        Self::Directory(PathBuf::new())
    }
}

/// What is compared.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// What NEXUS has stored.
    pub source: Source,
    /// The witness's file; without it only what the databases say of themselves is checked.
    pub witness: Option<PathBuf>,
    /// The clients' ledger; the same.
    pub ledger: Option<PathBuf>,
    /// What was seen of the shards in the course of time (see [`shards`]); only a mesh has that.
    pub shards: Option<PathBuf>,
    /// Since when nothing was asked any more, in nanoseconds since the epoch. Then everything must have ended.
    pub quiet_since: Option<i64>,
    /// How long before its process died an attempt may have begun without being stored, in milliseconds: leases ride
    /// along with a later commit (25 ms), and that commit takes its time.
    pub lazy_ms: Option<i64>,
    /// The processes' clocks were set wrong on purpose: what they wrote tells no order of time, only numbers do.
    pub wrong_clocks: bool,
}

/// Attempts that began this long before the death of their process must be stored.
const LAZY_MS: i64 = 1_000;

/// The inputs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A database cannot be read.
    #[error("{path} cannot be read: {source}")]
    Database {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// Something in a file is not what it should be.
    #[error("{path}: {problem}")]
    Content {
        /// Which.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl VerifyError {
    fn content(path: &Path, problem: impl Into<String>) -> Self {
        Self::Content {
            path: path.display().to_string(),
            problem: problem.into(),
        }
    }
}

/// Everything that is compared, read into memory.
struct Case {
    database: database::Database,
    witness: witness::Log,
    ledger: ledger::Calls,
    shards: Vec<shards::Seen>,
    has_witness: bool,
    has_ledger: bool,
    quiet_since: Option<i64>,
    lazy_ns: i64,
    wrong_clocks: bool,
}

/// Compares everything; what was found.
///
/// # Errors
/// When something cannot be read.
pub async fn verify(inputs: &Inputs) -> Result<Findings, VerifyError> {
    let database = database::read(&inputs.source).await?;
    let witness = inputs
        .witness
        .as_deref()
        .map(witness::Log::read)
        .transpose()?
        .unwrap_or_default();
    let ledger = inputs
        .ledger
        .as_deref()
        .map(ledger::Calls::read)
        .transpose()?
        .unwrap_or_default();
    let shards = inputs
        .shards
        .as_deref()
        .map(shards::read)
        .transpose()?
        .unwrap_or_default();
    let case = Case {
        shards,
        database,
        witness,
        ledger,
        has_witness: inputs.witness.is_some(),
        has_ledger: inputs.ledger.is_some(),
        quiet_since: inputs.quiet_since,
        lazy_ns: inputs.lazy_ms.unwrap_or(LAZY_MS) * 1_000_000,
        wrong_clocks: inputs.wrong_clocks,
    };
    let mut findings = Findings::default();
    checks::all(&case, &mut findings);
    Ok(findings)
}

//! Faults, really injected, and the verdict of `nexus-verify` over each run. See `docs/faults.md`.

mod kills;
mod points;

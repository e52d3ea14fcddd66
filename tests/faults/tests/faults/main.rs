//! Faults, really injected, and the verdict of `nexus-verify` over each run. See `docs/faults.md`.

mod disks;
mod freezes;
mod kills;
mod points;
mod stops;
mod torn;

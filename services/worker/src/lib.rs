//! Leases tasks over nexus.worker.v1 and runs them.

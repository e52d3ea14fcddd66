//! Workflows and their immutable revisions.

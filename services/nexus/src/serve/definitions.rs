//! The role definitions: workflows and their revisions, on Postgres.

use super::ServeError;
use super::frame::Frame;
use super::role::Role;

/// Starts the role: opens the store, offers the service to roles of the same process, and says when it is ready.
#[expect(clippy::unused_async, reason = "opening a store waits")]
pub(super) async fn start(_frame: &Frame) -> Result<Box<dyn Role>, ServeError> {
    Err(ServeError::NotAvailable("definitions"))
}

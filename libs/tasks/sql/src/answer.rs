//! Takes a statement's answer in. A statement that may write is read to its end even when its answer is of no use any
//! more: cut short, it would have taken effect or not, and nobody could say which.

use std::future::Future;
use std::time::Duration;

use super::failure;
use super::table::{Cell, Table};
use nexus_attempt::Failure;

/// How long saying goodbye to a server may take; the answer is there already.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The answer so far, or why there will be none.
pub(super) struct Answer {
    pub(super) table: Table,
    reads: bool,
    failed: Option<Failure>,
}

impl Answer {
    /// `reads`: the statement is known to change nothing.
    pub(super) fn new(table: Table, reads: bool) -> Self {
        Self {
            table,
            reads,
            failed: None,
        }
    }

    /// Takes a row. An error ends the statement at once; what `note` keeps is told when it has run.
    pub(super) fn row(&mut self, cells: impl FnOnce() -> Result<Vec<Cell>, Failure>) -> Result<(), Failure> {
        if self.failed.is_some() {
            return Ok(());
        }
        let taken = cells().and_then(|cells| self.table.push(&cells));
        taken.or_else(|failure| self.note(failure))
    }

    /// Notes that the answer is of no use: an error for a statement that only reads, which need not go on.
    pub(super) fn note(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.reads {
            return Err(failure::after(failure, true));
        }
        self.failed.get_or_insert(failure);
        Ok(())
    }

    /// Forgets what came, for a result that takes its place.
    pub(super) fn begin_again(&mut self) {
        self.table.begin_again();
        self.failed = None;
    }

    pub(super) fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// What an error of the driver means while the statement runs.
    pub(super) fn broke(&self, error: &sqlx::Error) -> Failure {
        failure::during(error, self.reads)
    }

    /// What a failure means after the statement has run.
    pub(super) fn unread(&self, failure: Failure) -> Failure {
        failure::after(failure, self.reads)
    }

    /// The answer of a statement that has run to its end.
    pub(super) fn done(self) -> Result<Table, Failure> {
        match self.failed {
            Some(failure) => Err(failure::after(failure, self.reads)),
            None => Ok(self.table),
        }
    }
}

/// Says goodbye to a server. What goes wrong here changes nothing: the statement has run and its answer is there.
pub(super) async fn close(closing: impl Future<Output = Result<(), sqlx::Error>>) {
    match tokio::time::timeout(CLOSE_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %error, "a database connection did not close well"),
        Err(_) => tracing::debug!("a database connection does not close"),
    }
}

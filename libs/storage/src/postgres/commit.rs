//! Commits whose answer may be lost.
//!
//! Each leaves a mark of its own, in the same transaction. Whoever does not hear the answer writes the mark itself, as one
//! of a lost commit: if that succeeds, the commit was none and never becomes one; if the mark is there already, it was
//! one. The fate that the server keeps of a transaction's number (`pg_xact_status`) would cost no row, but a server gives
//! numbers out again that were lost in a crash, or with the server that it took over from.

use std::time::Duration;

use sqlx::{Postgres, Row, Transaction};

use super::Database;
use crate::retry::{Budget, retry};
use crate::{Error, ErrorKind};

/// Time to find out what became of a commit.
const SETTLING: Duration = Duration::from_secs(5);

/// What a schema needs for [`Database::commit`]; belongs into its migrations.
pub const COMMITS: &str = "\
CREATE TABLE commits (
    id   uuid        PRIMARY KEY,
    -- Written by somebody who waited for the answer in vain; the transaction can commit no more.
    lost boolean     NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commits_at ON commits (at);
";

/// Leaves a mark, and takes some away that nobody asks for any more.
const MARK: &str = "\
WITH old AS (
    SELECT id FROM commits WHERE at < now() - interval '1 day' ORDER BY at LIMIT 10 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM commits WHERE id IN (SELECT id FROM old)
)
INSERT INTO commits (id, lost) VALUES (gen_random_uuid(), false) RETURNING id::text";

/// Waits for the transaction that writes the same mark, if there is one.
const SETTLE: &str = "\
INSERT INTO commits (id, lost) VALUES ($1::uuid, true)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING lost";

impl Database {
    /// Commits, and finds out what became of the commit when its answer is lost, also when the server crashed meanwhile or
    /// another one took over. Costs one round trip and one row more than a plain commit. The schema has [`COMMITS`].
    ///
    /// # Errors
    /// When it was surely not committed; [`Error::Unsettled`] when that is not known.
    pub async fn commit(&self, mut transaction: Transaction<'static, Postgres>) -> Result<(), Error> {
        let mark: String = sqlx::query(MARK).fetch_one(&mut *transaction).await?.try_get(0)?;
        let Err(lost) = transaction.commit().await else {
            return Ok(());
        };
        if crate::error::classify(&lost) != ErrorKind::Transient {
            return Err(lost.into());
        }
        match self.settle(&mark).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost.into()),
            Err(_) => Err(Error::Unsettled { source: lost }),
        }
    }

    /// Whether the transaction that left a mark was committed; if not, it never is.
    async fn settle(&self, mark: &str) -> Result<bool, Error> {
        let budget = Budget {
            total: SETTLING,
            ..Budget::default()
        };
        retry(budget, || async {
            let row = sqlx::query(SETTLE).bind(mark).fetch_one(&self.writer).await?;
            let lost: bool = row.try_get(0)?;
            Ok(!lost)
        })
        .await
    }
}

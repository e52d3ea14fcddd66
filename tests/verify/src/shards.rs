//! Who owned which shard when, written down while a mesh runs: the database alone knows only how it stands now.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, Row};
use tokio::time::{sleep, timeout};

use crate::VerifyError;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// How long an answer may take: the database may have gone without a word.
const ANSWER: Duration = Duration::from_secs(2);

/// How a shard stood when that had changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which shard.
    pub shard: i64,
    /// Who owned it; empty for nobody.
    pub owner: String,
    /// Its epoch.
    pub epoch: i64,
}

/// Writes every change of the shards into a file, until it is dropped. A database that is away is asked again.
///
/// # Errors
/// When the file cannot be written.
pub async fn watch(url: &str, file: &Path) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    let mut known: Vec<Seen> = Vec::new();
    loop {
        let Ok(Ok(mut connection)) = timeout(ANSWER, PgConnection::connect(url)).await else {
            sleep(LOOK).await;
            continue;
        };
        while let Ok(Ok(now)) = timeout(ANSWER, look(&mut connection)).await {
            for seen in now.iter().filter(|seen| !known.contains(seen)) {
                let mut line = serde_json::to_string(seen)?;
                line.push('\n');
                file.write_all(line.as_bytes())?;
            }
            known = now;
            sleep(LOOK).await;
        }
    }
}

async fn look(connection: &mut PgConnection) -> Result<Vec<Seen>, sqlx::Error> {
    let statement = "SELECT id::bigint, coalesce(owner::text, ''), epoch FROM execution.shards ORDER BY id";
    let rows = sqlx::query(statement).fetch_all(connection).await?;
    let seen = |row: &sqlx::postgres::PgRow| {
        Ok(Seen {
            shard: row.try_get(0)?,
            owner: row.try_get(1)?,
            epoch: row.try_get(2)?,
        })
    };
    rows.iter().map(seen).collect()
}

pub(crate) fn read(path: &Path) -> Result<Vec<Seen>, VerifyError> {
    let text = std::fs::read_to_string(path).map_err(|source| VerifyError::File {
        path: path.display().to_string(),
        source,
    })?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let seen = |(line, number): (&str, usize)| {
        serde_json::from_str(line).map_err(|error| VerifyError::content(path, format!("line {number}: {error}")))
    };
    whole.lines().zip(1..).map(seen).collect()
}

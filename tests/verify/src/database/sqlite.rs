//! The databases of one process: `execution.db` and `definitions.db` of a data directory.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection, TypeInfo, ValueRef};

use super::{Cell, Cells, Database, Reader, read_documents, read_executions};
use crate::VerifyError;

/// Reads both files.
pub(super) async fn read(directory: &Path, database: &mut Database) -> Result<(), VerifyError> {
    let path = directory.join("execution.db");
    let mut reader = open(&path, "execution.db", database).await?;
    let path = path.display().to_string();
    let failed = |source| VerifyError::Database {
        path: path.clone(),
        source,
    };
    // One snapshot over all tables, also while NEXUS writes.
    reader.run("BEGIN").await.map_err(failed)?;
    read_executions(&mut reader, database).await.map_err(failed)?;
    reader.run("COMMIT").await.map_err(failed)?;
    let path = directory.join("definitions.db");
    let mut reader = open(&path, "definitions.db", database).await?;
    read_documents(&mut reader, database, &path.display().to_string(), "revisions").await
}

struct Sqlite(SqliteConnection);

/// Opens a file and notes what SQLite itself says of it.
async fn open(path: &Path, name: &str, database: &mut Database) -> Result<Sqlite, VerifyError> {
    let failed = |source| VerifyError::Database {
        path: path.display().to_string(),
        source,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(std::time::Duration::from_secs(10));
    let mut reader = Sqlite(options.connect().await.map_err(failed)?);
    let rows = reader.rows("PRAGMA integrity_check(5)").await.map_err(failed)?;
    let lines: Vec<String> = rows.iter().map(|row| row.text(0)).collect();
    database.integrity.push((name.to_owned(), lines.join("; ")));
    Ok(reader)
}

impl Sqlite {
    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut self.0).await.map(drop)
    }
}

impl Reader for Sqlite {
    fn id(column: &str) -> String {
        format!("lower(hex({column}))")
    }

    async fn rows(&mut self, statement: &str) -> Result<Vec<Cells>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(statement.to_owned()));
        rows.fetch_all(&mut self.0).await?.iter().map(cells).collect()
    }
}

/// A value has a type of its own, whatever its column is declared as.
fn cells(row: &SqliteRow) -> Result<Cells, sqlx::Error> {
    let cell = |place| {
        let value = row.try_get_raw(place)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        match value.type_info().name() {
            "INTEGER" => row.try_get(place).map(Cell::Number),
            _ => row.try_get_unchecked(place).map(Cell::Text),
        }
    };
    (0..row.len()).map(cell).collect::<Result<_, _>>().map(Cells)
}

//! The database of a mesh: the schemas `execution` and `definitions`.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, TypeInfo, ValueRef};

use super::{Cell, Cells, Database, Reader, read_documents, read_executions};
use crate::VerifyError;

/// Reads both schemas.
pub(super) async fn read(url: &str, database: &mut Database) -> Result<(), VerifyError> {
    // The address may hold a password.
    let place = url.rsplit('@').next().unwrap_or_default().to_owned();
    let failed = |source| VerifyError::Database {
        path: place.clone(),
        source,
    };
    let mut reader = Postgres(PgConnection::connect(url).await.map_err(failed)?);
    for statement in [
        "SET search_path TO execution",
        // One snapshot over all tables, also while NEXUS writes.
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    ] {
        sqlx::query(statement).execute(&mut reader.0).await.map_err(failed)?;
    }
    read_executions(&mut reader, database).await.map_err(failed)?;
    let replicas = reader.rows("SELECT owner::text FROM replicas").await.map_err(failed)?;
    database.replicas = Some(replicas.iter().map(|row| row.text(0)).collect());
    read_documents(&mut reader, database, &place, "definitions.revisions").await
}

struct Postgres(PgConnection);

impl Reader for Postgres {
    fn id(column: &str) -> String {
        format!("{column}::text")
    }

    async fn rows(&mut self, statement: &str) -> Result<Vec<Cells>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(statement.to_owned()));
        rows.fetch_all(&mut self.0).await?.iter().map(cells).collect()
    }
}

fn cells(row: &PgRow) -> Result<Cells, sqlx::Error> {
    let cell = |column: &sqlx::postgres::PgColumn| {
        let place = column.ordinal();
        if row.try_get_raw(place)?.is_null() {
            return Ok(Cell::Null);
        }
        Ok(match column.type_info().name() {
            "INT8" => Cell::Number(row.try_get(place)?),
            "INT4" => Cell::Number(row.try_get::<i32, _>(place)?.into()),
            "INT2" => Cell::Number(row.try_get::<i16, _>(place)?.into()),
            _ => Cell::Text(row.try_get(place)?),
        })
    };
    row.columns().iter().map(cell).collect::<Result<_, _>>().map(Cells)
}

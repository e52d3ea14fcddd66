//! Leases whose workers have not been heard of for a while.

use nexus_execution_store::{LeaseToken, Silence, StoreError};
use nexus_storage::postgres::Database;
use sqlx::Row;

use super::database;

/// Notes them; one that is noted already keeps its beginning. Takes away what is too old to be of use to anybody.
pub(super) async fn note(store: &Database, silences: &[Silence]) -> Result<(), StoreError> {
    let shards = silences.iter().map(|silence| shard(&silence.token));
    sqlx::query(
        "WITH old AS (
             DELETE FROM silences WHERE shard = ANY($2) AND since < now() - interval '1 hour'
         )
         INSERT INTO silences (token, shard, since)
         SELECT token, shard, now() - age * interval '1 microsecond'
         FROM unnest($1::text[], $2::smallint[], $3::bigint[]) AS noted (token, shard, age)
         ON CONFLICT (token) DO NOTHING",
    )
    .bind(
        silences
            .iter()
            .map(|silence| silence.token.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(shards.collect::<Vec<_>>())
    .bind(silences.iter().map(|silence| silence.age).collect::<Vec<_>>())
    .execute(store.writer())
    .await
    .map_err(database)?;
    Ok(())
}

/// Takes notes back.
pub(super) async fn forget(store: &Database, tokens: &[LeaseToken]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM silences WHERE token = ANY($1::text[])")
        .bind(tokens.iter().map(LeaseToken::as_str).collect::<Vec<_>>())
        .execute(store.writer())
        .await
        .map_err(database)?;
    Ok(())
}

/// What is noted of some shards.
pub(super) async fn list(store: &Database, shards: &[u16]) -> Result<Vec<Silence>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| number(*shard)).collect();
    let rows = sqlx::query(
        "SELECT token, (extract(epoch FROM now() - since) * 1000000)::bigint FROM silences WHERE shard = ANY($1)",
    )
    .bind(shards)
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    let silence = |row: &sqlx::postgres::PgRow| {
        let token: &str = row.try_get(0)?;
        Ok(Silence {
            token: LeaseToken::from(token),
            age: row.try_get(1)?,
        })
    };
    rows.iter()
        .map(silence)
        .collect::<Result<_, sqlx::Error>>()
        .map_err(database)
}

fn shard(token: &LeaseToken) -> i16 {
    token.shard().map_or(-1, number)
}

fn number(shard: u16) -> i16 {
    i16::try_from(shard).unwrap_or(-1)
}

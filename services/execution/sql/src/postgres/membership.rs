//! Replicas and shards. Every statement stands alone, so each look at the membership costs one round trip.
//!
//! What shuts an old owner out is its row: a commit holds it (`FOR KEY SHARE`), and whoever takes the owner out deletes
//! it, which waits for a commit under way and makes every later one find nothing. Renewing the row changes no key, so
//! renewals and commits do not wait for each other.

use std::time::Duration;

use nexus_execution_store::membership::{Replica, View};
use nexus_execution_store::{Fence, SHARDS, StoreError};
use nexus_storage::postgres::Database;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::database;

pub(super) async fn claim(store: &Database, owner: Uuid) -> Result<Fence, StoreError> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM replicas")
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    let row = sqlx::query(
        "INSERT INTO replicas (owner, epoch, address, draining, expires_at, feeds)
         VALUES ($1, nextval('epochs'), '', false, 'infinity', true) RETURNING epoch",
    )
    .bind(owner)
    .fetch_one(&mut *transaction)
    .await
    .map_err(database)?;
    sqlx::query("UPDATE shards SET owner = $1, epoch = epoch + 1")
        .bind(owner)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    fence(owner, &row)
}

pub(super) async fn join(store: &Database, replica: &Replica, lease: Duration) -> Result<Fence, StoreError> {
    let row = sqlx::query(
        "INSERT INTO replicas (owner, epoch, address, draining, expires_at, feeds)
         VALUES ($1, nextval('epochs'), $2, $3, clock_timestamp() + $4 * interval '1 second', true)
         ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at RETURNING epoch",
    )
    .bind(replica.owner)
    .bind(&replica.address)
    .bind(replica.draining)
    .bind(lease.as_secs_f64())
    .fetch_one(store.writer())
    .await
    .map_err(database)?;
    fence(replica.owner, &row)
}

pub(super) async fn renew(store: &Database, replica: &Replica, lease: Duration) -> Result<View, StoreError> {
    let row = sqlx::query(RENEW)
        .bind(replica.owner)
        .bind(&replica.address)
        .bind(replica.draining)
        .bind(lease.as_secs_f64())
        .fetch_one(store.writer())
        .await
        .map_err(database)?;
    if !row.try_get::<bool, _>(0).map_err(database)? {
        return Err(StoreError::Fenced);
    }
    view(&row, replica).map_err(database)
}

/// Replicas whose lease is over go, and with them what they own. The rest of the statement sees the rows as they were
/// before, so what has gone is left out by hand.
const RENEW: &str = "
    WITH mine AS (
        -- Under one name nobody who drains stops draining: a word to the contrary was under way for long.
        UPDATE replicas SET address = $2, draining = draining OR $3, expires_at = clock_timestamp() + $4 * interval '1 second'
        WHERE owner = $1 RETURNING owner
    ), gone AS (
        DELETE FROM replicas WHERE owner <> $1 AND expires_at < clock_timestamp() RETURNING owner
    ), freed AS (
        UPDATE shards SET owner = NULL
        WHERE owner IN (SELECT owner FROM gone) OR (owner IS NOT NULL AND owner NOT IN (SELECT owner FROM replicas))
        RETURNING id
    ), here AS (
        SELECT owner, address, draining, expires_at FROM replicas
        WHERE owner NOT IN (SELECT owner FROM gone) AND owner <> $1 ORDER BY owner
    )
    SELECT EXISTS (SELECT 1 FROM mine),
           (SELECT coalesce(array_agg(owner), '{}') FROM here),
           (SELECT coalesce(array_agg(address), '{}') FROM here),
           (SELECT coalesce(array_agg(draining), '{}') FROM here),
           (SELECT array_agg(CASE WHEN id IN (SELECT id FROM freed) THEN NULL ELSE owner END ORDER BY id) FROM shards),
           (SELECT extract(epoch FROM min(expires_at) - clock_timestamp())::double precision FROM here)";

fn view(row: &PgRow, me: &Replica) -> Result<View, sqlx::Error> {
    let owners: Vec<Uuid> = row.try_get(1)?;
    let addresses: Vec<String> = row.try_get(2)?;
    let draining: Vec<bool> = row.try_get(3)?;
    let others = owners.into_iter().zip(addresses).zip(draining);
    let others = others.map(|((owner, address), draining)| Replica {
        owner,
        address,
        draining,
    });
    let mut replicas: Vec<Replica> = others.chain([me.clone()]).collect();
    replicas.sort_by_key(|replica| replica.owner);
    let left: Option<f64> = row.try_get(5)?;
    Ok(View {
        replicas,
        owners: row.try_get(4)?,
        // A replica that is there for ever has no end that fits.
        next_expiry: left.and_then(|left| Duration::try_from_secs_f64(left.max(0.0)).ok()),
    })
}

pub(super) async fn acquire(store: &Database, owner: Uuid, shards: &[u16]) -> Result<Vec<u16>, StoreError> {
    let rows = sqlx::query(
        "WITH member AS (SELECT owner FROM replicas WHERE owner = $1 FOR KEY SHARE),
              free AS (SELECT id FROM shards WHERE owner IS NULL AND id = ANY($2) ORDER BY id FOR UPDATE SKIP LOCKED)
         UPDATE shards SET owner = $1, epoch = epoch + 1
         WHERE id IN (SELECT id FROM free) AND EXISTS (SELECT 1 FROM member) RETURNING id",
    )
    .bind(owner)
    .bind(numbers(shards))
    .fetch_all(store.writer())
    .await
    .map_err(database)?;
    let id = |row: &PgRow| row.try_get::<i32, _>(0).map_err(database);
    let ids: Result<Vec<i32>, _> = rows.iter().map(id).collect();
    Ok(ids?
        .into_iter()
        .filter_map(|id| u16::try_from(id).ok())
        .filter(|id| *id < SHARDS)
        .collect())
}

pub(super) async fn release(store: &Database, owner: Uuid, shards: &[u16]) -> Result<(), StoreError> {
    sqlx::query("UPDATE shards SET owner = NULL WHERE owner = $1 AND id = ANY($2)")
        .bind(owner)
        .bind(numbers(shards))
        .execute(store.writer())
        .await
        .map_err(database)
        .map(drop)
}

pub(super) async fn leave(store: &Database, owner: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "WITH gone AS (DELETE FROM replicas WHERE owner = $1 RETURNING owner)
         UPDATE shards SET owner = NULL WHERE owner IN (SELECT owner FROM gone)",
    )
    .bind(owner)
    .execute(store.writer())
    .await
    .map_err(database)
    .map(drop)
}

fn fence(owner: Uuid, row: &PgRow) -> Result<Fence, StoreError> {
    Ok(Fence {
        owner,
        epoch: row.try_get(0).map_err(database)?,
    })
}

fn numbers(shards: &[u16]) -> Vec<i32> {
    shards.iter().map(|shard| i32::from(*shard)).collect()
}

/// The name of the mesh: a number of its own, and the database's name, since a copy has the same number.
pub(super) async fn mesh(store: &Database) -> Result<String, StoreError> {
    sqlx::query_scalar("SELECT id::text || '@' || current_database() FROM mesh LIMIT 1")
        .fetch_one(store.reader())
        .await
        .map_err(database)
}

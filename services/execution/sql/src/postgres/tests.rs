//! What only a database that many replicas share has to do: the membership, and shutting out who was taken out.

mod namespaces;

use std::time::Duration;

use nexus_execution_store::samples::fresh;
use nexus_execution_store::{Ids, SHARDS};
use sqlx::Row;
use uuid::Uuid;

use super::*;
use crate::suite::in_postgres;

const LEASE: Duration = Duration::from_secs(60);
const OVER: Duration = Duration::ZERO;

fn replica(name: u128) -> Replica {
    Replica {
        owner: Uuid::from_u128(name),
        address: format!("http://replica-{name}"),
        draining: false,
    }
}

async fn store() -> PostgresStore {
    in_postgres(std::path::Path::new("")).await.expect("a store")
}

fn all() -> Vec<u16> {
    (0..SHARDS).collect()
}

/// An execution of some shard of those given.
fn execution_in(shards: &[u16]) -> ExecutionId {
    Ids::system().execution_in(shards)
}

#[tokio::test]
async fn shards_have_one_owner_however_many_ask() {
    let store = store().await;
    let (one, two) = (replica(1), replica(2));
    store.join(&one, LEASE).await.expect("join");
    store.join(&two, LEASE).await.expect("join");
    let (shards, again) = (all(), all());
    let asked = tokio::join!(store.acquire(one.owner, &shards), store.acquire(two.owner, &again));
    let mut taken = [asked.0.expect("acquire"), asked.1.expect("acquire")].concat();
    // A shard that both reached for at once may have been left to the next look.
    taken.extend(store.acquire(one.owner, &shards).await.expect("acquire"));
    taken.sort_unstable();
    assert_eq!(taken, all());
    let view = store.renew(&one, LEASE).await.expect("renew");
    assert_eq!(view.replicas, [one.clone(), two.clone()]);
    assert!(view.owners.iter().all(Option::is_some));
    store.release(one.owner, &shards).await.expect("release");
    let view = store.renew(&two, LEASE).await.expect("renew");
    assert!(view.owners.iter().all(|owner| *owner != Some(one.owner)));
    store.leave(two.owner).await.expect("leave");
    let view = store.renew(&one, LEASE).await.expect("renew");
    assert_eq!((view.replicas.len(), view.owners), (1, vec![None; 64]));
}

#[tokio::test]
async fn who_is_silent_is_taken_out_and_shut_out() {
    let store = store().await;
    let (one, two) = (replica(1), replica(2));
    let old = store.join(&one, OVER).await.expect("join");
    assert_eq!(store.acquire(one.owner, &all()).await.expect("acquire").len(), 64);
    let id = execution_in(&[]);
    store
        .commit(old, &[fresh(id)])
        .await
        .expect("nobody has taken it out yet");
    let new = store.join(&two, LEASE).await.expect("join");
    assert!(new.epoch > old.epoch);
    let refused = store.commit(new, &[fresh(execution_in(&[]))]).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "it owns nothing yet");
    let view = store.renew(&two, LEASE).await.expect("renew");
    assert_eq!((view.replicas, view.owners), (vec![two.clone()], vec![None; 64]));
    let refused = store
        .commit(old, &[fresh(execution_in(&[]))])
        .await
        .expect_err("shut out");
    assert!(matches!(refused, StoreError::Fenced), "{refused}");
    let refused = store.renew(&one, LEASE).await.expect_err("taken out");
    assert!(matches!(refused, StoreError::Fenced), "{refused}");
    assert!(store.acquire(one.owner, &all()).await.expect("acquire").is_empty());
    assert_eq!(store.acquire(two.owner, &[5]).await.expect("acquire"), [5]);
    store
        .commit(new, &[fresh(execution_in(&[5]))])
        .await
        .expect("its own shard");
    let refused = store
        .commit(new, &[fresh(execution_in(&[6]))])
        .await
        .expect_err("another");
    assert!(matches!(refused, StoreError::Fenced), "{refused}");
}

#[tokio::test]
async fn a_commit_under_way_is_waited_for_before_its_writer_is_taken_out() {
    let store = store().await;
    let (one, two) = (replica(1), replica(2));
    let fence = store.join(&one, OVER).await.expect("join");
    store.acquire(one.owner, &all()).await.expect("acquire");
    store.join(&two, LEASE).await.expect("join");
    // What a commit does first, held open.
    let mut commit = store.database.begin().await.expect("begin");
    sqlx::query("SELECT owner FROM replicas WHERE owner = $1 AND epoch = $2 FOR KEY SHARE")
        .bind(fence.owner)
        .bind(fence.epoch)
        .fetch_one(&mut *commit)
        .await
        .expect("its row");
    let renewed = tokio::time::timeout(Duration::from_secs(5), store.renew(&one, OVER)).await;
    renewed.expect("a renewal does not wait for commits").expect("renew");
    let mut taking_out = tokio::spawn({
        let (store, two) = (store.clone(), two.clone());
        async move { store.renew(&two, LEASE).await }
    });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut taking_out).await;
    assert!(early.is_err(), "it waits for the commit");
    commit.commit().await.expect("commit");
    let view = taking_out.await.expect("join").expect("renew");
    assert_eq!(view.owners, vec![None; 64]);
}

#[tokio::test]
async fn an_ambiguous_commit_is_recognised_when_it_comes_again() {
    let store = store().await;
    let one = replica(1);
    let fence = store.join(&one, LEASE).await.expect("join");
    store.acquire(one.owner, &all()).await.expect("acquire");
    let batch: Vec<Change> = (0..20).map(|_| fresh(execution_in(&[]))).collect();
    store.commit(fence, &batch).await.expect("commit");
    store.commit(fence, &batch).await.expect("the same again");
    let rows: i64 = sqlx::query("SELECT count(*) FROM history")
        .fetch_one(store.database.reader())
        .await
        .expect("count")
        .get(0);
    assert_eq!(rows, 40, "two events each, once");
}

#[tokio::test]
async fn the_hot_statement_walks_indexes_however_large_the_tables_are() {
    let store = store().await;
    let fence = store.claim(Uuid::from_u128(1)).await.expect("claim");
    for _ in 0..20 {
        let batch: Vec<Change> = (0..100).map(|_| fresh(execution_in(&[]))).collect();
        store.commit(fence, &batch).await.expect("commit");
    }
    sqlx::query("ANALYZE")
        .execute(store.database.writer())
        .await
        .expect("analyze");
    let rows = sqlx::query(
        "EXPLAIN SELECT known.id FROM unnest($1::uuid[], $2::bigint[]) AS fresh (id, before)
         LEFT JOIN executions known ON known.id = fresh.id WHERE coalesce(known.sequence, 0) <> fresh.before LIMIT 1",
    )
    .bind(vec![Uuid::nil(); 3])
    .bind(vec![0_i64; 3])
    .fetch_all(store.database.writer())
    .await
    .expect("explain");
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(
        plan.contains("executions_pkey") && !plan.contains("Seq Scan on executions"),
        "{plan}"
    );
}

#[tokio::test]
async fn how_long_a_worker_is_silent_is_noted_once_and_taken_back() {
    let store = store().await;
    let silence = |token: &str, seconds: i64| Silence {
        token: token.into(),
        age: seconds * 1_000_000,
    };
    let ages = async |shards: &[u16]| {
        let silences = store.silences(shards).await.expect("silences");
        let seconds = silences
            .iter()
            .map(|silence| (silence.token.to_string(), silence.age / 1_000_000));
        let mut seconds: Vec<(String, i64)> = seconds.collect();
        seconds.sort_unstable();
        seconds
    };
    assert_eq!(ages(&all()).await, []);
    let noted = [silence("00a", 10), silence("01b", 20)];
    store.note_silences(&noted).await.expect("note");
    store.note_silences(&[silence("00a", 7)]).await.expect("again");
    let (first, second) = (("00a".to_owned(), 10), ("01b".to_owned(), 20));
    assert_eq!(ages(&[0, 1]).await, [first, second.clone()], "it keeps its beginning");
    assert_eq!(ages(&[1]).await, [second]);
    store.forget_silences(&["01b".into()]).await.expect("forget");
    assert_eq!(ages(&[1]).await, []);
    // What nobody took back goes with the next note of its shard.
    store.note_silences(&[silence("02c", 4_000)]).await.expect("note");
    store.note_silences(&[silence("02d", 8)]).await.expect("note");
    assert_eq!(ages(&[2]).await, [("02d".to_owned(), 8)]);
}

//! A database of before namespaces goes on in `default`, and programs of before go on beside those that know them.

use nexus_execution_store::samples::{claimed, finished, fresh, id};
use nexus_execution_store::{Change, RequestKey};
use nexus_storage::postgres::Options;

use super::super::*;

/// How a program of before namespaces writes a start.
const START_BEFORE: &str = "
    INSERT INTO executions (id, shard, state, closing, revision, sequence, created_at, started_at, finished_at, workflow,
                            closing_reason, labels, traceparent, failure)
    VALUES ($1, $2, 1, 0, 3, 2, 1000, NULL, NULL, 'w', '', '{}', '', NULL)";
const PARAMS_BEFORE: &str = "INSERT INTO params (execution, value) VALUES ($1, '{}')";
const REQUEST_BEFORE: &str =
    "INSERT INTO requests (key, fingerprint, execution, created_at) VALUES ($2, 'f', $1, 1000)";

async fn start_before(store: &PostgresStore, id: ExecutionId, key: &str) {
    let writer = store.database.writer();
    let shard = i16::try_from(id.shard()).expect("small");
    for statement in [
        sqlx::query(START_BEFORE).bind(id.0).bind(shard),
        sqlx::query(PARAMS_BEFORE).bind(id.0),
        sqlx::query(REQUEST_BEFORE).bind(id.0).bind(key),
    ] {
        statement.execute(writer).await.expect("written as before");
    }
}

#[tokio::test]
async fn a_database_of_before_goes_on_and_so_does_a_program_of_before() {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await.expect("connect");
    let before = &MIGRATIONS[..5];
    store.database.migrate(before).await.expect("the schema of before");
    let (first, second, theirs) = (id(), id(), id());
    start_before(&store, first, "first").await;
    store.migrate().await.expect("migrate");
    store.database.verify(before).await.expect("it breaks nothing");
    start_before(&store, second, "second").await;

    let own = Namespace::default();
    let rows = store.list(&ListFilter::default(), None, 9).await.expect("list");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [second, first]);
    assert!(rows.iter().all(|row| row.namespace == own && row.workflow == "w"));
    for (key, id) in [("first", first), ("second", second)] {
        assert_eq!(
            store.request(&own.key(key)).await.expect("request"),
            Some((id, "f".into()))
        );
    }
    let fence = claimed(&store).await;
    store.commit(fence, &[finished(first)]).await.expect("it goes on");

    // What belongs to another namespace is no workflow's that a program of before could find, nor any of its keys.
    let other: Namespace = "team-a".parse().expect("a namespace");
    let mut start = Change {
        request: RequestKey::of(&other, "first", || "f".to_owned()),
        ..fresh(theirs)
    };
    start.execution.namespace = other;
    store.commit(fence, &[start]).await.expect("the same request id");
    let seen: String = sqlx::query_scalar("SELECT workflow FROM executions WHERE id = $1")
        .bind(theirs.0)
        .fetch_one(store.database.reader())
        .await
        .expect("read as before");
    assert_eq!(seen, "team-a/w");
}

#[tokio::test]
async fn a_list_of_a_namespace_walks_its_index() {
    let store = super::store().await;
    let fence = claimed(&store).await;
    for _ in 0..20 {
        let mut batch: Vec<Change> = (0..100).map(|_| fresh(id())).collect();
        batch[0].execution.namespace = "team-a".parse().expect("a namespace");
        store.commit(fence, &batch).await.expect("commit");
    }
    let writer = store.database.writer();
    sqlx::query("ANALYZE").execute(writer).await.expect("analyze");
    let rows = sqlx::query("EXPLAIN SELECT e.id FROM executions e WHERE e.namespace = $1 ORDER BY e.id DESC LIMIT 10")
        .bind("team-a")
        .fetch_all(writer)
        .await
        .expect("explain");
    let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("executions_by_namespace"), "{plan}");
}

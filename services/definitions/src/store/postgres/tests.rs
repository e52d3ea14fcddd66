//! A database of before namespaces goes on in `default`, and programs of before go on beside those that know them.

use sqlx::Row;

use super::*;

/// How a program of before namespaces writes a workflow and its first revision.
const WRITE_BEFORE: &str = "
    INSERT INTO workflows AS w
        (name, description, labels, latest_revision, task_count, created_at, updated_at, version)
    VALUES ('etl', 'words', '{}'::jsonb, 1, 1, 5, 5, 1)
    ON CONFLICT (name) DO UPDATE SET version = w.version + 1, deleted_at = NULL
    RETURNING version";
const REVISION_BEFORE: &str = "
    INSERT INTO revisions (workflow, number, digest, source, document, message, created_at)
    VALUES ('etl', 1, 'd', 's', '{}', '', 5)";
const REQUEST_BEFORE: &str = "
    INSERT INTO requests (id, fingerprint, workflow, created_at) VALUES ('id', 'f', 'etl', 5) ON CONFLICT DO NOTHING";

async fn put_before(store: &PostgresStore) -> i64 {
    let row = sqlx::query(WRITE_BEFORE).fetch_one(store.database.writer()).await;
    row.expect("a write of before").get(0)
}

#[tokio::test]
async fn a_database_of_before_goes_on_and_so_does_a_program_of_before() {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await.expect("connect");
    let before = &MIGRATIONS[..2];
    store.database.migrate(before).await.expect("the schema of before");
    assert_eq!(put_before(&store).await, 1);
    for statement in [REVISION_BEFORE, REQUEST_BEFORE] {
        sqlx::query(statement)
            .execute(store.database.writer())
            .await
            .expect("written");
    }
    store.migrate().await.expect("migrate");
    let (own, other): (Namespace, Namespace) = (Namespace::default(), "team-a".parse().expect("a namespace"));
    let row = store.workflow(&own, "etl").await.expect("read").expect("there");
    assert_eq!((row.description.as_str(), row.namespace), ("words", own.clone()));
    assert!(store.revision(&own, "etl", 1).await.expect("read").is_some());
    assert!(store.request(&own, "id").await.expect("read").is_some());
    assert_eq!(
        store
            .list(&own, &ListFilter::default(), "", 9)
            .await
            .expect("list")
            .len(),
        1
    );
    assert!(store.workflow(&other, "etl").await.expect("read").is_none());
    // A program of before starts on the newer schema, and its writes go to `default`.
    store.database.verify(before).await.expect("it breaks nothing");
    assert_eq!(put_before(&store).await, 2);
    let row = store.workflow(&own, "etl").await.expect("read").expect("there");
    assert_eq!(row.version, 2);
}

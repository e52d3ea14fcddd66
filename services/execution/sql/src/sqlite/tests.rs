//! A file of before namespaces goes on in `default`.

use nexus_execution_store::samples::{claimed, finished, id};

use super::*;

#[tokio::test]
async fn a_file_of_before_namespaces_goes_on_in_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("execution.db");
    let before = Database::open(&path, Durability::Full, &EXECUTIONS[..3]).await;
    let before = before.expect("the schema of before");
    let id = id();
    let mut transaction = before.begin().await.expect("begin");
    for statement in [
        "INSERT INTO executions VALUES (?1, ?2, 'w', 3, 1, 0, '', '{}', '', 2, 1000, NULL, NULL, NULL)",
        "INSERT INTO params VALUES (?1, iif(?2 < 0, '', '{}'))",
        "INSERT INTO requests VALUES (iif(?2 < 0, '', 'key'), 'f', ?1, 1000)",
    ] {
        let statement = sqlx::query(statement).bind(id.bytes().to_vec()).bind(id.shard());
        statement.execute(&mut *transaction).await.expect("written as before");
    }
    transaction.commit().await.expect("commit");
    before.close().await;

    let store = SqliteStore::open(folder.path()).await.expect("open");
    let rows = store.list(&ListFilter::default(), None, 9).await.expect("list");
    assert_eq!(
        (rows.len(), rows[0].id, &rows[0].namespace),
        (1, id, &Namespace::default())
    );
    let key = Namespace::default().key("key");
    assert_eq!(store.request(&key).await.expect("request"), Some((id, "f".into())));
    assert_eq!(store.open_executions(&[], None, 9).await.expect("open").len(), 1);
    let fence = claimed(&store).await;
    store.commit(fence, &[finished(id)]).await.expect("it goes on");
}

//! What only this adapter does.

use super::*;

#[tokio::test]
async fn a_file_of_before_namespaces_goes_on_in_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("definitions.db");
    let before = Database::open(&path, Durability::Full, &MIGRATIONS[..1]).await;
    let before = before.expect("the schema of before");
    let mut transaction = before.begin().await.expect("begin");
    for statement in [
        "INSERT INTO workflows VALUES ('etl', 'words', '{}', 1, 1, 5, 5, 1, NULL)",
        "INSERT INTO revisions VALUES ('etl', 1, 'd', 's', '{}', '', 5)",
        "INSERT INTO requests VALUES ('id', 'f', 'etl', 5)",
    ] {
        sqlx::query(statement)
            .execute(&mut *transaction)
            .await
            .expect("written");
    }
    transaction.commit().await.expect("commit");
    before.close().await;
    let store = SqliteStore::open(folder.path()).await.expect("open");
    let own = Namespace::default();
    let all = store.list(&own, &ListFilter::default(), "", 9).await.expect("list");
    assert_eq!((all.len(), all[0].name.as_str(), &all[0].namespace), (1, "etl", &own));
    assert!(store.revision(&own, "etl", 1).await.expect("read").is_some());
    assert!(store.request(&own, "id").await.expect("read").is_some());
}

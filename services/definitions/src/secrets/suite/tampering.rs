//! Somebody who can write to the database changes one column of one row, whichever.

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;

use super::{NEW, OLD, Reached, Served, some};

/// What is done to the row of a version.
const VERSION: [&str; 13] = [
    "namespace = 'team-b'",
    "name = 'elsewhere'",
    "version = 1 + version",
    "description = 'harmless'",
    "created_at = 1 + created_at",
    "created_by = 'user:eve'",
    "request = 'another'",
    "key_id = 'new'",
    "key_id = 'gone'",
    "wrapped = (SELECT wrapped FROM secret_versions o WHERE o.name = 'other')",
    "sealed = (SELECT sealed FROM secret_versions o WHERE o.name = 'other')",
    "wrapped = (SELECT wrapped FROM secret_versions o WHERE o.name = secret_versions.name AND o.version = 1)",
    "sealed = (SELECT sealed FROM secret_versions o WHERE o.name = secret_versions.name AND o.version = 1)",
];

/// What is done to the row of a secret.
const SECRET: [&str; 7] = [
    "namespace = 'team-b'",
    "name = 'elsewhere'",
    "version = version - 1",
    "version = version + 1",
    "created_at = 1 + created_at",
    "created_by = 'user:eve'",
    "deleted_at = 5",
];

pub(super) async fn whatever_column_is_changed_is_found(store: &impl Reached) {
    let served = Served::with(store, &format!("{OLD}\n{NEW}"));
    served.set("default", "other", "another value").await;
    let versions = VERSION
        .iter()
        .map(|change| ("secret_versions", *change, " AND version = 2"));
    let secrets = SECRET.iter().map(|change| ("secrets", *change, ""));
    for (number, (table, change, and)) in versions.chain(secrets).enumerate() {
        let name = format!("s{number}");
        served.set("default", &name, "first").await;
        served.set("default", &name, "hunter2").await;
        assert_eq!(
            served.value("default", &name).await.expect("untouched"),
            some("hunter2")
        );
        let changed = store.execute(format!("UPDATE {table} SET {change} WHERE name = '{name}'{and}"));
        assert_eq!(changed.await, 1, "{table}: {change}");
        let found = served.value("default", &name).await.expect_err(change);
        let expected = match change {
            "key_id = 'gone'" => ErrorReason::SecretKeyMissing,
            _ => ErrorReason::SecretDamaged,
        };
        assert_eq!(reason_of(&found), Some(expected), "{table}: {change}");
        assert!(!found.message().contains("hunter2"), "{found}");
        // The names that were taken are free again for the next change.
        store
            .execute(format!("DELETE FROM {table} WHERE name = 'elsewhere'"))
            .await;
        // Setting it again is the way out, but where the row of the secret itself is gone or was moved back.
        if table == "secret_versions" && !change.starts_with("version") {
            assert_eq!(served.set("default", &name, "mended").await.version, 3, "{change}");
            let mended = served.value("default", &name).await;
            assert_eq!(mended.expect(change), some("mended"), "{change}");
        }
    }
    for name in ["one", "two"] {
        served.set("default", name, name).await;
    }
    let swapped = "UPDATE secret_versions SET name = CASE name WHEN 'one' THEN 'x' ELSE name END WHERE name = 'one'";
    store.execute(swapped.to_owned()).await;
    for (from, to) in [("two", "one"), ("x", "two")] {
        store
            .execute(format!(
                "UPDATE secret_versions SET name = '{to}' WHERE name = '{from}'"
            ))
            .await;
    }
    for name in ["one", "two"] {
        let found = served
            .value("default", name)
            .await
            .expect_err("the rows were exchanged");
        assert_eq!(reason_of(&found), Some(ErrorReason::SecretDamaged));
    }
    assert_eq!(
        served.value("default", "other").await.expect("untouched"),
        some("another value")
    );
}

//! What every adapter must do about namespaces: each is as if it were alone.

use nexus_api::Namespace;
use nexus_execution_store::samples::{claimed, finished, fresh, id};
use nexus_execution_store::{Change, ExecutionId, ListFilter, RequestKey, Store};

use super::{in_memory, in_postgres};

fn two() -> [Namespace; 2] {
    [Namespace::default(), "team-a".parse().expect("a namespace")]
}

/// A change of an execution that belongs to a namespace.
fn of(namespace: &Namespace, mut change: Change) -> Change {
    change.execution.namespace = namespace.clone();
    change
}

async fn listed(store: &dyn Store, filter: ListFilter) -> Vec<ExecutionId> {
    let rows = store.list(&filter, None, 10).await.expect("list");
    assert!(
        rows.iter()
            .all(|row| row.namespace == filter.namespace && row.workflow == "w")
    );
    rows.iter().map(|row| row.id).collect()
}

async fn the_same_names_stand_in_each_namespace(store: &dyn Store) {
    let fence = claimed(store).await;
    let [one, other] = two();
    let ids = [id(), id()];
    for (namespace, id) in [(&one, ids[0]), (&other, ids[1])] {
        let start = Change {
            request: RequestKey::of(namespace, "same", || namespace.to_string()),
            ..of(namespace, fresh(id))
        };
        store
            .commit(fence, &[start])
            .await
            .expect("the same workflow, the same request id");
        store
            .commit(fence, &[of(namespace, finished(id))])
            .await
            .expect("its end");
    }
    for (namespace, id) in [(&one, ids[0]), (&other, ids[1])] {
        let row = store.execution(id).await.expect("read").expect("there");
        assert_eq!((&row.namespace, row.workflow.as_str()), (namespace, "w"));
        let known = store.request(&namespace.key("same")).await.expect("request");
        assert_eq!(known, Some((id, namespace.to_string())));
        let filter = ListFilter {
            namespace: namespace.clone(),
            ..ListFilter::default()
        };
        assert_eq!(listed(store, filter.clone()).await, [id]);
        let by_workflow = ListFilter {
            workflow: Some("w".into()),
            ..filter
        };
        assert_eq!(listed(store, by_workflow).await, [id]);
        let (durations, executions) = store.durations(namespace, "w", 10).await.expect("durations");
        assert_eq!((durations.len(), executions), (1, 1), "of its own only");
    }
}

async fn what_is_anothers_is_not_there(store: &dyn Store) {
    let fence = claimed(store).await;
    let [one, other] = two();
    let theirs = id();
    store.commit(fence, &[of(&other, fresh(theirs))]).await.expect("commit");
    let digits = theirs.0.simple().to_string();
    for (namespace, there) in [(&one, false), (&other, true)] {
        let state = store.execution_state(namespace, theirs).await.expect("state");
        assert_eq!(state.is_some(), there, "{namespace}");
        let found = store.ids_with_prefix(namespace, &digits[..12]).await.expect("ids");
        assert_eq!(!found.is_empty(), there, "{namespace}");
    }
    // Nobody reaches into another namespace by writing its name down.
    for typed in ["team-a/w", "default/w"] {
        for namespace in [&one, &other] {
            let filter = ListFilter {
                namespace: namespace.clone(),
                workflow: Some(typed.into()),
                ..ListFilter::default()
            };
            assert!(listed(store, filter).await.is_empty());
            let (durations, executions) = store.durations(namespace, typed, 10).await.expect("durations");
            assert!(durations.is_empty() && executions == 0);
        }
    }
    let open = store.open_executions(&[], None, 10).await.expect("open");
    assert_eq!(open.len(), 1, "an owner has the executions of all");
    assert_eq!(open[0].0.namespace, other);
    store
        .commit(fence, &[of(&other, finished(theirs))])
        .await
        .expect("its end");
    assert_eq!(
        store.purge(i64::MAX, 10).await.expect("purge"),
        1,
        "retention is one for all"
    );
}

nexus_service::conformance! {
    adapters: {
        sqlite: crate::sqlite::SqliteStore::open,
        memory: in_memory,
        postgres: in_postgres,
    },
    tests: [the_same_names_stand_in_each_namespace, what_is_anothers_is_not_there],
}

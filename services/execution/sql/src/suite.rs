//! What every adapter must do: generic over the port, stamped for each adapter below.

mod cost;
mod feed;
mod namespaces;

use nexus_api::Namespace;
use nexus_engine::{ExecutionState, Failure, FailureKind, TaskState};
use nexus_execution_store::samples::{claimed, execution, finished, fresh, id, task};
use nexus_execution_store::{
    Change, ExecutionId, ExecutionRow, Fence, LeaseKey, ListFilter, LogQuery, LogRow, RequestKey, Store, StoreError,
    TaskRow,
};

use nexus_storage::postgres::Options;

use crate::postgres::PostgresStore;

async fn what_is_committed_is_read_back(store: &dyn Store) {
    let fence = claimed(store).await;
    let id = id();
    store.commit(fence, &[fresh(id)]).await.expect("commit");
    assert_eq!(store.execution(id).await.expect("read"), Some(execution(id)));
    assert_eq!(store.open_executions(&[], None, 10).await.expect("open").len(), 1);
    store.commit(fence, &[finished(id)]).await.expect("commit");
    let expected = ExecutionRow {
        params: execution(id).params,
        ..finished(id).execution
    };
    assert_eq!(store.execution(id).await.expect("read"), Some(expected.clone()));
    let state = store.execution_state(&Namespace::default(), id).await.expect("state");
    assert_eq!(state, Some(expected.state));
    let counted = store.counted(id).await.expect("counted");
    assert_eq!(counted, Some((expected, vec![(TaskState::Succeeded, 1)])));
    assert_eq!(store.tasks(id, 0, 10).await.expect("tasks"), finished(id).tasks);
    assert_eq!(
        store.task_counts(&[id]).await.expect("counts"),
        [(id, TaskState::Succeeded, 1)]
    );
    assert!(
        store.open_executions(&[], None, 10).await.expect("open").is_empty(),
        "terminal ones are not loaded"
    );
    let history = store.history(id, None, 0, 10).await.expect("history");
    assert_eq!(history, [fresh(id).events, finished(id).events].concat());
    assert_eq!(
        store.history(id, Some(0), 2, 10).await.expect("history"),
        finished(id).events
    );
    let (here, digits) = (Namespace::default(), id.0.simple().to_string());
    assert_eq!(store.ids_with_prefix(&here, &digits[..12]).await.expect("prefix"), [id]);
    assert!(
        store
            .ids_with_prefix(&here, "ffffffff")
            .await
            .expect("prefix")
            .is_empty()
    );
}

async fn an_older_owner_is_shut_out(store: &dyn Store) {
    let old = claimed(store).await;
    let id = id();
    store.commit(old, &[fresh(id)]).await.expect("commit");
    let new = claimed(store).await;
    assert!(new.epoch > old.epoch);
    let refused = store.commit(old, &[finished(id)]).await.expect_err("fenced");
    assert!(matches!(refused, StoreError::Fenced), "{refused}");
    let impostor = Fence {
        epoch: new.epoch,
        ..old
    };
    let refused = store
        .commit(impostor, &[finished(id)])
        .await
        .expect_err("the right epoch of another owner");
    assert!(matches!(refused, StoreError::Fenced), "{refused}");
    store.commit(new, &[finished(id)]).await.expect("the new owner may");
}

async fn a_batch_is_written_whole_or_not_at_all_and_once(store: &dyn Store) {
    let fence = claimed(store).await;
    let (first, second) = (id(), id());
    store.commit(fence, &[fresh(first)]).await.expect("commit");
    store
        .commit(fence, &[fresh(first)])
        .await
        .expect("a repeated batch is recognised");
    let stale = Change {
        before: 7,
        ..finished(first)
    };
    let stale = Change {
        execution: ExecutionRow {
            sequence: 8,
            ..stale.execution
        },
        ..stale
    };
    let refused = store
        .commit(fence, &[stale, fresh(second)])
        .await
        .expect_err("conflict");
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
    assert_eq!(
        store.execution(second).await.expect("read"),
        None,
        "nothing of the batch was written"
    );
    assert_eq!(store.history(first, None, 0, 10).await.expect("history").len(), 2);
}

async fn idempotency_keys_are_unique(store: &dyn Store) {
    let fence = claimed(store).await;
    let request = Some(RequestKey {
        key: "k".into(),
        fingerprint: "f".into(),
    });
    let first = id();
    store
        .commit(
            fence,
            &[Change {
                request: request.clone(),
                ..fresh(first)
            }],
        )
        .await
        .expect("commit");
    assert_eq!(store.request("k").await.expect("request"), Some((first, "f".into())));
    assert_eq!(store.request("other").await.expect("request"), None);
    let again = store.commit(fence, &[Change { request, ..fresh(id()) }]).await;
    assert!(matches!(again, Err(StoreError::Database(error)) if error.kind() == nexus_storage::ErrorKind::Duplicate));
}

async fn lists_are_newest_first_and_filtered(store: &dyn Store) {
    let fence = claimed(store).await;
    let ids: Vec<ExecutionId> = (0..5).map(|_| id()).collect();
    for id in &ids {
        store.commit(fence, &[fresh(*id)]).await.expect("commit");
    }
    store.commit(fence, &[finished(ids[1])]).await.expect("commit");
    let list = async |filter: ListFilter, before| {
        let rows = store.list(&filter, before, 3).await.expect("list");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(ListFilter::default(), None).await, [ids[4], ids[3], ids[2]]);
    assert_eq!(list(ListFilter::default(), Some(ids[2])).await, [ids[1], ids[0]]);
    let succeeded = ListFilter {
        state: Some(ExecutionState::Succeeded),
        ..ListFilter::default()
    };
    assert_eq!(list(succeeded, None).await, [ids[1]]);
    let other = ListFilter {
        workflow: Some("other".into()),
        ..ListFilter::default()
    };
    assert!(list(other, None).await.is_empty());
    let labelled = ListFilter {
        labels: vec![("team".into(), "ops".into())],
        ..ListFilter::default()
    };
    assert!(list(labelled, None).await.is_empty());
    let timed = ListFilter {
        created_after: Some(999),
        created_before: Some(1_001),
        ..ListFilter::default()
    };
    assert_eq!(list(timed, None).await.len(), 3);
}

async fn log_lines_are_kept_once_and_in_order(store: &dyn Store) {
    let execution = id();
    let line = |task, line, text: &str| LogRow {
        sequence: 0,
        execution,
        task,
        attempt: 1,
        line,
        at: 5,
        stream: 1,
        text: text.into(),
    };
    store
        .append_logs(&[line(0, 0, "a"), line(1, 0, "b")])
        .await
        .expect("append");
    store
        .append_logs(&[line(0, 0, "again"), line(0, 1, "ü\"c")])
        .await
        .expect("append");
    let query = LogQuery {
        execution,
        task: None,
        attempt: None,
        after: 0,
        limit: 10,
    };
    let all = store.logs(query).await.expect("logs");
    assert_eq!(
        all.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["a", "b", "ü\"c"]
    );
    let rest = store
        .logs(LogQuery {
            after: all[0].sequence,
            task: Some(0),
            ..query
        })
        .await
        .expect("logs");
    assert_eq!(rest.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["ü\"c"]);
    assert!(
        store
            .logs(LogQuery {
                attempt: Some(2),
                ..query
            })
            .await
            .expect("logs")
            .is_empty()
    );
}

async fn durations_are_means_over_successes(store: &dyn Store) {
    let fence = claimed(store).await;
    for _ in 0..2 {
        let id = id();
        store.commit(fence, &[fresh(id)]).await.expect("commit");
        store.commit(fence, &[finished(id)]).await.expect("commit");
    }
    let (durations, executions) = store
        .durations(&Namespace::default(), "w", 100)
        .await
        .expect("durations");
    assert_eq!((executions, durations.len()), (2, 1));
    assert_eq!(
        (durations[0].revision, durations[0].position, durations[0].samples),
        (3, 0, 2)
    );
    assert!((durations[0].mean_seconds - 1.5).abs() < 1e-9);
}

async fn failures_survive(store: &dyn Store) {
    let fence = claimed(store).await;
    let id = id();
    let failure = Failure {
        stack_trace: "line 1\nline 2".into(),
        next_retry_delay: Some(7),
        details: "{\"a\":1}".into(),
        ..Failure::new(FailureKind::Timeout, "Timeout", "it's \"late\" ✓")
    };
    let mut change = fresh(id);
    change.tasks[0].failure = Some(failure.clone());
    change.execution.failure = Some(failure.clone());
    store.commit(fence, &[change]).await.expect("commit");
    assert_eq!(
        store.tasks(id, 0, 1).await.expect("tasks")[0].failure,
        Some(failure.clone())
    );
    let (row, tasks) = store.open_executions(&[], None, 1).await.expect("open").remove(0);
    assert_eq!((row.failure, tasks.len()), (Some(failure), 1));
}

async fn leases_are_kept_while_tasks_run(store: &dyn Store) {
    let fence = claimed(store).await;
    let id = id();
    let lease = LeaseKey {
        token: "3fabc".into(),
        session: "session".into(),
    };
    let running = TaskRow {
        lease: Some(lease.clone()),
        ..task(0, TaskState::Running)
    };
    let change = Change {
        tasks: vec![running],
        ..fresh(id)
    };
    store.commit(fence, &[change]).await.expect("commit");
    let (_, tasks) = store.open_executions(&[], None, 1).await.expect("open").remove(0);
    assert_eq!(tasks[0].lease, Some(lease));
    store.commit(fence, &[finished(id)]).await.expect("commit");
    assert_eq!(store.tasks(id, 0, 1).await.expect("tasks")[0].lease, None);
}

async fn shards_are_loaded_apart(store: &dyn Store) {
    let fence = claimed(store).await;
    let ids: Vec<ExecutionId> = (0..40).map(|_| id()).collect();
    let changes: Vec<Change> = ids.iter().map(|id| fresh(*id)).collect();
    store.commit(fence, &changes).await.expect("commit");
    let mut loaded = Vec::new();
    for shards in [(0..20).collect::<Vec<u16>>(), (20..64).collect()] {
        let mut after = None;
        loop {
            let page = store.open_executions(&shards, after, 7).await.expect("open");
            let Some((last, _)) = page.last() else { break };
            after = Some(last.id);
            assert!(
                page.iter()
                    .all(|(row, tasks)| shards.contains(&row.id.shard()) && tasks.len() == 1)
            );
            loaded.extend(page.into_iter().map(|(row, _)| row.id));
        }
    }
    loaded.sort_unstable();
    let mut all = ids;
    all.sort_unstable();
    assert_eq!(loaded, all);
}

async fn what_ended_long_ago_is_removed_with_all_that_belongs_to_it(store: &dyn Store) {
    let fence = claimed(store).await;
    let ids: Vec<ExecutionId> = (0..5).map(|_| id()).collect();
    for (number, id) in ids.iter().enumerate() {
        let request = Some(RequestKey {
            key: format!("k{number}"),
            fingerprint: "f".into(),
        });
        let change = Change { request, ..fresh(*id) };
        store.commit(fence, &[change]).await.expect("commit");
    }
    let line = LogRow {
        sequence: 0,
        execution: ids[0],
        task: 0,
        attempt: 1,
        line: 0,
        at: 5,
        stream: 1,
        text: "a".into(),
    };
    store.append_logs(&[line]).await.expect("append");
    for id in &ids[..3] {
        store.commit(fence, &[finished(*id)]).await.expect("commit");
    }
    let ended = finished(ids[0]).execution.finished_at.expect("it has ended");
    assert_eq!(store.purge(ended, 10).await.expect("purge"), 0, "none ended before");
    assert_eq!(
        store.purge(ended + 1, 2).await.expect("purge"),
        2,
        "no more than asked for"
    );
    assert_eq!(store.execution(ids[0]).await.expect("read"), None);
    assert_eq!(store.request("k0").await.expect("request"), None);
    assert!(store.tasks(ids[0], 0, 10).await.expect("tasks").is_empty());
    assert!(store.history(ids[0], None, 0, 10).await.expect("history").is_empty());
    let query = LogQuery {
        execution: ids[0],
        task: None,
        attempt: None,
        after: 0,
        limit: 10,
    };
    assert!(store.logs(query).await.expect("logs").is_empty());
    assert!(
        store.execution(ids[2]).await.expect("read").is_some(),
        "the youngest one waits"
    );
    assert_eq!(store.purge(i64::MAX, 10).await.expect("purge"), 1);
    let left = store.list(&ListFilter::default(), None, 10).await.expect("list");
    assert_eq!(left.len(), 2, "what goes on is never removed");
    assert_eq!(store.request("k4").await.expect("request"), Some((ids[4], "f".into())));
}

pub(super) async fn in_memory(_: &std::path::Path) -> Result<nexus_execution_store::memory::MemoryStore, StoreError> {
    Ok(nexus_execution_store::memory::MemoryStore::default())
}

pub(super) async fn in_postgres(_: &std::path::Path) -> Result<PostgresStore, StoreError> {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await?;
    store.migrate().await?;
    store.verify().await?;
    Ok(store)
}

nexus_service::conformance! {
    adapters: {
        sqlite: crate::sqlite::SqliteStore::open,
        memory: in_memory,
        postgres: in_postgres,
    },
    tests: [
        what_is_committed_is_read_back,
        an_older_owner_is_shut_out,
        a_batch_is_written_whole_or_not_at_all_and_once,
        idempotency_keys_are_unique,
        lists_are_newest_first_and_filtered,
        log_lines_are_kept_once_and_in_order,
        durations_are_means_over_successes,
        failures_survive,
        leases_are_kept_while_tasks_run,
        shards_are_loaded_apart,
        what_ended_long_ago_is_removed_with_all_that_belongs_to_it,
    ],
}

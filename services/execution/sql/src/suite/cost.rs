//! What it costs a commit to tell the feed: `cargo test -p nexus-execution-sql --lib -- --ignored --nocapture what_telling_costs`.

use std::time::{Duration, Instant};

use nexus_execution_store::feed::{Feed, NewReader};
use nexus_execution_store::samples::{claimed, fresh};
use nexus_execution_store::{Change, Fence, Ids, Store};

use crate::sqlite::SqliteStore;
use crate::suite::in_postgres;

const ROUNDS: usize = 6;

/// The median time of commits of so many executions each.
async fn commits(store: &dyn Store, fence: Fence, number: usize, size: usize) -> Duration {
    let ids = Ids::system();
    let mut times = Vec::with_capacity(number);
    for _ in 0..number {
        let batch: Vec<Change> = (0..size).map(|_| fresh(ids.execution(None))).collect();
        let begun = Instant::now();
        store.commit(fence, &batch).await.expect("commit");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Alternately without a reader and with one, so that whatever else the machine does hits both.
async fn compare<S: Store + Feed>(name: &str, store: &S) {
    let fence = claimed(store).await;
    let reader = NewReader {
        name: "reader",
        from_beginning: false,
        forget_after: 0,
    };
    for (number, size) in [(200, 1), (30, 100)] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        commits(store, fence, number, size).await;
        for _ in 0..ROUNDS {
            without.push(commits(store, fence, number, size).await);
            store.register(reader, 0).await.expect("register");
            commits(store, fence, 1, 1).await;
            with.push(commits(store, fence, number, size).await);
            store.forget(reader.name).await.expect("forget");
        }
        without.sort_unstable();
        with.sort_unstable();
        let (without, with) = (without[ROUNDS / 2], with[ROUNDS / 2]);
        println!("{name}: a commit of {size} executions takes {without:?} without a reader, {with:?} with one");
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn what_telling_costs() {
    // The system's folder for temporary files may be in memory, where a commit costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    compare("sqlite", &SqliteStore::open(folder.path()).await.expect("open")).await;
    compare("postgres", &in_postgres(folder.path()).await.expect("open")).await;
}

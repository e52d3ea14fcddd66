//! What only a database with many writers has to do: registering beside commits under way, and numbers that follow the
//! commits whatever becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use nexus_engine::Fact;
use nexus_execution_store::membership::{Membership, Replica};
use nexus_execution_store::samples::{claimed, event, execution, fresh};
use nexus_execution_store::{Change, ExecutionId, ExecutionRow, Fence, Ids, Journal, SHARDS};
use tokio::time::{sleep, timeout};

use super::*;
use crate::suite::in_postgres;

const LEASE: Duration = Duration::from_secs(60);
const READER: NewReader<'static> = NewReader {
    name: "reader",
    from_beginning: false,
    forget_after: 0,
};

async fn store() -> PostgresStore {
    in_postgres(std::path::Path::new("")).await.expect("a store")
}

#[tokio::test]
async fn a_registration_waits_for_commits_under_way() {
    let store = store().await;
    let fence = claimed(&store).await;
    // What every commit does, held open.
    let mut commit = store.database.begin().await.expect("begin");
    sqlx::query("SELECT EXISTS (SELECT 1 FROM feed_readers)")
        .fetch_one(&mut *commit)
        .await
        .expect("nobody");
    let mut registering = tokio::spawn({
        let store = store.clone();
        async move { store.register(READER, 0).await }
    });
    let early = timeout(Duration::from_millis(300), &mut registering).await;
    assert!(early.is_err(), "it waits for the commit, which has seen no reader");
    let id = Ids::system().execution_in(&[1]);
    let mut late = tokio::spawn({
        let store = store.clone();
        async move { store.commit(fence, &[fresh(id)]).await }
    });
    let early = timeout(Duration::from_millis(200), &mut late).await;
    assert!(early.is_err(), "what begins after the registration waits for it");
    commit.commit().await.expect("commit");
    let registered = registering.await.expect("join").expect("register");
    assert_eq!(registered, Registered::Created);
    late.await.expect("join").expect("commit");
    let page = store.read("reader", &[Position { shard: 1, number: 0 }], 10).await;
    let page = page.expect("read");
    assert_eq!(
        page.entries.len(),
        1,
        "and is told, though nobody read when it was sent"
    );
}

#[tokio::test]
async fn nobody_registers_beside_replicas_that_tell_nothing() {
    let store = store().await;
    claimed(&store).await;
    sqlx::query("UPDATE replicas SET feeds = DEFAULT")
        .execute(store.database.writer())
        .await
        .expect("an older one");
    assert_eq!(store.register(READER, 0).await.expect("answer"), Registered::Incomplete);
}

#[tokio::test]
async fn a_position_is_found_by_the_key_however_long_the_feed_is() {
    let store = store().await;
    let fence = claimed(&store).await;
    store.register(READER, 0).await.expect("register");
    for _ in 0..5 {
        let batch: Vec<Change> = (0..100).map(|_| fresh(Ids::system().execution(None))).collect();
        store.commit(fence, &batch).await.expect("commit");
    }
    let explained = format!("EXPLAIN {}", super::super::entries::ENDS).replace("$3", "'{1,2,3}'::integer[]");
    let rows = sqlx::query(AssertSqlSafe(explained))
        .fetch_all(store.database.writer())
        .await
        .expect("explain");
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(
        plan.contains("feed_pkey") && plan.contains("Backward") && !plan.contains("Seq Scan on feed "),
        "{plan}"
    );
}

/// An owner that commits to the shards that it has just now, gives up on commits, repeats them, and passes shards on.
struct Writer {
    store: PostgresStore,
    replica: Replica,
    fence: Fence,
    rng: Rng,
    ids: Ids,
    /// The newest event that it knows to be stored, of each of its executions.
    known: BTreeMap<ExecutionId, u64>,
}

impl Writer {
    async fn new(store: &PostgresStore, number: u64) -> Self {
        let replica = Replica {
            owner: Uuid::from_u128(u128::from(number) + 1),
            address: String::new(),
            draining: false,
        };
        Self {
            fence: store.join(&replica, LEASE).await.expect("join"),
            store: store.clone(),
            replica,
            rng: Rng::with_seed(number),
            ids: Ids::system(),
            known: BTreeMap::new(),
        }
    }

    fn change(&mut self, shards: &[u16]) -> Change {
        let old: Vec<(ExecutionId, u64)> = self
            .known
            .iter()
            .filter(|(id, _)| shards.contains(&id.shard()))
            .map(|(id, sequence)| (*id, *sequence))
            .collect();
        let Some((id, before)) = self.rng.choice(old).filter(|_| self.rng.bool()) else {
            return fresh(self.ids.execution_in(shards));
        };
        let more = self.rng.u64(1..4);
        Change {
            before,
            execution: ExecutionRow {
                sequence: before + more,
                params: Arc::default(),
                ..execution(id)
            },
            tasks: Vec::new(),
            events: (before + 1..=before + more)
                .map(|number| event(number, Fact::ExecutionStarted))
                .collect(),
            request: None,
            notes: Vec::new(),
        }
    }

    /// Some rounds: takes free shards, commits, gives some up.
    async fn run(mut self, rounds: u32) -> BTreeMap<ExecutionId, u64> {
        let all: Vec<u16> = (0..SHARDS).collect();
        let mut mine: Vec<u16> = Vec::new();
        for _ in 0..rounds {
            mine.extend(self.store.acquire(self.replica.owner, &all).await.expect("acquire"));
            for _ in 0..8 {
                if mine.is_empty() {
                    break;
                }
                let mut batch: BTreeMap<ExecutionId, Change> = BTreeMap::new();
                for _ in 0..self.rng.usize(1..12) {
                    let change = self.change(&mine);
                    batch.insert(change.execution.id, change);
                }
                self.commit(batch.into_values().collect()).await;
            }
            let (keep, give): (Vec<u16>, Vec<u16>) = mine.into_iter().partition(|_| self.rng.bool());
            self.store.release(self.replica.owner, &give).await.expect("release");
            mine = keep;
            sleep(Duration::from_millis(self.rng.u64(0..10))).await;
        }
        self.store.release(self.replica.owner, &mine).await.expect("release");
        self.known
    }

    /// Until it is stored, as an owner does it: whatever was given up may be done all the same, at once or later.
    async fn commit(&mut self, batch: Vec<Change>) {
        loop {
            let patience = match self.rng.u32(0..3) {
                0 => Duration::from_micros(self.rng.u64(100..4_000)),
                _ => LEASE,
            };
            match timeout(patience, self.store.commit(self.fence, &batch)).await {
                Ok(Ok(())) => break,
                // Two tries of the same batch met: one of them is done.
                Ok(Err(StoreError::Database(error))) if error.kind() == nexus_storage::ErrorKind::Duplicate => {}
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => {}
            }
        }
        for change in batch {
            self.known.insert(change.execution.id, change.execution.sequence);
        }
    }
}

/// Reads on behind its positions while others write, acknowledges, and has removed what nobody needs.
async fn follow(store: PostgresStore, over: Arc<std::sync::atomic::AtomicBool>) -> BTreeMap<ExecutionId, u64> {
    let mut after: Vec<Position> = (0..SHARDS).map(|shard| Position { shard, number: 0 }).collect();
    let mut told: BTreeMap<ExecutionId, u64> = BTreeMap::new();
    loop {
        let last = over.load(std::sync::atomic::Ordering::SeqCst);
        let page = store.read("reader", &after, 50).await.expect("read");
        nexus_execution_store::feed::judge(&page, &after).expect("nothing is missed");
        if page.entries.is_empty() && last {
            return told;
        }
        for entry in page.entries {
            let at = &mut after[usize::from(entry.position.shard)];
            assert_eq!(entry.position.number, at.number + 1, "shard {}", at.shard);
            at.number += 1;
            let newest = told.entry(entry.execution).or_default();
            assert_eq!(entry.first, *newest + 1, "{}", entry.execution);
            *newest = entry.last;
        }
        store.acknowledge("reader", &after, 0).await.expect("acknowledge");
        store.remove(0, 20).await.expect("remove");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_beside_many_writers_misses_nothing_and_sees_nothing_twice() {
    let store = store().await;
    assert_eq!(store.register(READER, 0).await.expect("register"), Registered::Created);
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reading = tokio::spawn(follow(store.clone(), Arc::clone(&over)));
    let mut writing = Vec::new();
    for number in 0..4 {
        writing.push(tokio::spawn(Writer::new(&store, number).await.run(12)));
    }
    let mut committed = BTreeMap::new();
    for writer in writing {
        committed.extend(writer.await.expect("it writes"));
    }
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    let told = reading.await.expect("it reads");
    assert!(committed.len() > 100, "{}", committed.len());
    assert_eq!(told, committed);
}

//! One list of operations from a seed, over both databases: every answer must be the same.

use std::sync::Arc;

use fastrand::Rng;
use nexus_api::Namespace;
use nexus_engine::{Closing, Event, ExecutionState, Fact, Failure, FailureKind, TaskState};
use nexus_execution_store::feed::{Feed, NewReader, Position};
use nexus_execution_store::{
    Change, ExecutionId, ExecutionRow, Ids, Journal, LeaseKey, ListFilter, LogQuery, LogRow, Reads, RequestKey, SHARDS,
    Store, StoreError, TaskRow,
};

use crate::sqlite::SqliteStore;
use crate::suite::in_postgres;

const SEEDS: u64 = 12;
const OPERATIONS: usize = 200;

/// Texts that databases like to treat differently.
const TEXTS: [&str; 8] = [
    "",
    "a",
    "A",
    "ä",
    "'\"\\",
    "\u{202e}x",
    "%_",
    "🦀 long enough to be cut somewhere",
];

/// What an answer comes down to. Errors count by what they mean, their words are each database's own.
fn told<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(StoreError::Database(error)) => format!("error: {:?}", error.kind()),
        Err(error) => format!("error: {error}"),
    }
}

/// What the list of operations knows of an execution.
struct Known {
    row: ExecutionRow,
}

struct List {
    rng: Rng,
    ids: Ids,
    known: Vec<Known>,
    at: i64,
}

impl List {
    fn text(&mut self) -> String {
        (*self.rng.choice(&TEXTS[..]).unwrap_or(&"")).to_owned()
    }

    fn namespace(&mut self) -> Namespace {
        let name = self.rng.choice(&["default", "default", "team-a"]).unwrap_or(&"default");
        name.parse().expect("a namespace")
    }

    fn time(&mut self) -> Option<i64> {
        self.at += self.rng.i64(1..1_000_000);
        self.rng.bool().then_some(self.at)
    }

    fn failure(&mut self) -> Option<Failure> {
        let words = self.text();
        self.rng.bool().then(|| Failure::new(FailureKind::User, "Kind", words))
    }

    fn task(&mut self, position: u32) -> TaskRow {
        let states = [
            TaskState::Scheduled,
            TaskState::Running,
            TaskState::Succeeded,
            TaskState::Failed,
        ];
        let state = *self.rng.choice(&states[..]).unwrap_or(&TaskState::Running);
        let text = self.text();
        TaskRow {
            position,
            state,
            leases: self.rng.u32(0..4),
            returned: self.rng.u32(0..4),
            infra_losses: self.rng.u32(0..4),
            scheduled_at: self.time(),
            ready_at: self.time(),
            started_at: self.time(),
            attempt_started_at: self.time(),
            finished_at: self.time(),
            next_at: self.time(),
            worker: self.rng.bool().then(|| Arc::from(text.as_str())),
            lease: self.rng.bool().then(|| LeaseKey {
                token: "3fa".into(),
                session: "s".into(),
            }),
            failure: self.failure(),
            output: self.rng.bool().then(|| Arc::from(format!("{text:?}"))),
        }
    }

    fn fresh(&mut self) -> Change {
        self.at += 1_000;
        let key = format!("key{}", self.rng.u32(0..60));
        let request = self.rng.bool().then(|| RequestKey {
            key,
            fingerprint: "f".into(),
        });
        let row = ExecutionRow {
            id: self.ids.execution(None),
            namespace: self.namespace(),
            workflow: format!("w{}", self.rng.u32(0..3)),
            revision: self.rng.u32(1..4),
            state: ExecutionState::Pending,
            closing: None,
            closing_reason: String::new(),
            labels: [(self.text(), self.text())].into(),
            traceparent: self.text(),
            sequence: 1,
            created_at: self.at,
            started_at: None,
            finished_at: None,
            failure: None,
            params: Arc::from("{\"n\":12345678901234567890}"),
            output: None,
        };
        let created = Event {
            sequence: 1,
            at: self.at,
            fact: Fact::ExecutionCreated,
        };
        Change {
            before: 0,
            execution: row,
            tasks: vec![self.task(0)],
            events: vec![created],
            request,
            notes: Vec::new(),
        }
    }

    /// More of an execution that is there; of another state than it has when `stale`.
    fn grown(&mut self, stale: bool) -> Option<Change> {
        let number = (!self.known.is_empty()).then(|| self.rng.usize(0..self.known.len()))?;
        let before = self.known[number].row.sequence + u64::from(stale) * 7;
        let mut row = self.known[number].row.clone();
        self.at += 1_000;
        row.sequence = before + 1;
        row.state = ExecutionState::Running;
        row.closing = self.rng.bool().then_some(Closing::Cancelled);
        row.closing_reason = self.text();
        row.started_at = self.time();
        row.failure = self.failure();
        if self.rng.u32(0..3) == 0 {
            row.state = ExecutionState::Succeeded;
            row.finished_at = Some(self.at);
            row.output = Some(Arc::from("[1, 2]"));
        }
        row.params = Arc::default();
        let positions = self.rng.u32(0..4);
        let lost = Event {
            sequence: row.sequence,
            at: self.at,
            fact: Fact::TaskScheduled {
                task: nexus_engine::TaskKey::of(1),
                attempt: 2,
            },
        };
        Some(Change {
            before,
            tasks: (0..positions).map(|position| self.task(position)).collect(),
            events: vec![lost],
            execution: row,
            request: None,
            notes: Vec::new(),
        })
    }

    fn note(&mut self, changes: &[Change]) {
        for change in changes {
            match self.known.iter_mut().find(|known| known.row.id == change.execution.id) {
                Some(known) => {
                    let params = Arc::clone(&known.row.params);
                    known.row = change.execution.clone();
                    known.row.params = params;
                }
                None => self.known.push(Known {
                    row: change.execution.clone(),
                }),
            }
        }
    }

    fn some_id(&mut self) -> ExecutionId {
        let unknown = self.ids.execution(None);
        self.rng.choice(&self.known).map_or(unknown, |known| known.row.id)
    }

    fn filter(&mut self) -> ListFilter {
        let label = (self.text(), self.text());
        ListFilter {
            namespace: self.namespace(),
            workflow: self.rng.bool().then(|| "w1".to_owned()),
            state: self.rng.bool().then_some(ExecutionState::Succeeded),
            labels: if self.rng.u32(0..4) == 0 {
                vec![label]
            } else {
                Vec::new()
            },
            created_after: self.time().map(|at| at / 2),
            created_before: self.time(),
        }
    }

    /// Of a few shards, some of them beyond what there is.
    fn positions(&mut self) -> Vec<Position> {
        let shards = (0..SHARDS).filter(|_| self.rng.u32(0..8) == 0);
        let shards: Vec<u16> = shards.collect();
        let at = |shard| Position {
            shard,
            number: self.rng.u64(0..4),
        };
        shards.into_iter().map(at).collect()
    }

    fn line(&mut self, execution: ExecutionId) -> LogRow {
        LogRow {
            sequence: 0,
            execution,
            task: self.rng.u32(0..2),
            attempt: 1,
            line: self.rng.u64(0..6),
            at: self.at,
            stream: 1,
            text: self.text(),
        }
    }
}

/// Both ports over one database.
trait Both: Store + Feed {}
impl<T: Store + Feed> Both for T {}

/// The same question to both; the answers must be the same.
macro_rules! both {
    ($stores:ident, $list:ident, $number:expr, |$store:ident| $question:expr) => {{
        let $store: &dyn Both = &$stores.0;
        let first = told($question.await);
        let $store: &dyn Both = &$stores.1;
        let second = told($question.await);
        assert_eq!(first, second, "operation {}: {}", $number, stringify!($question));
        first
    }};
}

async fn run(seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = (
        SqliteStore::open(folder.path()).await.expect("open"),
        in_postgres(folder.path()).await.expect("open"),
    );
    let ids = Ids::from_seed(seed);
    let owner = ids.random();
    let fences = (
        stores.0.claim(owner).await.expect("claim"),
        stores.1.claim(owner).await.expect("claim"),
    );
    assert_eq!(fences.0, fences.1, "the first owner of a fresh database");
    let mut list = List {
        rng: Rng::with_seed(seed),
        ids,
        known: Vec::new(),
        at: 1_000_000,
    };
    let fence = fences.0;
    for number in 0..OPERATIONS {
        let (id, limit) = (list.some_id(), list.rng.u32(1..7));
        match list.rng.u32(0..20) {
            0..=3 => {
                let mut batch: Vec<Change> = (0..limit).map(|_| list.fresh()).collect();
                batch.extend(list.grown(false));
                let answer = both!(stores, list, number, |store| store.commit(fence, &batch));
                if answer == "()" {
                    both!(stores, list, number, |store| store.commit(fence, &batch));
                    list.note(&batch);
                }
            }
            4..=6 => {
                let stale = list.rng.u32(0..4) == 0;
                let Some(change) = list.grown(stale) else { continue };
                let batch = [change];
                if both!(stores, list, number, |store| store.commit(fence, &batch)) == "()" {
                    list.note(&batch);
                }
            }
            7 => drop(both!(stores, list, number, |store| store.execution(id))),
            8 => {
                let (filter, before) = (list.filter(), list.rng.bool().then_some(id));
                both!(stores, list, number, |store| store.list(&filter, before, limit));
            }
            9 => {
                let from = list.rng.u32(0..3);
                both!(stores, list, number, |store| store.tasks(id, from, limit));
                both!(stores, list, number, |store| store.task_counts(&[id]));
            }
            10 => {
                let task = list.rng.bool().then_some(1);
                both!(stores, list, number, |store| store.history(
                    id,
                    task,
                    u64::from(limit) - 1,
                    limit
                ));
            }
            11 => {
                let shards: Vec<u16> = (0..SHARDS).filter(|_| list.rng.bool()).collect();
                both!(stores, list, number, |store| store
                    .open_executions(&shards, None, limit));
            }
            12 => {
                let key = format!("key{}", list.rng.u32(0..60));
                both!(stores, list, number, |store| store.request(&key));
                let digits = id.0.simple().to_string();
                let namespace = list.namespace();
                both!(stores, list, number, |store| store
                    .ids_with_prefix(&namespace, &digits[..20]));
                both!(stores, list, number, |store| store.execution_state(&namespace, id));
            }
            13 => {
                let namespace = list.namespace();
                both!(stores, list, number, |store| store.durations(&namespace, "w1", 100));
            }
            14 => {
                let lines: Vec<LogRow> = (0..limit).map(|_| list.line(id)).collect();
                both!(stores, list, number, |store| store.append_logs(&lines));
                let query = LogQuery {
                    execution: id,
                    task: list.rng.bool().then_some(0),
                    attempt: None,
                    after: 0,
                    limit: 100,
                };
                // Numbers of lines are each database's own; their order is not.
                both!(stores, list, number, |store| async {
                    let lines = store.logs(query).await?;
                    Ok(lines
                        .into_iter()
                        .map(|line| (line.task, line.line, line.text))
                        .collect::<Vec<_>>())
                });
            }
            15..=18 => {
                let names = ["one", "two"];
                let name = names[list.rng.usize(0..2)];
                let positions = list.positions();
                let (at, before) = (list.at, list.at / 4);
                match list.rng.u32(0..10) {
                    0 => drop(both!(stores, list, number, |store| store.forget(name))),
                    1 | 2 => {
                        let reader = NewReader {
                            name,
                            from_beginning: list.rng.bool(),
                            forget_after: 0,
                        };
                        both!(stores, list, number, |store| store.register(reader, at));
                    }
                    3 | 4 => drop(both!(stores, list, number, |store| store.acknowledge(name, &positions, at))),
                    5 => drop(both!(stores, list, number, |store| store.remove(before, limit))),
                    6 => drop(both!(stores, list, number, |store| store.readers("", 10))),
                    _ => {
                        both!(stores, list, number, |store| store.read(name, &positions, limit));
                        both!(stores, list, number, |store| async {
                            let page = store.read(name, &positions, limit).await?;
                            store.events(&page.entries).await
                        });
                    }
                }
            }
            _ => {
                let before = list.at / 3;
                both!(stores, list, number, |store| store.purge(before, 2));
                let mut left = Vec::new();
                for known in list.known.drain(..) {
                    let there = stores.0.execution(known.row.id).await.expect("read").is_some();
                    left.extend(there.then_some(known));
                }
                list.known = left;
            }
        }
    }
}

#[tokio::test]
async fn both_databases_answer_alike() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}

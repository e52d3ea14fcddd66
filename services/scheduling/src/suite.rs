//! What must hold over every database: each nominal time has one fire, whoever decides it and however often news comes.

mod figures;
mod reading;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nexus_api::Namespace;
use nexus_schedule::{SECOND, Spec};
use nexus_storage::postgres::Options;

use crate::backfilling::hand_out;
use crate::firing::{begin, fire};
use crate::plans::read;
use crate::record::{News, What, record};
use crate::store::postgres::PostgresStore;
use crate::store::rows::{BACKFILL, blank};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    BackfillRow, BackfillState, Definition, FireKey, FireRow, ListFilter, Outcome, Overlap, ScheduleRow, Store,
    StoreError,
};

const MINUTE: i64 = 60 * SECOND;
/// Some time, at the beginning of a minute.
const BEGIN: i64 = 1_790_000_040 * SECOND;

/// A store whose time the test says.
struct Timed {
    store: Arc<dyn Store>,
    time: Arc<AtomicI64>,
}

impl Timed {
    fn set(&self, time: i64) {
        self.time.store(time, Ordering::SeqCst);
    }
}

async fn sqlite(directory: &Path) -> Result<Timed, StoreError> {
    let time = Arc::new(AtomicI64::new(BEGIN));
    let told = Arc::clone(&time);
    let store = SqliteStore::open(directory, Arc::new(move || told.load(Ordering::SeqCst))).await?;
    Ok(Timed {
        store: Arc::new(store),
        time,
    })
}

async fn postgres(_: &Path) -> Result<Timed, StoreError> {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let time = Arc::new(AtomicI64::new(BEGIN));
    let told = Arc::clone(&time);
    let store = PostgresStore::connect(&url, Options::default()).await?;
    let store = store.with_clock(Arc::new(move || told.load(Ordering::SeqCst)));
    store.migrate().await?;
    Ok(Timed {
        store: Arc::new(store),
        time,
    })
}

/// A schedule that fires each minute, from now on.
async fn create(timed: &Timed, name: &str, overlap: Overlap) -> ScheduleRow {
    let definition = Definition {
        workflow: "etl".to_owned(),
        spec: Spec {
            crons: vec!["* * * * *".to_owned()],
            ..Spec::default()
        },
        overlap,
        catchup_window: 600 * SECOND,
        ..Definition::default()
    };
    let mut row = ScheduleRow {
        workflow: "etl".to_owned(),
        definition: serde_json::to_string(&definition).expect("JSON"),
        version: 1,
        ..blank(&format!("id-{name}"), name)
    };
    let (_, plan) = read(&row).expect("a plan");
    let mut work = timed.store.begin().await.expect("begin");
    begin(&mut row, &plan, work.now().await.expect("now"));
    assert!(work.insert(&row).await.expect("insert"), "the name is free");
    work.commit().await.expect("commit");
    row
}

async fn all_fires(timed: &Timed, row: &ScheduleRow) -> Vec<FireRow> {
    let mut fires = timed.store.fires(&row.id, 0, 1_000).await.expect("fires");
    fires.sort_by_key(|fire| fire.key.nominal);
    fires
}

async fn current(timed: &Timed, name: &str) -> ScheduleRow {
    let found = timed.store.schedule(&Namespace::default(), name).await;
    found.expect("read").expect("it is there")
}

fn key(row: &ScheduleRow, nominal: i64) -> FireKey {
    FireKey {
        schedule_id: row.id.clone(),
        source: String::new(),
        nominal,
    }
}

fn started(key: FireKey, execution: &str) -> News {
    let (execution, state) = (execution.to_owned(), String::new());
    News {
        key,
        what: What::Started { execution, state },
    }
}

fn ended(key: FireKey, execution: &str, state: &str) -> News {
    let (execution, state) = (execution.to_owned(), state.to_owned());
    News {
        key,
        what: What::Ended { execution, state },
    }
}

async fn hear(timed: &Timed, news: &[News]) {
    record(&*timed.store, news, None).await.expect("recorded");
}

async fn each_nominal_time_has_one_fire_though_many_decide_at_once(timed: &Timed) {
    let mut rows = Vec::new();
    for number in 0..20 {
        rows.push(create(timed, &format!("s{number}"), Overlap::AllowAll).await);
    }
    timed.set(BEGIN + 7 * MINUTE + 30 * SECOND);
    let deciding = (0..4).map(|_| {
        let store = Arc::clone(&timed.store);
        tokio::spawn(async move { while fire(&*store).await.expect("decided") > 0 {} })
    });
    for done in deciding.collect::<Vec<_>>() {
        done.await.expect("nobody panicked");
    }
    // One that found everything locked has gone; what it left is there for the next.
    while fire(&*timed.store).await.expect("decided") > 0 {}
    let expected: Vec<i64> = (1..=7).map(|minute| BEGIN + minute * MINUTE).collect();
    for row in &rows {
        let fires = all_fires(timed, row).await;
        let nominal: Vec<i64> = fires.iter().map(|fire| fire.key.nominal).collect();
        assert_eq!(nominal, expected);
        assert!(fires.iter().all(|fire| fire.is(Outcome::Starting)));
    }
    // The clock goes back: nothing is due, and nothing fires again.
    timed.set(BEGIN);
    assert_eq!(fire(&*timed.store).await.expect("decided"), 0);
    let starts = timed.store.claim_starts(1_000, MINUTE).await.expect("claimed");
    assert!(starts.is_empty(), "they are due later than that");
    timed.set(BEGIN + 8 * MINUTE - 1);
    let starts = timed.store.claim_starts(1_000, MINUTE).await.expect("claimed");
    assert_eq!(
        (
            starts.len(),
            starts[0].schedule.as_ref().map(|row| row.workflow.as_str())
        ),
        (140, Some("etl"))
    );
    assert!(
        timed.store.claim_starts(9, MINUTE).await.expect("claimed").is_empty(),
        "nobody else has them"
    );
    timed.set(BEGIN + 9 * MINUTE);
    assert_eq!(
        timed.store.claim_starts(9, MINUTE).await.expect("claimed").len(),
        9,
        "until their time is over"
    );
}

async fn an_outage_beyond_the_window_is_skipped_and_within_it_made_up_for(timed: &Timed) {
    let row = create(timed, "late", Overlap::AllowAll).await;
    timed.set(BEGIN + 60 * MINUTE + 30 * SECOND);
    while fire(&*timed.store).await.expect("decided") > 0 {}
    let fires = all_fires(timed, &row).await;
    assert_eq!(fires.len(), 60);
    let skipped: Vec<&FireRow> = fires.iter().filter(|fire| fire.is(Outcome::Skipped)).collect();
    assert_eq!((skipped.len(), fires.len() - skipped.len()), (50, 10));
    assert!(skipped.iter().all(|fire| fire.reason.contains("catch-up window")));
    let now = current(timed, "late").await;
    assert_eq!(
        (now.missed, now.running, now.next_nominal),
        (50, 10, Some(BEGIN + 61 * MINUTE))
    );
}

async fn news_may_come_twice_and_in_any_order(timed: &Timed) {
    let row = create(timed, "buffers", Overlap::BufferOne).await;
    timed.set(BEGIN + 3 * MINUTE);
    fire(&*timed.store).await.expect("decided");
    let outcomes: Vec<i64> = all_fires(timed, &row).await.iter().map(|fire| fire.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Starting, Outcome::Buffered, Outcome::Skipped].map(|outcome| outcome as i64)
    );
    let (first, second) = (key(&row, BEGIN + MINUTE), key(&row, BEGIN + 2 * MINUTE));
    // It ended before the answer to its start was recorded.
    hear(timed, &[ended(first.clone(), "e1", "SUCCEEDED")]).await;
    hear(
        timed,
        &[started(first.clone(), "e1"), ended(first.clone(), "e1", "SUCCEEDED")],
    )
    .await;
    hear(timed, &[ended(first.clone(), "another", "FAILED")]).await;
    let now = current(timed, "buffers").await;
    assert_eq!(
        (now.running, now.buffered, now.action_count),
        (1, 0, 1),
        "the one that waited is started"
    );
    let fires = all_fires(timed, &row).await;
    assert_eq!(
        (fires[0].state.as_str(), fires[0].execution.as_str()),
        ("SUCCEEDED", "e1")
    );
    assert!(fires[1].is(Outcome::Starting));
    let reason = "no such workflow".to_owned();
    let refused = News {
        key: second.clone(),
        what: What::Refused { reason },
    };
    hear(timed, &[refused.clone(), refused, started(second, "e2")]).await;
    let now = current(timed, "buffers").await;
    assert_eq!((now.running, now.start_failed, now.action_count), (0, 1, 1));
    let fires = all_fires(timed, &row).await;
    assert!(fires[1].is(Outcome::Failed) && fires[1].reason == "no such workflow");
}

async fn a_failure_pauses_a_schedule_that_asks_for_it(timed: &Timed) {
    let mut row = create(timed, "careful", Overlap::Skip).await;
    let mut definition: Definition = serde_json::from_str(&row.definition).expect("JSON");
    definition.pause_on_failure = true;
    row.definition = serde_json::to_string(&definition).expect("JSON");
    let mut work = timed.store.begin().await.expect("begin");
    work.update(std::slice::from_ref(&row)).await.expect("updated");
    work.commit().await.expect("commit");
    timed.set(BEGIN + MINUTE);
    fire(&*timed.store).await.expect("decided");
    let first = key(&row, BEGIN + MINUTE);
    hear(timed, &[started(first.clone(), "e1"), ended(first, "e1", "FAILED")]).await;
    let now = current(timed, "careful").await;
    assert!(now.paused && now.note.contains("e1"), "{now:?}");
    timed.set(BEGIN + 9 * MINUTE);
    assert_eq!(fire(&*timed.store).await.expect("decided"), 0);
    assert_eq!(timed.store.next_due().await.expect("read"), None);
}

async fn what_runs_is_cancelled_for_the_newest(timed: &Timed) {
    let row = create(timed, "cancels", Overlap::CancelOther).await;
    timed.set(BEGIN + MINUTE);
    fire(&*timed.store).await.expect("decided");
    hear(timed, &[started(key(&row, BEGIN + MINUTE), "e1")]).await;
    for minute in [2, 3] {
        timed.set(BEGIN + minute * MINUTE);
        fire(&*timed.store).await.expect("decided");
    }
    let outcomes: Vec<i64> = all_fires(timed, &row).await.iter().map(|fire| fire.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Started, Outcome::Skipped, Outcome::Buffered].map(|outcome| outcome as i64)
    );
    let cancels = timed.store.claim_cancels(9, MINUTE).await.expect("claimed");
    assert_eq!(
        cancels
            .iter()
            .map(|cancel| cancel.fire.execution.as_str())
            .collect::<Vec<_>>(),
        ["e1"]
    );
    hear(timed, &[ended(key(&row, BEGIN + MINUTE), "e1", "CANCELLED")]).await;
    assert!(all_fires(timed, &row).await[2].is(Outcome::Starting));
    assert!(timed.store.claim_cancels(9, 0).await.expect("claimed").is_empty());
}

async fn backfills_hand_out_as_many_as_may_run(timed: &Timed) {
    let row = create(timed, "etl", Overlap::Skip).await;
    let backfill = BackfillRow {
        id: "b1".to_owned(),
        schedule_id: row.id.clone(),
        schedule_key: row.key.clone(),
        namespace: row.namespace.clone(),
        after_at: BEGIN - 5 * MINUTE,
        until_at: BEGIN,
        max_concurrent: 2,
        newest_first: true,
        state: BackfillState::Running as i64,
        total: 5,
        fired: 0,
        running: 0,
        cursor: None,
        created_at: BEGIN,
    };
    let mut work = timed.store.begin().await.expect("begin");
    work.put_backfills(&[backfill]).await.expect("put");
    work.commit().await.expect("commit");
    let mut seen = Vec::new();
    while seen.len() < 5 {
        hand_out(&*timed.store).await.expect("handed out");
        let mut starts = timed.store.claim_starts(9, MINUTE).await.expect("claimed");
        // Those that were handed out together start together.
        starts.sort_by_key(|start| std::cmp::Reverse(start.fire.key.nominal));
        assert!((1..=2).contains(&starts.len()), "{}", starts.len());
        for start in starts {
            assert_eq!(start.fire.key.source, format!("{BACKFILL}b1"));
            seen.push(start.fire.key.nominal);
            let execution = format!("e{}", seen.len());
            hear(
                timed,
                &[
                    started(start.fire.key.clone(), &execution),
                    ended(start.fire.key, &execution, "SUCCEEDED"),
                ],
            )
            .await;
        }
    }
    assert_eq!(seen, (0..5).map(|minute| BEGIN - minute * MINUTE).collect::<Vec<_>>());
    hand_out(&*timed.store).await.expect("handed out");
    let now = timed.store.backfill("b1").await.expect("read").expect("there");
    assert_eq!((now.state, now.fired, now.running), (BackfillState::Done as i64, 5, 0));
    assert_eq!(current(timed, "etl").await.action_count, 5);
}

async fn lists_are_pages_of_one_namespace(timed: &Timed) {
    for name in ["a", "b", "c"] {
        create(timed, name, Overlap::Skip).await;
    }
    let (here, there): (Namespace, Namespace) = (Namespace::default(), "team-a".parse().expect("a namespace"));
    let names = |rows: Vec<ScheduleRow>| rows.iter().map(|row| row.name().to_owned()).collect::<Vec<_>>();
    let all = ListFilter::default();
    assert_eq!(
        names(timed.store.list(&here, &all, "", 2).await.expect("list")),
        ["a", "b"]
    );
    assert_eq!(names(timed.store.list(&here, &all, "b", 2).await.expect("list")), ["c"]);
    assert!(timed.store.list(&there, &all, "", 9).await.expect("list").is_empty());
    assert!(timed.store.schedule(&there, "a").await.expect("read").is_none());
    let some = ListFilter {
        name_part: Some("b".to_owned()),
        workflow: Some("etl".to_owned()),
        paused: Some(false),
        owner: None,
    };
    assert_eq!(names(timed.store.list(&here, &some, "", 9).await.expect("list")), ["b"]);
    let mut work = timed.store.begin().await.expect("begin");
    assert!(
        !work.insert(&blank("other", "a")).await.expect("insert"),
        "the name is taken"
    );
    drop(work);
    for odd in ["a\0", "x/a"] {
        assert!(timed.store.schedule(&here, odd).await.expect("read").is_none());
    }
}

async fn old_fires_go_and_open_ones_stay(timed: &Timed) {
    let row = create(timed, "kept", Overlap::Skip).await;
    timed.set(BEGIN + 3 * MINUTE);
    fire(&*timed.store).await.expect("decided");
    let swept = timed.store.sweep(BEGIN + 9 * MINUTE, 100).await.expect("swept");
    assert_eq!(swept, 2, "the two that were skipped");
    assert_eq!(all_fires(timed, &row).await.len(), 1);
    let mut work = timed.store.begin().await.expect("begin");
    work.delete(&row.id).await.expect("deleted");
    work.commit().await.expect("commit");
    assert_eq!(timed.store.sweep(BEGIN + 9 * MINUTE, 100).await.expect("swept"), 1);
}

use reading::one_reads_the_feed_at_a_time;

nexus_service::conformance! {
    adapters: { on_sqlite: sqlite, on_postgres: postgres },
    tests: [
        each_nominal_time_has_one_fire_though_many_decide_at_once,
        an_outage_beyond_the_window_is_skipped_and_within_it_made_up_for,
        news_may_come_twice_and_in_any_order,
        a_failure_pauses_a_schedule_that_asks_for_it,
        what_runs_is_cancelled_for_the_newest,
        backfills_hand_out_as_many_as_may_run,
        lists_are_pages_of_one_namespace,
        old_fires_go_and_open_ones_stay,
        one_reads_the_feed_at_a_time,
    ],
}

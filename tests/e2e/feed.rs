//! The feed of committed events, as another service reads it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::{Event, ListHistoryRequest, execution};
use nexus_api::feed::v1::register_reader_request::Start;
use nexus_api::feed::v1::{
    AcknowledgeFeedRequest, DeleteReaderRequest, FeedEntry, GetReaderRequest, ListReadersRequest, ReadFeedRequest,
    Reader, RegisterReaderRequest, ShardPosition,
};
use nexus_tests::{DEADLINE, Dev, DevOptions};
use tonic::Code;

const READER: &str = "statistics";

const CHAIN: &str = "name: chain\nlabels: {team: data}\ntasks:\n  a: {noop: {}}\n  b: {needs: [a], noop: {}}\n  \
                     c: {needs: [b], noop: {}}\n";

async fn register(dev: &Dev, name: &str, start: Start) -> (Reader, bool) {
    let request = RegisterReaderRequest {
        reader: name.into(),
        start: start.into(),
        forget_after: None,
    };
    let answer = dev
        .feed()
        .register_reader(request)
        .await
        .expect("register")
        .into_inner();
    (answer.reader.expect("reader"), answer.created)
}

fn reading(wait: Duration, after: Vec<ShardPosition>) -> ReadFeedRequest {
    ReadFeedRequest {
        reader: READER.into(),
        after,
        page_size: 7,
        wait: Some(nexus_api::time::duration(
            i64::try_from(wait.as_micros()).expect("short"),
        )),
    }
}

async fn acknowledge(dev: &Dev, positions: Vec<ShardPosition>) {
    let request = AcknowledgeFeedRequest {
        reader: READER.into(),
        positions,
    };
    dev.feed().acknowledge_feed(request).await.expect("acknowledge");
}

/// A reader as services are: it keeps what it has read together with its positions, and acknowledges afterwards.
#[derive(Default)]
struct Service {
    positions: BTreeMap<u32, u64>,
    events: BTreeMap<String, Vec<Event>>,
}

impl Service {
    fn begin(reader: &Reader) -> Self {
        let positions = reader.acknowledged.iter().map(|at| (at.shard, at.position));
        Self {
            positions: positions.collect(),
            events: BTreeMap::new(),
        }
    }

    fn after(&self) -> Vec<ShardPosition> {
        let positions = self.positions.iter();
        positions
            .map(|(shard, position)| ShardPosition {
                shard: *shard,
                position: *position,
            })
            .collect()
    }

    fn take(&mut self, entries: Vec<FeedEntry>) {
        for entry in entries {
            let position = self.positions.entry(entry.shard).or_default();
            *position += 1;
            assert_eq!(entry.position, *position, "without a gap: {entry:?}");
            assert!(!entry.gone);
            let execution = entry.execution.expect("execution");
            assert_eq!((execution.workflow.as_str(), execution.revision), ("chain", 1));
            assert_eq!(execution.labels["team"], "data");
            let numbers: Vec<u64> = entry.events.iter().map(|event| event.sequence).collect();
            let told: Vec<u64> = (entry.first_event..=entry.last_event).collect();
            assert_eq!(numbers, told);
            self.events.entry(execution.id).or_default().extend(entry.events);
        }
    }

    /// Whether it has been told of so many ends.
    fn ends(&self) -> usize {
        let last = self.events.values().filter_map(|events| events.last());
        last.filter(|event| event.execution_state() == execution::State::Succeeded)
            .count()
    }
}

async fn history(dev: &Dev, id: &str) -> Vec<Event> {
    let request = ListHistoryRequest {
        execution: id.into(),
        page_size: 1_000,
        ..Default::default()
    };
    dev.executions()
        .list_history(request)
        .await
        .expect("history")
        .into_inner()
        .events
}

#[tokio::test]
async fn everything_is_told_once_and_in_order_also_across_a_kill() {
    let mut dev = Dev::start();
    dev.run(CHAIN, "").await;
    let (reader, created) = register(&dev, READER, Start::End).await;
    assert!(created);
    assert_eq!(reader.acknowledged.len(), 64);
    let mut service = Service::begin(&reader);
    let mut started = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    for round in 0.. {
        if started.len() < 24 {
            started.push(dev.launch(CHAIN, "").await);
        }
        if round == 10 {
            // What it has read since it last acknowledged is told again to whoever asks for it, and only then.
            dev = dev.kill_and_restart(DevOptions {
                args: vec!["--no-sample".into()],
                ..DevOptions::default()
            });
        }
        let request = reading(Duration::from_millis(200), service.after());
        let page = dev.feed().read_feed(request).await.expect("read").into_inner();
        service.take(page.entries);
        if round % 4 == 0 {
            acknowledge(&dev, service.after()).await;
        }
        if started.len() == 24 && service.ends() == 24 {
            break;
        }
        assert!(Instant::now() < deadline, "{} of 24 ends were told", service.ends());
    }
    assert_eq!(service.events.len(), 24, "what ended before is not told");
    for id in &started {
        assert_eq!(service.events[id], history(&dev, id).await);
    }
    acknowledge(&dev, service.after()).await;
    let request = GetReaderRequest { reader: READER.into() };
    let reader = dev
        .feed()
        .get_reader(request)
        .await
        .expect("reader")
        .into_inner()
        .reader;
    let reader = reader.expect("reader");
    assert_eq!((reader.lag_entries, reader.lag, reader.lost_entries), (0, None, 0));
}

#[tokio::test]
async fn whoever_waits_is_woken_by_a_commit_and_not_before() {
    let dev = Dev::start();
    dev.apply(CHAIN).await.expect("apply");
    register(&dev, READER, Start::End).await;
    let mut feed = dev.feed();
    let began = Instant::now();
    let nothing = feed.read_feed(reading(Duration::from_millis(300), Vec::new())).await;
    assert!(nothing.expect("read").into_inner().entries.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(300));
    let waiting = tokio::spawn(async move {
        let page = feed.read_feed(reading(Duration::from_secs(30), Vec::new())).await;
        (page.expect("read").into_inner(), Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let id = dev.launch(CHAIN, "").await;
    let (stored, (page, woken)) = (Instant::now(), waiting.await.expect("it is answered"));
    assert_eq!(page.entries[0].execution.as_ref().expect("execution").id, id);
    let late = woken.saturating_duration_since(stored);
    assert!(late < Duration::from_secs(5), "{late:?}: it was not woken, it looked");
}

#[tokio::test]
async fn readers_come_and_go_and_what_is_wrong_is_told() {
    let dev = Dev::start();
    let (_, created) = register(&dev, READER, Start::End).await;
    let (again, created_again) = register(&dev, READER, Start::Beginning).await;
    assert!(created && !created_again);
    dev.run(CHAIN, "").await;
    let (later, _) = register(&dev, "audit", Start::Beginning).await;
    assert_eq!(
        later.acknowledged, again.acknowledged,
        "what is kept for others is told to it too"
    );
    assert!(later.lag_entries > 0);
    let list = dev
        .feed()
        .list_readers(ListReadersRequest {
            page_size: 1,
            ..Default::default()
        })
        .await;
    let list = list.expect("list").into_inner();
    assert_eq!(
        (list.readers[0].name.as_str(), list.next_page_token.is_empty()),
        ("audit", false)
    );
    let ahead = vec![ShardPosition {
        shard: 5,
        position: 1_000,
    }];
    let refused = dev
        .feed()
        .read_feed(reading(Duration::ZERO, ahead.clone()))
        .await
        .expect_err("ahead");
    assert_eq!(
        (refused.code(), reason_of(&refused)),
        (Code::OutOfRange, Some(ErrorReason::FeedPositionAhead))
    );
    let request = AcknowledgeFeedRequest {
        reader: READER.into(),
        positions: ahead,
    };
    let refused = dev.feed().acknowledge_feed(request).await.expect_err("ahead");
    assert_eq!(reason_of(&refused), Some(ErrorReason::FeedPositionAhead));
    let delete = DeleteReaderRequest { reader: READER.into() };
    let deleted = dev
        .feed()
        .delete_reader(delete.clone())
        .await
        .expect("delete")
        .into_inner();
    assert!(deleted.deleted);
    assert!(
        !dev.feed()
            .delete_reader(delete)
            .await
            .expect("delete")
            .into_inner()
            .deleted
    );
    let refused = dev
        .feed()
        .read_feed(reading(Duration::ZERO, Vec::new()))
        .await
        .expect_err("unknown");
    assert_eq!(
        (refused.code(), reason_of(&refused)),
        (Code::NotFound, Some(ErrorReason::ReaderNotFound))
    );
    let wrong = RegisterReaderRequest {
        reader: "No".into(),
        ..Default::default()
    };
    let refused = dev.feed().register_reader(wrong).await.expect_err("no name");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

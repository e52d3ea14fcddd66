//! The feed of a mesh: one replica tells what all of them commit, also when one of them dies.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{apply, connect, run};
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Event, ListHistoryRequest, StartExecutionRequest, execution};
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_api::feed::v1::{AcknowledgeFeedRequest, FeedEntry, ReadFeedRequest, RegisterReaderRequest, ShardPosition};
use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::Transport;

const FILE: &str = "
name: told
tasks:
  a: {bash: {run: 'sleep 0.2'}}
  b: {needs: [a], bash: {run: 'sleep 0.2'}}
  c: {needs: [b], noop: {}}
";
const EXECUTIONS: usize = 40;
const DEADLINE: Duration = Duration::from_secs(120);

/// A reader that keeps its positions with what it was told.
struct Reader {
    feed: FeedServiceClient<Transport>,
    after: Vec<ShardPosition>,
    events: BTreeMap<String, Vec<Event>>,
}

impl Reader {
    async fn register(way: &Transport) -> Self {
        let mut feed = FeedServiceClient::new(way.clone());
        let request = RegisterReaderRequest {
            reader: "audit".into(),
            ..RegisterReaderRequest::default()
        };
        let answer = feed.register_reader(request).await.expect("register").into_inner();
        Self {
            feed,
            after: answer.reader.expect("reader").acknowledged,
            events: BTreeMap::new(),
        }
    }

    /// Reads a page, waiting for it, and acknowledges it; how many entries it had.
    async fn page(&mut self, seconds: i64) -> usize {
        let request = ReadFeedRequest {
            reader: "audit".into(),
            after: self.after.clone(),
            wait: Some(nexus_api::time::duration(seconds * 1_000_000)),
            ..ReadFeedRequest::default()
        };
        let entries = self.feed.read_feed(request).await.expect("read").into_inner().entries;
        let number = entries.len();
        entries.into_iter().for_each(|entry| self.take(entry));
        let request = AcknowledgeFeedRequest {
            reader: "audit".into(),
            positions: self.after.clone(),
        };
        self.feed.acknowledge_feed(request).await.expect("acknowledge");
        number
    }

    fn take(&mut self, entry: FeedEntry) {
        let shard = self
            .after
            .iter_mut()
            .find(|at| at.shard == entry.shard)
            .expect("a shard");
        shard.position += 1;
        assert_eq!(entry.position, shard.position, "without a gap");
        let id = entry.execution.expect("execution").id;
        self.events.entry(id).or_default().extend(entry.events);
    }

    fn ends(&self) -> usize {
        let last = self.events.values().filter_map(|events| events.last());
        last.filter(|event| event.execution_state() == execution::State::Succeeded)
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_told_once_though_an_owner_dies_and_waiting_readers_are_woken() {
    let shape = Shape {
        definitions: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    apply(&mesh, FILE).await;
    let ways = [0, 1].map(|number| connect(&mesh.node(Role::Execution, number).address()));
    let mut reader = Reader::register(&ways[1]).await;
    // Shards are of either replica, and the reader asks one of them.
    for _ in 0..6 {
        let (way, begun) = (ways[0].clone(), Instant::now());
        let running = tokio::spawn(async move { run(&way, "told").await });
        assert!(reader.page(30).await > 0);
        let late = begun.elapsed();
        assert!(late < Duration::from_secs(4), "{late:?}: it was not woken, it looked");
        running.await.expect("it ends");
    }
    let mut executions = ExecutionServiceClient::new(connect(&mesh.execution()));
    for number in 0..EXECUTIONS {
        let start = StartExecutionRequest {
            workflow: "told".into(),
            request_id: format!("r{number}"),
            ..StartExecutionRequest::default()
        };
        executions.start_execution(start).await.expect("start");
        if number == EXECUTIONS / 2 {
            mesh.node(Role::Execution, 0).kill().expect("kill");
        }
    }
    let deadline = Instant::now() + DEADLINE;
    while reader.ends() < EXECUTIONS + 6 {
        assert!(Instant::now() < deadline, "{} ends were told", reader.ends());
        reader.page(1).await;
    }
    assert_eq!(reader.events.len(), EXECUTIONS + 6);
    let mut executions = ExecutionServiceClient::new(ways[1].clone());
    for (id, events) in &reader.events {
        let request = ListHistoryRequest {
            execution: id.clone(),
            page_size: 1_000,
            ..ListHistoryRequest::default()
        };
        let history = executions.list_history(request).await.expect("history").into_inner();
        assert_eq!(*events, history.events, "{id}");
    }
    mesh.stop().await.expect("stop");
}

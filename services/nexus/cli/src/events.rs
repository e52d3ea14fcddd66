//! `nexus events`: what is committed, as it is committed, and who reads it.

use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_api::feed::v1::{
    AcknowledgeFeedRequest, DeleteReaderRequest, FeedEntry, ListReadersRequest, ReadFeedRequest, Reader,
    RegisterReaderRequest, ShardPosition,
};
use nexus_api::time::duration_micros;
use nexus_mesh::Transport;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use super::args::{EventsArgs, Readers};
use super::client::{Clients, MAX_RECONNECTS, is_away, pause};
use super::error::CliError;
use super::exit::Exit;
use super::output::{self, Output, more};
use super::target::Target;
use super::{table, time, watch};

/// After so much silence the server forgets a reader that was ended without a word.
const FORGET_AFTER: i64 = 10 * 60 * 1_000_000;
/// How long one call waits for events.
const WAIT: i64 = 20 * 1_000_000;
/// Largest answer that is taken.
const MAX_ANSWER: usize = 64 << 20;

type Client = FeedServiceClient<Transport>;

fn client(target: &Target) -> Result<Client, CliError> {
    Ok(FeedServiceClient::new(target.way()?).max_decoding_message_size(MAX_ANSWER))
}

/// Shows what is committed from now on, until Ctrl-C or the end of the time.
pub(super) async fn run(args: &EventsArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let mut feed = client(target)?;
    let reader = format!("cli-{}", uuid::Uuid::new_v4().simple());
    let request = RegisterReaderRequest {
        reader: reader.clone(),
        forget_after: Some(nexus_api::time::duration(FORGET_AFTER)),
        ..RegisterReaderRequest::default()
    };
    let registered = feed.register_reader(request).await;
    let registered = registered.map_err(|status| clients.error(status))?.into_inner();
    let shown = Shown {
        namespace: target.namespace().clone(),
        output,
    };
    let mut after = registered.reader.unwrap_or_default().acknowledged;
    let until = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut reading = feed.clone();
    let ended = tokio::select! {
        ended = follow(&clients, &mut reading, &reader, &mut after, &shown) => ended.map(|()| Exit::Ok),
        () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => Ok(Exit::Ok),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    };
    // Otherwise the server does it later by itself.
    let _forgotten = tokio::time::timeout(
        Duration::from_secs(2),
        feed.delete_reader(DeleteReaderRequest { reader }),
    )
    .await;
    ended
}

/// Reads on for ever.
async fn follow(
    clients: &Clients,
    feed: &mut Client,
    reader: &str,
    after: &mut [ShardPosition],
    shown: &Shown<'_>,
) -> Result<(), CliError> {
    let mut failures = 0;
    loop {
        match page(feed, reader, after).await {
            Ok(entries) => {
                failures = 0;
                for entry in &entries {
                    shown.print(entry)?;
                }
            }
            Err(status) if is_away(&status) && failures < MAX_RECONNECTS => {
                failures += 1;
                sleep(pause(failures)).await;
            }
            Err(status) => return Err(clients.error(status)),
        }
    }
}

/// What comes next; it is acknowledged at once, since what is shown is not asked for again.
async fn page(feed: &mut Client, reader: &str, after: &mut [ShardPosition]) -> Result<Vec<FeedEntry>, Status> {
    let request = ReadFeedRequest {
        reader: reader.to_owned(),
        after: after.to_vec(),
        page_size: 0,
        wait: Some(nexus_api::time::duration(WAIT)),
    };
    let entries = feed.read_feed(request).await?.into_inner().entries;
    for entry in &entries {
        if let Some(position) = after.iter_mut().find(|position| position.shard == entry.shard) {
            position.position = entry.position;
        }
    }
    let request = AcknowledgeFeedRequest {
        reader: reader.to_owned(),
        positions: after.to_vec(),
    };
    // The next one says it again.
    let _acknowledged = feed.acknowledge_feed(request).await;
    Ok(entries)
}

/// What of the feed is shown, and where.
struct Shown<'a> {
    /// The feed tells of all; a command is about one.
    namespace: Namespace,
    output: &'a Output,
}

impl Shown<'_> {
    fn print(&self, entry: &FeedEntry) -> Result<(), CliError> {
        let execution = entry.execution.clone().unwrap_or_default();
        // Whose an execution was that is gone, nobody knows any more.
        if entry.gone || execution.namespace != self.namespace.as_str() {
            return Ok(());
        }
        if !self.output.is_table() {
            // One JSON text per line: there is no end that a document could wait for.
            let text = output::json(entry, "nexus.feed.v1.FeedEntry")?.to_string();
            return self.output.line(&text);
        }
        for event in &entry.events {
            let told = watch::plain::event(event);
            self.output
                .line(&format!("{} {} {told}", execution.workflow, execution.id))?;
        }
        Ok(())
    }
}

/// Shows or forgets readers of the feed.
pub(super) async fn readers(command: Readers, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let mut feed = client(target)?;
    match command {
        Readers::List { page } => {
            let request = ListReadersRequest {
                page_size: page.limit,
                page_token: page.page_token,
            };
            let answer = feed.list_readers(request).await;
            let answer = answer.map_err(|status| clients.error(status))?.into_inner();
            list(&answer.readers, &answer.next_page_token, output)?;
        }
        Readers::Delete { reader } => {
            let request = DeleteReaderRequest { reader: reader.clone() };
            let answer = feed.delete_reader(request).await;
            let deleted = answer.map_err(|status| clients.error(status))?.into_inner().deleted;
            let done = if deleted { "deleted" } else { "not there" };
            output.line(&format!("{reader}: {done}"))?;
        }
    }
    Ok(Exit::Ok)
}

fn list(readers: &[Reader], token: &str, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.value(&output::page("readers", readers, "nexus.feed.v1.Reader", token)?);
    }
    let now = time::now_micros();
    let row = |reader: &Reader| {
        let lag = reader.lag.as_ref().map(|lag| time::span(duration_micros(lag)));
        vec![
            reader.name.clone(),
            reader.lag_entries.to_string(),
            lag.unwrap_or_default(),
            reader.lost_entries.to_string(),
            time::ago(reader.acknowledge_time.as_ref(), now),
        ]
    };
    let rows: Vec<Vec<String>> = readers.iter().map(row).collect();
    output.raw(&table::render(
        &["READER", "BEHIND", "BY", "LOST", "ACKNOWLEDGED"],
        &rows,
    ))?;
    more(token);
    Ok(())
}

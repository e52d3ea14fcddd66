//! `nexus events`: what is committed, as it is committed.
//!
//! It reads the feed as a reader of its own, which it deletes at the end. With `--resume-file` the reader stays known, since
//! for a reader that is not known nothing is kept.

mod past;
mod positions;
pub(super) mod readers;
mod shown;

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_api::feed::v1::register_reader_request::Start;
use nexus_api::feed::v1::{
    AcknowledgeFeedRequest, DeleteReaderRequest, FeedEntry, ReadFeedRequest, RegisterReaderRequest,
};
use nexus_cli_frame::{CliError, Exit, MAX_RECONNECTS, Output, Target, is_away, pause, time};
use nexus_mesh::Transport;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;
use tonic_types::StatusExt;

use super::args::EventsArgs;
use super::client::Clients;
use positions::{Positions, ResumeFile};
use shown::Shown;

/// After so much silence the server forgets a reader that was ended without a word.
const FORGET_AFTER: i64 = 10 * 60 * 1_000_000;
/// And one that is meant to come back: the longest that the feed allows.
const FORGET_RESUMABLE_AFTER: i64 = 7 * 24 * 3_600 * 1_000_000;
/// How long one call waits for events.
const WAIT: i64 = 20 * 1_000_000;
/// How long the end waits for the server to forget the reader.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Largest answer that is taken.
const MAX_ANSWER: usize = 64 << 20;

type Client = FeedServiceClient<Transport>;

fn client(target: &Target) -> Result<Client, CliError> {
    Ok(FeedServiceClient::new(target.way()?).max_decoding_message_size(MAX_ANSWER))
}

/// Shows what happened since a time, what came since the last run, or what comes: until it is shown, Ctrl-C or the end of the
/// time.
pub(super) async fn run(args: &EventsArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let mut shown = Shown::new(args, target, output);
    let since = args.since.map(|since| since.micros(time::now_micros()));
    // Without a beginning in the past there is nothing to show but what comes.
    let follow = args.follow || (args.since.is_none() && args.resume_file.is_none());
    let mut end = std::pin::pin!(end(args.timeout)?);
    if let (Some(since), false) = (since, follow) {
        return tokio::select! {
            told = past::show(&clients, since, &mut shown) => told.map(|()| Exit::Ok),
            exit = &mut end => Ok(exit),
        };
    }
    let mut reading = Reading::new(args, target, &clients, follow)?;
    let ended = tokio::select! {
        ended = reading.run(since, &mut shown) => ended.map(|()| Exit::Ok),
        exit = &mut end => Ok(exit),
    };
    reading.leave().await;
    ended
}

/// Ends when somebody wants it to, or with the time.
fn end(timeout: Option<Duration>) -> Result<impl Future<Output = Exit>, CliError> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let terminate = signal(SignalKind::terminate());
    let mut terminate = terminate.map_err(|error| CliError::Other(error.to_string()))?;
    Ok(async move {
        tokio::select! {
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => Exit::Ok,
            _ = tokio::signal::ctrl_c() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Interrupted,
        }
    })
}

/// A reader at work.
struct Reading<'a> {
    feed: Client,
    clients: &'a Clients,
    positions: Positions,
    file: Option<ResumeFile>,
    /// Whether it waits for what comes.
    follow: bool,
}

impl<'a> Reading<'a> {
    fn new(args: &EventsArgs, target: &Target, clients: &'a Clients, follow: bool) -> Result<Self, CliError> {
        let file = args.resume_file.as_deref().map(ResumeFile::new);
        let kept = file.as_ref().map(ResumeFile::read).transpose()?.flatten();
        let fresh = || Positions::new(format!("cli-{}", uuid::Uuid::new_v4().simple()));
        Ok(Self {
            feed: client(target)?,
            clients,
            positions: kept.unwrap_or_else(fresh),
            file,
            follow,
        })
    }

    /// Makes the reader known, shows the past, and reads on: for ever, or while there is more.
    async fn run(&mut self, since: Option<i64>, shown: &mut Shown<'_>) -> Result<(), CliError> {
        self.register().await.map_err(|status| self.clients.error(status))?;
        self.save()?;
        if let Some(since) = since {
            past::show(self.clients, since, shown).await?;
        }
        let mut failures = 0;
        loop {
            match self.page().await {
                Ok(entries) if entries.is_empty() && !self.follow => return Ok(()),
                Ok(entries) => {
                    failures = 0;
                    self.show(entries, shown)?;
                    self.acknowledge().await;
                }
                Err(status) if failures < MAX_RECONNECTS => {
                    failures += 1;
                    if is_away(&status) {
                        sleep(pause(failures)).await;
                    } else {
                        self.mend(status).await?;
                    }
                }
                Err(status) => return Err(self.clients.error(status)),
            }
        }
    }

    /// Makes the reader known, if it is not. One that has read before goes on where it was.
    async fn register(&mut self) -> Result<(), Status> {
        let anew = self.positions.is_empty();
        let forget_after = if self.file.is_some() {
            FORGET_RESUMABLE_AFTER
        } else {
            FORGET_AFTER
        };
        let request = RegisterReaderRequest {
            reader: self.positions.reader.clone(),
            start: if anew { Start::End } else { Start::Beginning }.into(),
            forget_after: Some(nexus_api::time::duration(forget_after)),
        };
        let registered = self.feed.register_reader(request).await?.into_inner();
        if registered.created && !anew {
            eprintln!(
                "the server had forgotten the reader {}; some of what happened meanwhile may be missing here",
                self.positions.reader
            );
        }
        self.positions
            .begin(&registered.reader.unwrap_or_default().acknowledged);
        Ok(())
    }

    async fn page(&mut self) -> Result<Vec<FeedEntry>, Status> {
        let request = ReadFeedRequest {
            reader: self.positions.reader.clone(),
            after: self.positions.after(),
            page_size: 0,
            wait: self.follow.then(|| nexus_api::time::duration(WAIT)),
        };
        Ok(self.feed.read_feed(request).await?.into_inner().entries)
    }

    /// Shows entries and keeps how far. Nothing is waited for in between, so no end of the wait comes between the two.
    fn show(&mut self, entries: Vec<FeedEntry>, shown: &mut Shown<'_>) -> Result<(), CliError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut read = self.positions.clone();
        let told = entries.into_iter().try_for_each(|entry| {
            let (shard, position) = (entry.shard, entry.position);
            shown.entry(entry)?;
            read.reach(shard, position);
            Ok(())
        });
        self.positions = read;
        self.save()?;
        told
    }

    fn save(&self) -> Result<(), CliError> {
        self.file.as_ref().map_or(Ok(()), |file| file.write(&self.positions))
    }

    /// Says what is needed no more. The next time says it again, so a time that fails is none the worse.
    async fn acknowledge(&mut self) {
        let request = AcknowledgeFeedRequest {
            reader: self.positions.reader.clone(),
            positions: self.positions.after(),
        };
        let _acknowledged = self.feed.acknowledge_feed(request).await;
    }

    /// Goes on after what the feed could not give.
    async fn mend(&mut self, status: Status) -> Result<(), CliError> {
        match reason_of(&status) {
            Some(ErrorReason::ReaderNotFound) => match self.register().await {
                Ok(()) => self.save(),
                // The next page finds out again.
                Err(status) if is_away(&status) => Ok(()),
                Err(status) => Err(self.clients.error(status)),
            },
            Some(ErrorReason::FeedEntriesLost) => {
                let Some((shard, resume_after)) = lost(&status) else {
                    return Err(self.clients.error(status));
                };
                eprintln!("some events are missing here: {}", status.message());
                self.positions.reach(shard, resume_after);
                self.save()
            }
            Some(ErrorReason::FeedPositionAhead) if self.file.is_some() => Err(CliError::Other(format!(
                "{}; without the file of --resume-file it begins anew",
                status.message()
            ))),
            _ => Err(self.clients.error(status)),
        }
    }

    /// Deletes the reader, unless somebody is to go on with it. Otherwise the server does it later by itself.
    async fn leave(mut self) {
        let reader = self.positions.reader.clone();
        if self.file.is_some() {
            eprintln!("the reader {reader} stays known to the server; `nexus readers delete {reader}` ends that");
            return;
        }
        let _forgotten =
            tokio::time::timeout(LAST_WORDS, self.feed.delete_reader(DeleteReaderRequest { reader })).await;
    }
}

/// Where a shard is read on whose entries grew too old.
fn lost(status: &Status) -> Option<(u32, u64)> {
    let details = status.get_error_details();
    let about = &details.error_info()?.metadata;
    Some((
        about.get("shard")?.parse().ok()?,
        about.get("resume_after")?.parse().ok()?,
    ))
}

//! The way from where entries wait to the log. Each replica takes what is in its outbox there, in order and in batches, and
//! removes it when it has arrived; replicas may do so at once and a batch may go twice, since entries are known by their ids.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::audit::v1::RecordAuditEntriesRequest;
use nexus_api::audit::v1::audit_service_client::AuditServiceClient;
use nexus_mesh::{Clock, Transport};
use nexus_storage::outbox::{Outbox, Waiting};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::denials::{self, Denials};
use crate::entry::Entry;
use crate::{Recorder, canonical, message};

/// Entries of a call at most; the contract takes no more.
pub const BATCH: u32 = 500;
/// How long a call may take.
const CALL: Duration = Duration::from_secs(20);
/// How soon it is looked after an entry was made, so that it is stored by then and others come along; once more after that,
/// for one whose commit took longer; and how often without a reason.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(30);
/// The longest wait between tries while the log is away.
const LONGEST: Duration = Duration::from_secs(15);

const ENTRIES: &str = "nexus_audit_outbox_entries";
const AGE: &str = "nexus_audit_outbox_oldest_seconds";
const UNREADABLE: &str = "nexus_audit_outbox_unreadable_total";

/// Describes the metrics; to be called once at the start.
pub fn describe() {
    metrics::describe_gauge!(
        ENTRIES,
        "Entries that wait for the audit log, by the role that wrote them."
    );
    metrics::describe_gauge!(AGE, "Age of the oldest entry that waits for the audit log, by role.");
    metrics::describe_counter!(
        UNREADABLE,
        "Entries of an outbox that are none; they stay where they are."
    );
    denials::describe();
}

/// The log did not take entries.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("{0}")]
    Storage(#[from] nexus_storage::Error),
    #[error("{}", .0.message())]
    Log(Box<tonic::Status>),
    #[error("no answer in time")]
    Late,
}

/// The way to the log.
#[derive(Clone)]
pub struct Log(AuditServiceClient<Transport>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Over a way on which this process shows that it is one.
    #[must_use]
    pub fn new(way: Transport) -> Self {
        Self(AuditServiceClient::new(way))
    }

    async fn record(&self, entries: &[Entry]) -> Result<(), ShipError> {
        let request = RecordAuditEntriesRequest {
            entries: entries.iter().map(message::of_entry).collect(),
        };
        let mut client = self.0.clone();
        match timeout(CALL, client.record_audit_entries(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(ShipError::Log(Box::new(status))),
            Err(_) => Err(ShipError::Late),
        }
    }
}

/// Takes what is in an outbox to the log until the shutdown, and then once more.
pub async fn outbox(
    role: &'static str,
    outbox: Arc<dyn Outbox>,
    recorder: Recorder,
    log: Log,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut pace = Pace::default();
    loop {
        let shipped = empty(&*outbox, &log).await;
        tell_extent(role, &*outbox, &clock).await;
        let wait = pace.after(shipped, "the audit log does not take entries; they wait");
        tokio::select! {
            () = wait => {}
            () = hurry(pace.is_away(), recorder.made()) => pace.looked_late = false,
            () = shutdown.cancelled() => break,
        }
    }
    // What is left goes with the next start, or by another replica.
    drop(timeout(LATER, empty(&*outbox, &log)).await);
}

/// Takes calls that were refused to the log until the shutdown, and then once more.
pub async fn refused(denials: Denials, log: Log, shutdown: CancellationToken) {
    let mut pace = Pace::default();
    loop {
        let shipped = hand_over(&denials, &log, false).await;
        let wait = pace.after(shipped, "the audit log does not take refused calls; they wait");
        tokio::select! {
            () = wait => {}
            () = hurry(pace.is_away(), denials.noted()) => pace.looked_late = false,
            () = shutdown.cancelled() => break,
        }
    }
    drop(timeout(LATER, hand_over(&denials, &log, true)).await);
}

/// How long it is waited between looks.
#[derive(Default)]
struct Pace {
    failures: u32,
    looked_late: bool,
}

impl Pace {
    /// The wait after a look, which may have failed.
    fn after(&mut self, shipped: Result<bool, ShipError>, trouble: &'static str) -> impl Future<Output = ()> + use<> {
        let wait = match shipped {
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == 3 || self.failures.is_multiple_of(40) {
                    tracing::warn!(%error, "{trouble}");
                }
                LONGEST.min(SOON * 2_u32.saturating_pow(self.failures.min(10)))
            }
            Ok(more) => {
                self.failures = 0;
                let late = std::mem::replace(&mut self.looked_late, !more);
                if more || !late { LATER } else { IDLE }
            }
        };
        sleep(wait.mul_f64(0.75 + 0.5 * fastrand::f64()))
    }

    fn is_away(&self) -> bool {
        self.failures > 0
    }
}

/// Comes soon after there is something, unless the log is away.
async fn hurry(away: bool, made: impl Future<Output = ()>) {
    if away {
        std::future::pending::<()>().await;
    }
    made.await;
    sleep(SOON).await;
}

/// Takes everything that waits to the log; whether there was anything.
async fn empty(outbox: &dyn Outbox, log: &Log) -> Result<bool, ShipError> {
    let mut any = false;
    // A busy outbox is looked at again after a while, so that the shutdown is heard.
    let until = Instant::now() + LONGEST;
    while Instant::now() < until {
        let waiting = outbox.waiting(BATCH).await?;
        if waiting.is_empty() {
            break;
        }
        let full = waiting.len() >= BATCH as usize;
        let (positions, entries) = read(waiting);
        if entries.is_empty() {
            break;
        }
        log.record(&entries).await?;
        outbox.remove(&positions).await?;
        any = true;
        if !full {
            break;
        }
    }
    Ok(any)
}

/// What of an outbox are entries.
fn read(waiting: Vec<Waiting>) -> (Vec<i64>, Vec<Entry>) {
    let mut read = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
    for one in waiting {
        match canonical::decode(&one.entry) {
            Ok(entry) => {
                read.0.push(one.position);
                read.1.push(entry);
            }
            Err(error) => {
                metrics::counter!(UNREADABLE).increment(1);
                tracing::error!(%error, position = one.position, "an audit entry cannot be read");
            }
        }
    }
    read
}

async fn hand_over(denials: &Denials, log: &Log, all: bool) -> Result<bool, ShipError> {
    let entries = denials.take(BATCH as usize, all);
    if entries.is_empty() {
        return Ok(false);
    }
    match log.record(&entries).await {
        Ok(()) => Ok(true),
        Err(error) => {
            denials.give_back(entries);
            Err(error)
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Numbers of a gauge.
async fn tell_extent(role: &'static str, outbox: &dyn Outbox, clock: &Clock) {
    let Ok(extent) = outbox.extent().await else { return };
    let age = extent.oldest.map_or(0, |oldest| clock().saturating_sub(oldest).max(0));
    metrics::gauge!(ENTRIES, "role" => role).set(extent.entries as f64);
    metrics::gauge!(AGE, "role" => role).set(age as f64 / 1e6);
}

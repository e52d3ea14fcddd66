//! Whether the address that this replica advertises leads to it. If it leads nowhere, or to another replica that advertises
//! the same, the others cannot pass calls on to it: half of all starts would hang while everybody says to be well.

use std::time::Duration;

use nexus_api::shard::v1::IdentifyReplicaRequest;
use nexus_api::shard::v1::shard_service_client::ShardServiceClient;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Connect, MEMBERSHIP, Router, request};

/// How often it is looked, at first and once all was well, and how long an answer may take.
const SOON: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);
/// Looks that must fail one after the other before an address that was well counts as wrong.
const TIMES: u32 = 3;

/// What this replica advertises, and what it needs to look where that leads.
pub(crate) struct OwnAddress {
    pub(crate) address: String,
    pub(crate) connect: Connect,
    pub(crate) router: Router,
}

impl OwnAddress {
    /// Looks until the shutdown, and tells what is wrong with the address; nothing once it is known to be right.
    pub(crate) async fn watch(self, problem: watch::Sender<Option<String>>, shutdown: CancellationToken) {
        let mut failures = 0;
        let mut twins: Option<tokio::time::Instant> = None;
        loop {
            let found = self.look(&mut twins).await;
            failures = if found.is_some() { failures + 1 } else { 0 };
            let well = problem.borrow().is_none();
            if found.is_none() || !well || failures >= TIMES {
                if let Some(found) = &found
                    && well
                {
                    tracing::error!(
                        address = self.address,
                        problem = found,
                        "the advertised address is wrong"
                    );
                }
                problem.send_replace(found);
            }
            let pause = if failures == 0 { EVERY } else { SOON };
            tokio::select! {
                () = sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// What is wrong with the address at this moment.
    async fn look(&self, twins: &mut Option<tokio::time::Instant>) -> Option<String> {
        let address = &self.address;
        // Who died a moment ago and began again is there twice until its former membership ends.
        let twin = self.router.peers().all().iter().any(|peer| *peer.address == **address);
        let since = match (twin, *twins) {
            (true, since) => Some(*twins.insert(since.unwrap_or_else(tokio::time::Instant::now))),
            (false, _) => twins.take().and(None),
        };
        let me = self.router.me()?;
        let asked = self.ask().await;
        // Where it leads here the other one is wrong, and says so.
        if asked.as_ref().is_ok_and(|replica| replica == me.as_bytes()) {
            return None;
        }
        if since.is_some_and(|since| since.elapsed() > MEMBERSHIP * 2) {
            return Some(format!(
                "another replica advertises {address} too; give each an address of its own (`advertise`)"
            ));
        }
        match asked {
            // It joined anew in between.
            Ok(replica) if self.router.me() != Some(me) && replica.len() == 16 => None,
            Ok(replica) => Some(format!(
                "at {address}, which this replica advertises, another one answers ({}); give each an address of its own \
                 (`advertise`)",
                Uuid::from_slice(&replica).map_or_else(|_| "it has no name".to_owned(), |name| name.to_string())
            )),
            Err(error) => Some(format!(
                "the address that this replica advertises, {address}, does not lead to it: {error}; set `advertise` to one \
                 at which the other replicas reach it"
            )),
        }
    }

    async fn ask(&self) -> Result<Vec<u8>, String> {
        let mut client = ShardServiceClient::new((self.connect)(&self.address)?);
        let asked = client.identify_replica(request(IdentifyReplicaRequest {}, ANSWER));
        match timeout(ANSWER, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().replica),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

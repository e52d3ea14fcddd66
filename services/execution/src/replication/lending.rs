//! Handing pointers from replica to replica while Redis is away: whoever has workers waiting asks the others for what lies
//! in their memory. A pointer that is lost on the way is offered again by its owner.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::shard::v1::{LendPointersRequest, LendPointersResponse, LentPointer};
use nexus_streams::{Entry, Lane, Lend};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Peers, request, words};

/// How often the others are asked, and how long one may take to answer.
const ASK: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(1);
/// Pointers of one answer at most.
pub(crate) const MOST: usize = 1_000;

/// Asks the others for what the workers here want, whenever Redis is away, until the shutdown.
pub(crate) async fn borrow(peers: Peers, lending: Arc<dyn Lend>, shutdown: CancellationToken) {
    let mut away = lending.away();
    loop {
        let gone = tokio::select! {
            gone = away.wait_for(|away| *away) => gone.is_err(),
            () = shutdown.cancelled() => return,
        };
        if gone {
            return;
        }
        for (queue, wanted) in lending.wanted() {
            borrow_for(&peers, lending.as_ref(), &queue, wanted).await;
        }
        sleep(ASK).await;
    }
}

async fn borrow_for(peers: &Peers, lending: &dyn Lend, queue: &str, mut wanted: usize) {
    for peer in peers.all() {
        if wanted == 0 {
            return;
        }
        let ask = LendPointersRequest {
            queue: queue.to_owned(),
            max: u32::try_from(wanted).unwrap_or(u32::MAX),
        };
        let Ok(Ok(answer)) = timeout(ANSWER, peer.client().lend_pointers(request(ask, ANSWER))).await else {
            continue;
        };
        let lent: Vec<Entry> = answer
            .into_inner()
            .pointers
            .iter()
            .filter_map(|lent| entry(queue, lent))
            .collect();
        wanted = wanted.saturating_sub(lent.len());
        if let Err(error) = lending.borrow_in(lent) {
            tracing::warn!(%error, "borrowed tasks were not kept; their owners offer them again");
        }
    }
}

fn entry(queue: &str, lent: &LentPointer) -> Option<Entry> {
    Some(Entry {
        queue: queue.to_owned(),
        lane: match lent.lane {
            0 => Lane::High,
            1 => Lane::Normal,
            _ => Lane::Low,
        },
        pointer: words::pointer_from(lent.pointer.as_ref()?)?,
    })
}

/// Gives another replica what it asks for, as far as it lies here.
pub(crate) fn lend(lending: &dyn Lend, ask: &LendPointersRequest) -> LendPointersResponse {
    let entries = lending.lend(&ask.queue, (ask.max as usize).min(MOST));
    let lent = |entry: &Entry| LentPointer {
        pointer: Some(words::pointer(&entry.pointer)),
        lane: entry.lane as u32,
    };
    LendPointersResponse {
        pointers: entries.iter().map(lent).collect(),
    }
}

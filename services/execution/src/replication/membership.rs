//! Keeping the membership: renewing it, taking shards that nobody owns, giving up those that others should have, and
//! leaving in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexus_execution_owner::Steering;
use nexus_execution_owner::balance::{Moves, moves};
use nexus_execution_owner::control::{Control, Handover};
use nexus_execution_store::membership::{Replica, View, in_time};
use nexus_execution_store::{Fence, Ids, SHARDS, StoreError};
use nexus_failpoint::kill_here;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::nudge::Nudge;
use super::trust::Trust;
use super::{MEMBERSHIP, RENEWAL, Replication, Router, TRUST};

/// How long one question to the store may take.
const CALL: Duration = Duration::from_secs(2);
/// How soon it is looked again after a nudge or a failure.
const SOON: Duration = Duration::from_millis(50);
const AFTER_FAILURE: Duration = Duration::from_millis(250);
/// How long the decisions of a shard may take to be stored before it is looked again.
const HANDOVER: Duration = Duration::from_secs(3);

/// What the keeper steers, and what wakes it.
pub(crate) struct Ways {
    pub(crate) router: Router,
    pub(crate) steering: Steering,
    pub(crate) nudge: Nudge,
}

/// Keeps the membership of this replica.
pub(crate) struct Keeper {
    replication: Replication,
    router: Router,
    steering: Steering,
    nudge: Nudge,
    ids: Ids,
    me: Replica,
    /// When trust ends unless the membership is renewed.
    trusted_until: watch::Sender<Instant>,
    joined: bool,
    /// The name under which it is joining again, until that is known to be done: a join whose answer was lost is repeated
    /// under the same name, and leaves no replica behind that nobody is.
    rejoining: Option<Uuid>,
    /// What was seen last.
    view: View,
    /// The shards that the owner's loop was given and not yet asked to give up.
    held: BTreeSet<u16>,
}

impl Keeper {
    /// Joins for the first time.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn join(replication: &Replication, ids: &Ids) -> Result<(Replica, Fence), StoreError> {
        let me = Replica {
            owner: ids.random(),
            address: replication.address.clone(),
            draining: false,
        };
        let fence = replication.membership.join(&me, MEMBERSHIP).await?;
        Ok((me, fence))
    }

    /// A keeper of a membership that was just begun, and what watches over its freshness and tells it through `standing`.
    pub(crate) fn new(
        replication: Replication,
        me: Replica,
        ids: Ids,
        ways: Ways,
        standing: watch::Sender<bool>,
    ) -> (Self, Trust) {
        let Ways {
            router,
            steering,
            nudge,
        } = ways;
        let (trusted_until, until) = watch::channel(Instant::now() + TRUST);
        let trust = Trust {
            until,
            standing,
            control: steering.control.clone(),
        };
        let keeper = Self {
            replication,
            router,
            steering,
            nudge,
            ids,
            me,
            trusted_until,
            joined: true,
            rejoining: None,
            view: View::default(),
            held: BTreeSet::new(),
        };
        (keeper, trust)
    }

    /// Keeps it until `drain`, then hands everything over and leaves. What others own is known as long as it runs.
    pub(crate) async fn run(mut self, drain: CancellationToken) {
        let mut next = Instant::now();
        let mut looked = next;
        loop {
            tokio::select! {
                () = drain.cancelled() => break,
                () = sleep_until(next) => {}
                // Not more often than every so often, however many ask.
                () = self.nudge.nudged() => sleep_until(looked + SOON).await,
                Ok(()) = self.steering.lost.changed() => self.joined = false,
            }
            looked = Instant::now();
            let again = match self.round().await {
                Ok(()) => self.next_look(),
                Err(error) => {
                    tracing::warn!(%error, "the membership cannot be renewed; trying again");
                    AFTER_FAILURE
                }
            };
            next = looked + again;
        }
        self.leave().await;
    }

    /// When to look again: in time to renew, and at once when a replica may have to be taken out.
    fn next_look(&self) -> Duration {
        let expiry = self.view.next_expiry.map_or(RENEWAL, |left| left + SOON);
        expiry.min(RENEWAL)
    }

    /// One look: renew, and move what should be moved.
    async fn round(&mut self) -> Result<(), StoreError> {
        if !self.joined {
            self.rejoin().await?;
        }
        let begun = Instant::now();
        let renewed = self
            .in_time(self.replication.membership.renew(&self.me, MEMBERSHIP))
            .await;
        kill_here("execution::membership::renewed");
        let view = match renewed {
            Ok(view) => view,
            Err(StoreError::Fenced) => {
                tracing::warn!("this replica was silent for too long and was taken out; it joins again");
                self.joined = false;
                self.nudge.nudge();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.trusted_until.send_replace(begun + TRUST);
        let wanted = moves(self.me.owner, &view);
        self.view = view.clone();
        self.router.update(self.me.owner, view);
        self.agree().await;
        self.make(wanted).await
    }

    /// Brings what the owner's loop has to what the store says. They part when the answer to a question is lost: a shard
    /// that was acquired and not heard of would be nobody's for ever, and so would one that was to be released.
    async fn agree(&mut self) {
        let (strays, lost) = differences(self.me.owner, &self.view, &self.held);
        if !lost.is_empty() {
            tracing::warn!(shards = ?lost, "shards are not this replica's any more");
            self.held.retain(|shard| !lost.contains(shard));
            self.tell(Control::Drop(lost)).await;
        }
        if !strays.is_empty() {
            tracing::warn!(shards = ?strays, "shards are this replica's and it had not heard of it");
            self.adopt(strays).await;
        }
    }

    async fn adopt(&mut self, shards: Vec<u16>) {
        self.held.extend(&shards);
        self.tell(Control::Adopt(shards)).await;
        self.router.peers().nudge();
    }

    /// Joins under a new name; what was owned under the old one is forgotten.
    async fn rejoin(&mut self) -> Result<(), StoreError> {
        // As a rule it is out already. If it is not, nobody has to wait for its end, and a commit that is still under way
        // under the old name is refused.
        self.in_time(self.replication.membership.leave(self.me.owner)).await?;
        let name = *self.rejoining.get_or_insert_with(|| self.ids.random());
        let me = Replica {
            owner: name,
            ..self.me.clone()
        };
        let fence = self.in_time(self.replication.membership.join(&me, MEMBERSHIP)).await?;
        (self.me, self.rejoining) = (me, None);
        self.held.clear();
        self.tell(Control::Rejoin(fence)).await;
        // What was lost under the old name is no news any more.
        self.steering.lost.mark_unchanged();
        self.joined = true;
        Ok(())
    }

    async fn make(&mut self, wanted: Moves) -> Result<(), StoreError> {
        let membership = Arc::clone(&self.replication.membership);
        if !wanted.give_up.is_empty() {
            self.held.retain(|shard| !wanted.give_up.contains(shard));
            self.hand_over(&wanted.give_up).await;
            self.in_time(membership.release(self.me.owner, &wanted.give_up)).await?;
            kill_here("execution::membership::released");
            tracing::info!(shards = wanted.give_up.len(), "shards were given up");
            self.router.peers().nudge();
            self.nudge.nudge();
        }
        if !wanted.take.is_empty() {
            let taken = self.in_time(membership.acquire(self.me.owner, &wanted.take)).await?;
            kill_here("execution::membership::acquired");
            if !taken.is_empty() {
                self.adopt(taken).await;
            }
            // What is shown of the shards is one look old.
            self.nudge.nudge();
        }
        Ok(())
    }

    /// Lets the owner's loop store and forget shards. One that takes too long is looked at again in the next round.
    async fn hand_over(&self, shards: &[u16]) {
        let (done, handed_over) = oneshot::channel();
        let handover = Handover {
            shards: shards.to_vec(),
            done: Some(done),
        };
        self.tell(Control::HandOver(handover)).await;
        if timeout(HANDOVER, handed_over).await.is_err() {
            tracing::warn!("shards are given up before everything of them is stored; what is not will be refused");
        }
    }

    async fn in_time<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        in_time(self.replication.membership.as_ref(), CALL, question).await
    }

    async fn tell(&self, control: Control) {
        // Refused only when the loop has ended.
        let _ended = self.steering.control.send(control).await;
    }

    /// Leaves: gives every shard up, waits until others have them so that calls can be passed on, and goes.
    async fn leave(mut self) {
        self.me.draining = true;
        let until = Instant::now() + self.replication.drain;
        while Instant::now() < until {
            let begun = Instant::now();
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "leaving is delayed");
            } else if is_relieved(self.me.owner, &self.view) {
                break;
            }
            tokio::time::sleep_until(begun + SOON).await;
        }
        if let Err(error) = self.in_time(self.replication.membership.leave(self.me.owner)).await {
            tracing::warn!(%error, "the membership was not given up; it ends by itself");
        }
        self.router.peers().nudge();
    }
}

/// Shards that the store says are a replica's and that it does not hold, and those that it holds and are not its own.
fn differences(me: Uuid, view: &View, held: &BTreeSet<u16>) -> (Vec<u16>, Vec<u16>) {
    let mine = (0..SHARDS).zip(&view.owners).filter(|(_, owner)| **owner == Some(me));
    let mine: BTreeSet<u16> = mine.map(|(shard, _)| shard).collect();
    let strays = mine.difference(held).copied().collect();
    (strays, held.difference(&mine).copied().collect())
}

/// Whether every shard is owned by somebody else, or nobody else is there.
fn is_relieved(me: Uuid, view: &View) -> bool {
    let others = view
        .replicas
        .iter()
        .any(|replica| replica.owner != me && !replica.draining);
    !others || view.owners.iter().all(|owner| owner.is_some_and(|owner| owner != me))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_says_and_what_is_held_are_compared_both_ways() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut view = View {
            owners: vec![None; usize::from(SHARDS)],
            ..View::default()
        };
        (view.owners[3], view.owners[4], view.owners[5]) = (Some(me), Some(other), Some(me));
        let differences = |held: &[u16]| differences(me, &view, &held.iter().copied().collect());
        assert_eq!(differences(&[3, 5]), (vec![], vec![]));
        assert_eq!(
            differences(&[3]),
            (vec![5], vec![]),
            "acquired, and the answer was lost"
        );
        assert_eq!(
            differences(&[3, 4, 5, 6]),
            (vec![], vec![4, 6]),
            "another's, and nobody's"
        );
    }
}

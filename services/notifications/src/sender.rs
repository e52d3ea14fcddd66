//! Sends what is due. Replicas take messages for a time, by the database's clock; whoever is lost meanwhile has them taken by
//! another one, under the same id. Each channel has a few at a time, so that a slow one holds up no other.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use nexus_api::notifications::v1::delivery::Suppression;
use nexus_api::notifications::v1::rate_limit::Excess;
use nexus_api::notifications::v1::{Channel, Mention, Notice, RateLimit, Rule};
use nexus_failpoint::kill_here;
use nexus_mesh::Clock;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::message::kind_name;
use crate::metrics;
use crate::objects::{Object, namespace};
use crate::outbound::{Letter, Outbound, Tried};
use crate::retry::{self, wait};
use crate::store::{DeliveryRow, Finish, Kind, Store, StoreError, Verdict};
use crate::texts::cut;

/// Messages of one channel at a time, by one replica.
const AT_A_TIME: usize = 4;
/// Messages of all channels at a time.
const MOST: usize = 256;
/// For how long a message is taken: longer than an attempt lasts, with its calls.
const TAKEN: i64 = 90_000_000;
/// How often it is looked for what is due, when nothing says that there is something.
const LOOK: Duration = Duration::from_secs(5);
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(100);
/// Others that a message names.
const NAMED: u32 = 5;

type Place = (String, String);

/// What is under way, by channel.
#[derive(Default)]
struct Busy {
    count: HashMap<Place, usize>,
    /// Channels that have had enough, until when.
    held: HashMap<Place, Instant>,
}

/// A message that is no longer under way, and for how long its channel has had enough.
type Ended = (Place, Option<Duration>);

/// Sends.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbound: Outbound,
    pub(crate) clock: Clock,
    /// Comes when there are new messages.
    pub(crate) made: Arc<Notify>,
}

impl Sender {
    /// Sends until the shutdown; what is under way then is finished.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut busy = Busy::default();
        while !shutdown.is_cancelled() {
            let pause = match self.take(&mut under_way, &mut busy).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "it cannot be seen what is due; it is looked again in a moment");
                    LOOK
                }
            };
            metrics::sending(under_way.len());
            tokio::select! {
                Some(ended) = under_way.join_next() => busy.done(ended.ok()),
                () = self.made.notified() => {}
                () = sleep(pause) => {}
                () = shutdown.cancelled() => break,
            }
            while let Some(ended) = under_way.try_join_next() {
                busy.done(ended.ok());
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Takes what is due and there is room for; how long to wait before the next look.
    async fn take(&self, under_way: &mut JoinSet<Ended>, busy: &mut Busy) -> Result<Duration, StoreError> {
        let waiting = self.store.waiting().await?;
        metrics::oldest(waiting.oldest);
        let pause = match waiting.next {
            Some(micros) if micros > 0 => Duration::from_micros(micros.unsigned_abs()).clamp(SHORTEST, LOOK),
            Some(_) => SHORTEST,
            None => return Ok(LOOK),
        };
        if waiting.next.is_some_and(|micros| micros > 0) {
            return Ok(pause);
        }
        for place in self.store.due_channels().await? {
            let room = busy
                .room(&place, Instant::now())
                .min(MOST.saturating_sub(under_way.len()));
            if room == 0 {
                continue;
            }
            let limit = u32::try_from(room).unwrap_or_default();
            let taken = self.store.claim(&place.0, &place.1, limit, TAKEN).await?;
            for row in taken {
                *busy.count.entry(place.clone()).or_default() += 1;
                let (sender, place) = (self.clone(), place.clone());
                under_way.spawn(async move {
                    let brought = AssertUnwindSafe(sender.bring(row)).catch_unwind().await;
                    (place, brought.unwrap_or_default())
                });
            }
        }
        Ok(pause)
    }

    /// Brings one message to its channel, and writes what came of it; for how long the channel has had enough.
    async fn bring(&self, row: DeliveryRow) -> Option<Duration> {
        let finish = match self.tried(&row).await {
            Ok(finish) => finish,
            Err(error) => {
                tracing::warn!(delivery = row.id, %error, "a message cannot be sent at present; it is tried again");
                return None;
            }
        };
        let enough = match finish.verdict {
            Verdict::Wait(micros) => Some(Duration::from_micros(micros.unsigned_abs())),
            _ => None,
        };
        kill_here("notifications::sent");
        match self.store.finish(&finish).await {
            Ok(true) => kill_here("notifications::marked"),
            Ok(false) => tracing::debug!(delivery = row.id, "somebody else has the message by now"),
            Err(error) => {
                tracing::warn!(delivery = row.id, %error, "what came of a message could not be noted; it is sent again");
            }
        }
        enough
    }

    async fn tried(&self, row: &DeliveryRow) -> Result<Finish, StoreError> {
        let namespace = namespace(&row.namespace)?;
        let ends = |verdict, problem: &str| Finish {
            id: row.id.clone(),
            fence: row.fence,
            verdict,
            problem: problem.to_owned(),
            attempt: None,
        };
        let Some(kept) = self.store.kept(Kind::Channel, &namespace, &row.channel).await? else {
            metrics::attempt("none", "dead");
            let problem = format!("there is no channel {} in this namespace", row.channel);
            return Ok(ends(Verdict::Dead, &problem));
        };
        let channel = Channel::of(&kept)?;
        let kind = kind_name(&channel);
        if channel.disabled {
            metrics::attempt(kind, "suppressed");
            return Ok(ends(Verdict::Suppressed(Suppression::ChannelDisabled), ""));
        }
        if let Some(verdict) = self.paced(row, channel.rate_limit.as_ref()).await? {
            return Ok(ends(verdict, ""));
        }
        let rule = match row.rule.starts_with("file:") {
            true => None,
            false => self.store.kept(Kind::Rule, &namespace, &row.rule).await?,
        };
        let rule = rule.as_ref().map(Rule::of).transpose()?;
        let notice = self.whole(row).await?;
        let letter = Letter {
            id: &row.id,
            namespace: &namespace,
            channel: &channel,
            notice: &notice,
            texts: rule.as_ref().and_then(|rule| rule.texts.as_ref()),
        };
        let sent = match self.outbound.attempt(&letter, (self.clock)()).await {
            Tried::Sent(sent) => sent,
            Tried::Nothing => return Ok(ends(Verdict::Delivered, "")),
        };
        let verdict = match sent.ended {
            retry::Ended::Taken => Verdict::Delivered,
            retry::Ended::Never => Verdict::Dead,
            retry::Ended::Later(asked) => wait(row.tries, asked, fastrand::f64()).map_or(Verdict::Dead, Verdict::Again),
        };
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Dead => "dead",
            _ => "retried",
        };
        metrics::attempt(kind, outcome);
        Ok(Finish {
            id: row.id.clone(),
            fence: row.fence,
            verdict,
            problem: sent.attempt.problem.clone(),
            attempt: Some(sent.attempt),
        })
    }

    /// What becomes of a message whose channel has had enough for now.
    async fn paced(&self, row: &DeliveryRow, limit: Option<&RateLimit>) -> Result<Option<Verdict>, StoreError> {
        let Some(limit) = limit else { return Ok(None) };
        let period = limit.period.as_ref().map_or(0, nexus_api::time::duration_micros);
        let burst = i64::from(limit.messages.max(1));
        let early = self
            .store
            .pace(&row.namespace, &row.channel, (period / burst).max(1), burst)
            .await?;
        Ok(early.map(|micros| match limit.excess() {
            Excess::Drop => Verdict::Suppressed(Suppression::RateLimited),
            Excess::Delay | Excess::Unspecified => Verdict::Wait(micros),
        }))
    }

    /// The notice with the first few of those that it tells of too.
    async fn whole(&self, row: &DeliveryRow) -> Result<Notice, StoreError> {
        let mut notice = row.notice.clone();
        notice.count = u32::try_from(row.group_size).unwrap_or(u32::MAX).max(1);
        if row.group_size > 1 {
            let members = self.store.members(&row.id, NAMED).await?;
            notice.others = members.iter().map(|member| mention(&member.notice)).collect();
        }
        Ok(notice)
    }
}

fn mention(notice: &Notice) -> Mention {
    Mention {
        execution: notice.execution.clone(),
        workflow: notice.workflow.clone(),
        task: notice.task.clone(),
        message: notice
            .error
            .as_ref()
            .map(|error| cut(&error.message, 200))
            .unwrap_or_default(),
        time: notice.time,
    }
}

impl Busy {
    /// How many more messages a channel takes.
    fn room(&mut self, place: &Place, now: Instant) -> usize {
        self.held.retain(|_, until| *until > now);
        match self.held.contains_key(place) {
            true => 0,
            false => AT_A_TIME.saturating_sub(self.count.get(place).copied().unwrap_or_default()),
        }
    }

    /// A message is no longer under way.
    fn done(&mut self, ended: Option<Ended>) {
        let Some((place, enough)) = ended else { return };
        if let Some(enough) = enough {
            self.held.insert(place.clone(), Instant::now() + enough);
        }
        if let Some(count) = self.count.get_mut(&place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.count.remove(&place);
            }
        }
    }
}

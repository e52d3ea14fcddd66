//! The connections that calls share, and what the servers said of their services: both bounded, both given up when
//! nobody has used them for a while.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prost_reflect::DescriptorPool;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::connect;
use super::request::Target;
use nexus_attempt::{Failure, address};

/// Most targets whose connections are kept.
const MOST_TARGETS: usize = 64;
/// Most services whose descriptions are kept, and most bytes of one: a larger one is asked for with each call.
const MOST_SERVICES: usize = 64;
const MOST_BYTES: usize = 1 << 20;
/// A connection that no call took for so long is closed, once the calls on it have ended.
const IDLE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A description is asked for again after this: services learn methods while they run.
const DESCRIBED_FOR: Duration = Duration::from_secs(300);

/// Everything that outlives a call.
pub struct Callers {
    allow_private: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    targets: HashMap<Target, Kept>,
    services: HashMap<(Target, String), Described>,
    /// True while a task looks for idle connections.
    watched: bool,
}

struct Kept {
    channel: Channel,
    used: Instant,
}

struct Described {
    pool: DescriptorPool,
    asked: Instant,
}

impl Callers {
    pub fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            state: Mutex::default(),
        }
    }

    /// Refuses a target that is written as an address which may not be reached.
    pub(super) fn check(&self, target: &Target) -> Result<(), Failure> {
        address::check(&target.url()?, self.allow_private)
    }

    /// The connection to a target. To be called within a Tokio runtime.
    pub(super) fn channel(self: &Arc<Self>, target: &Target) -> Result<Channel, Failure> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if let Some(kept) = state.targets.get_mut(target) {
            kept.used = now;
            return Ok(kept.channel.clone());
        }
        let channel = connect::channel(target, self.allow_private)?;
        if state.targets.len() >= MOST_TARGETS {
            let oldest = state.targets.iter().min_by_key(|(_, kept)| kept.used);
            let oldest = oldest.map(|(target, _)| target.clone());
            oldest.and_then(|oldest| state.targets.remove(&oldest));
        }
        let kept = Kept {
            channel: channel.clone(),
            used: now,
        };
        state.targets.insert(target.clone(), kept);
        if !state.watched {
            state.watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
        Ok(channel)
    }

    /// What the target said of a service not long ago.
    pub(super) fn described(&self, target: &Target, service: &str) -> Option<DescriptorPool> {
        let state = self.state.lock();
        let described = state.services.get(&(target.clone(), service.to_owned()))?;
        (described.asked.elapsed() < DESCRIBED_FOR).then(|| described.pool.clone())
    }

    /// Remembers what the target said of a service, in so many bytes.
    pub(super) fn describe(&self, target: &Target, service: &str, pool: &DescriptorPool, bytes: usize) {
        if bytes > MOST_BYTES {
            return;
        }
        let mut state = self.state.lock();
        if state.services.len() >= MOST_SERVICES {
            let oldest = state.services.iter().min_by_key(|(_, described)| described.asked);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|oldest| state.services.remove(&oldest));
        }
        let described = Described {
            pool: pool.clone(),
            asked: Instant::now(),
        };
        state.services.insert((target.clone(), service.to_owned()), described);
    }

    /// Gives up what is idle; false when nothing is left to look after.
    fn prune(&self) -> bool {
        let mut state = self.state.lock();
        state.targets.retain(|_, kept| kept.used.elapsed() < IDLE);
        state
            .services
            .retain(|_, described| described.asked.elapsed() < DESCRIBED_FOR);
        state.watched = !state.targets.is_empty() || !state.services.is_empty();
        state.watched
    }
}

async fn watch(callers: Weak<Callers>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match callers.upgrade() {
            Some(callers) if callers.prune() => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(n: usize) -> Target {
        Target {
            address: format!("http://192.0.2.1:{n}"),
            tls: crate::input::Tls::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_bounded_shared_and_given_up_when_idle() {
        let callers = Arc::new(Callers::new(true));
        for n in 0..MOST_TARGETS + 1 {
            callers.channel(&target(n + 1)).expect("channel");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(callers.state.lock().targets.len(), MOST_TARGETS);
        assert!(
            !callers.state.lock().targets.contains_key(&target(1)),
            "the oldest went"
        );
        tokio::time::sleep(IDLE / 2).await;
        callers.channel(&target(7)).expect("channel");
        tokio::time::sleep(IDLE - LOOK_EVERY).await;
        assert_eq!(callers.state.lock().targets.len(), 1, "the one that was used");
        tokio::time::sleep(IDLE).await;
        let state = callers.state.lock();
        assert!(state.targets.is_empty() && !state.watched);
    }

    #[tokio::test(start_paused = true)]
    async fn descriptions_are_bounded_and_asked_for_again_after_a_while() {
        let callers = Arc::new(Callers::new(true));
        callers.channel(&target(1)).expect("channel");
        let pool = DescriptorPool::new();
        callers.describe(&target(1), "too.Large", &pool, MOST_BYTES + 1);
        assert!(callers.described(&target(1), "too.Large").is_none());
        for n in 0..MOST_SERVICES + 1 {
            callers.describe(&target(1), &format!("a.B{n}"), &pool, MOST_BYTES);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(callers.described(&target(1), "a.B0").is_none(), "the oldest went");
        assert!(callers.described(&target(1), "a.B1").is_some());
        assert!(callers.described(&target(2), "a.B1").is_none(), "another target's");
        tokio::time::sleep(DESCRIBED_FOR).await;
        assert!(callers.described(&target(1), "a.B1").is_none());
        tokio::time::sleep(LOOK_EVERY * 2).await;
        let state = callers.state.lock();
        assert!(state.services.is_empty() && !state.watched);
    }
}

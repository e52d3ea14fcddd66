//! What the membership tells the owner's loop, and what the loop shows of its shards to whoever has to find an owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nexus_execution_store::{Fence, SHARDS};
use tokio::sync::{mpsc, oneshot, watch};

use super::core::Core;
use super::page::Page;

/// What the membership wants.
pub enum Control {
    /// The membership is fresh, or is not.
    Trust(bool),
    /// Shards have become this owner's.
    Adopt(Vec<u16>),
    /// Something of adopted shards was loaded.
    Loaded(Page),
    /// Give shards up.
    HandOver(Handover),
    /// Shards turned out to be another owner's, or nobody's.
    Drop(Vec<u16>),
    /// The replica has joined under a new name and owns nothing.
    Rejoin(Fence),
}

/// Shards on their way to another owner.
pub struct Handover {
    /// Those that still have decisions to store.
    pub shards: Vec<u16>,
    /// Who waits for it.
    pub done: Option<oneshot::Sender<()>>,
}

/// In which shards calls are answered here, readable from anywhere.
#[derive(Debug, Clone)]
pub struct Stays {
    stays: Arc<[AtomicU64; SHARDS as usize]>,
    changed: Arc<watch::Sender<()>>,
    control: mpsc::Sender<Control>,
}

impl Stays {
    pub(crate) fn new(control: mpsc::Sender<Control>) -> Self {
        Self {
            stays: Arc::new([const { AtomicU64::new(0) }; SHARDS as usize]),
            changed: Arc::new(watch::channel(()).0),
            control,
        }
    }

    /// Which stay in a shard this is; 0 when its calls are not answered here.
    #[must_use]
    pub fn stay(&self, shard: u16) -> u64 {
        self.stays
            .get(shard as usize)
            .map_or(0, |stay| stay.load(Ordering::Acquire))
    }

    /// The shards whose calls are answered here.
    #[must_use]
    pub fn serving(&self) -> Vec<u16> {
        (0..SHARDS).filter(|shard| self.stay(*shard) > 0).collect()
    }

    /// Tells whenever that changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Where loaded pages go.
    pub(crate) fn pages(&self) -> mpsc::Sender<Control> {
        self.control.clone()
    }

    pub(crate) fn show(&self, core: &Core) {
        let mut serving = 0;
        let mut changed = false;
        for (shard, shown) in (0..SHARDS).zip(self.stays.iter()) {
            let stay = core.stay(shard);
            serving += usize::from(stay > 0);
            changed |= shown.swap(stay, Ordering::AcqRel) != stay;
        }
        if changed {
            crate::metrics::shards(serving);
            self.changed.send_replace(());
        }
    }
}

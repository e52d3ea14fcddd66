//! The keepers that rest between attempts, each with a process that is ready for the next one: a fresh one that has run
//! nothing, or a warm one that has run one source. Both kinds are few, and end by themselves when nobody needs them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::zygote::Zygote;
use crate::input::Isolation;
use crate::options::Options;
use crate::process::channel::Link;
use nexus_attempt::Failure;

/// Most processes that rest and have run nothing: enough for a step after the other, few enough to be forgotten.
const MOST_FRESH: usize = 16;

/// What a warm interpreter has loaded. It serves nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) code: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) memory: u64,
}

/// The interpreter and the keepers that came from it.
pub(crate) struct Keepers {
    zygote: Zygote,
    limit: usize,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    fresh: Vec<Link>,
    /// The least recently used one first.
    warm: VecDeque<(Source, Link)>,
    /// Warm ones that serve an attempt.
    busy: usize,
}

/// A keeper that is about to serve an attempt, and as what.
pub(crate) struct Hold {
    pub(crate) link: Link,
    pub(crate) mode: u8,
    pub(crate) busy: Option<Busy>,
}

/// Counts a warm interpreter as busy until it is dropped.
pub(crate) struct Busy(Arc<Mutex<Shelf>>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
    }
}

impl Keepers {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            zygote: Zygote::new(options),
            limit: options.python_interpreters,
            shelf: Arc::default(),
        }
    }

    /// Where modules are looked for first.
    pub(crate) fn module_path(&self) -> &[String] {
        self.zygote.module_path()
    }

    /// Starts the interpreter if it does not run.
    pub(crate) async fn ensure(&self) -> Result<(), Failure> {
        self.zygote.ensure().await
    }

    /// A keeper for an attempt. When no further interpreter can be warm, the attempt is forked.
    pub(crate) async fn take(&self, source: &Source, isolation: Isolation) -> Result<Hold, Failure> {
        let (link, busy) = {
            let mut shelf = self.shelf.lock();
            let (warm, busy) = match isolation {
                Isolation::Warm => self.make_room(&mut shelf, source),
                Isolation::Fork | Isolation::Process => (None, None),
            };
            (warm.or_else(|| shelf.take_fresh()), busy)
        };
        let mode = match (isolation, &busy) {
            (Isolation::Process, _) => b'P',
            (_, Some(_)) => b'W',
            (_, None) => b'F',
        };
        let link = match link {
            Some(link) => link,
            None => self.zygote.fork().await?,
        };
        Ok(Hold { link, mode, busy })
    }

    /// The warm interpreter of a source, if there is one, and the right to have one, which may cost another source its
    /// own.
    fn make_room(&self, shelf: &mut Shelf, source: &Source) -> (Option<Link>, Option<Busy>) {
        shelf.warm.retain(|(_, link)| link.rests());
        let found = shelf.warm.iter().rposition(|(of, _)| of == source);
        let found = found.and_then(|at| shelf.warm.remove(at)).map(|(_, link)| link);
        if found.is_none() && shelf.busy + shelf.warm.len() >= self.limit && shelf.warm.pop_front().is_none() {
            return (None, None);
        }
        shelf.busy += 1;
        (found, Some(Busy(Arc::clone(&self.shelf))))
    }

    /// Takes a keeper back that has served an attempt; its process has run `source`, or nothing.
    pub(crate) fn give_back(&self, link: Link, source: Option<&Source>) {
        let mut shelf = self.shelf.lock();
        match source {
            Some(source) => shelf.warm.push_back((source.clone(), link)),
            None if shelf.fresh.len() < self.limit.min(MOST_FRESH) => shelf.fresh.push(link),
            None => {}
        }
    }
}

impl Shelf {
    fn take_fresh(&mut self) -> Option<Link> {
        // Those that nobody needed for long have ended.
        std::iter::from_fn(|| self.fresh.pop()).find(Link::rests)
    }
}

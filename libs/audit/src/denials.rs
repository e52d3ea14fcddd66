//! Calls that were refused, on their way to the log. They are held in memory, since whoever has no credential must not make
//! the disk busy: the first of a kind goes at once, and those like it within a minute are counted and go as one entry. How
//! many kinds there are in a minute is bounded, for those without a credential apart; what is beyond is counted in a metric.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use nexus_api::error::reason_name;
use nexus_auth::{Denial, Witness};
use nexus_mesh::Clock;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::entry::{Actor, Entry, Object, Outcome, text};
use crate::origin::Ids;

/// For how long those that are alike are counted together, in microseconds.
const MINUTE: i64 = 60_000_000;
/// Kinds of a minute at most, of callers who were found out and of others.
const KNOWN: usize = 500;
const UNKNOWN: usize = 100;
/// Entries that wait to be taken to the log at most.
const WAITING: usize = 5_000;

const DENIED: &str = "nexus_audit_denials_total";
const DROPPED: &str = "nexus_audit_denials_dropped_total";

/// Describes the metrics; to be called once at the start.
pub(crate) fn describe() {
    metrics::describe_counter!(DENIED, "Refused calls that the audit log is told of, each counted.");
    metrics::describe_counter!(
        DROPPED,
        "Refused calls that the audit log is not told of: more kinds in a minute than it takes, or it is away."
    );
}

/// By what refused calls are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    actor: Actor,
    address: String,
    namespace: String,
    method: &'static str,
    object: Object,
    reason: &'static str,
}

/// Those that are alike, after the first.
struct Repeats {
    /// When the first one was.
    since: i64,
    /// When the next one was, and how many there were.
    more: Option<(Entry, i64)>,
    known: bool,
}

#[derive(Default)]
struct State {
    kinds: HashMap<Kind, Repeats>,
    known: usize,
    unknown: usize,
    waiting: Vec<Entry>,
}

/// Refused calls. Cheap to clone.
#[derive(Clone)]
pub struct Denials(Arc<Inner>);

struct Inner {
    clock: Clock,
    ids: Ids,
    state: Mutex<State>,
    noted: Notify,
}

impl std::fmt::Debug for Denials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Denials")
    }
}

impl Denials {
    /// None yet.
    #[must_use]
    pub fn new(clock: Clock, ids: Ids) -> Self {
        Self(Arc::new(Inner {
            clock,
            ids,
            state: Mutex::default(),
            noted: Notify::new(),
        }))
    }

    /// Comes when there is something to take.
    pub(crate) async fn noted(&self) {
        self.0.noted.notified().await;
    }

    /// Takes what is to go to the log: of those that are still counted only when `all` is said.
    pub(crate) fn take(&self, limit: usize, all: bool) -> Vec<Entry> {
        let now = (self.0.clock)();
        let mut state = self.0.state.lock();
        state.end(now, all);
        let number = state.waiting.len().min(limit);
        state.waiting.drain(..number).collect()
    }

    /// Takes back what did not arrive.
    pub(crate) fn give_back(&self, entries: Vec<Entry>) {
        let mut state = self.0.state.lock();
        let room = WAITING.saturating_sub(state.waiting.len());
        let lost: i64 = entries.iter().skip(room).map(|entry| entry.count).sum();
        dropped(lost);
        let mut entries = entries;
        entries.truncate(room);
        entries.append(&mut state.waiting);
        state.waiting = entries;
    }

    fn note(&self, denial: &Denial) {
        let Inner { clock, ids, state, .. } = &*self.0;
        let now = clock();
        let kind = kind(denial);
        let known = denial.caller.is_some();
        let mut state = state.lock();
        state.end(now, false);
        let full = match known {
            true => state.known >= KNOWN,
            false => state.unknown >= UNKNOWN,
        };
        let entry = || entry(&kind, denial, ids(now), now);
        match state.kinds.entry(kind.clone()) {
            Place::Occupied(mut place) => {
                let (_, count) = place.get_mut().more.get_or_insert_with(|| (entry(), 0));
                *count += 1;
            }
            Place::Vacant(_) if full => dropped(1),
            Place::Vacant(place) => {
                place.insert(Repeats {
                    since: now,
                    more: None,
                    known,
                });
                *(if known { &mut state.known } else { &mut state.unknown }) += 1;
                state.push(entry());
            }
        }
    }
}

impl State {
    /// What was counted for a minute is counted no more.
    fn end(&mut self, now: i64, all: bool) {
        let is_over = |repeats: &Repeats| all || now - repeats.since >= MINUTE || now < repeats.since;
        let over: Vec<Kind> = self
            .kinds
            .iter()
            .filter(|(_, repeats)| is_over(repeats))
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in over {
            let Some(repeats) = self.kinds.remove(&kind) else {
                continue;
            };
            *(if repeats.known {
                &mut self.known
            } else {
                &mut self.unknown
            }) -= 1;
            if let Some((entry, count)) = repeats.more {
                self.push(Entry { count, ..entry });
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.waiting.len() < WAITING {
            self.waiting.push(entry);
        } else {
            dropped(entry.count);
        }
    }
}

fn dropped(calls: i64) {
    if calls > 0 {
        metrics::counter!(DROPPED).increment(calls.unsigned_abs());
    }
}

fn kind(denial: &Denial) -> Kind {
    let about = denial.arrival.about();
    let caller = denial.caller.as_ref();
    Kind {
        actor: caller.map_or_else(Actor::unknown, |caller| Actor::of(caller.identity())),
        address: denial
            .arrival
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        // What somebody named who is unknown may be anything.
        namespace: caller.map(|_| text(&denial.namespace)).unwrap_or_default(),
        method: denial.arrival.method.path,
        object: about.map(|(kind, name)| Object::new(kind, name)).unwrap_or_default(),
        reason: reason_name(denial.reason),
    }
}

fn entry(kind: &Kind, denial: &Denial, id: uuid::Uuid, at: i64) -> Entry {
    Entry {
        id,
        at,
        namespace: kind.namespace.clone(),
        actor: kind.actor.clone(),
        method: kind.method.to_owned(),
        permission: denial.arrival.method.permission.name().to_owned(),
        object: kind.object.clone(),
        outcome: Outcome::Denied,
        reason: kind.reason.to_owned(),
        address: kind.address.clone(),
        request_id: String::new(),
        trace_id: text(&denial.arrival.trace_id),
        count: 1,
    }
}

impl Witness for Denials {
    fn denied(&self, denial: Denial) {
        metrics::counter!(DENIED).increment(1);
        self.note(&denial);
        self.0.noted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use nexus_api::ErrorReason;
    use nexus_api::access::v1::Identity;
    use nexus_api::method::method;
    use nexus_auth::{Arrival, Caller};

    use super::*;
    use crate::origin::system_ids;

    const LIST: &str = "/nexus.execution.v1.ExecutionService/ListExecutions";

    fn denials() -> (Denials, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(1_790_000_000_000_000));
        let now = Arc::clone(&time);
        (
            Denials::new(Arc::new(move || now.load(Ordering::SeqCst)), system_ids()),
            time,
        )
    }

    fn denial(caller: Option<&str>, address: [u8; 4]) -> Denial {
        let caller = caller.map(|name| {
            Caller::new(Identity {
                subject: format!("user:{name}"),
                ..Identity::default()
            })
        });
        Denial {
            arrival: Arrival::new(method(LIST).expect("a method"), Some(address.into())),
            caller,
            namespace: "team".to_owned(),
            reason: ErrorReason::PermissionMissing,
        }
    }

    fn counts(denials: &Denials) -> Vec<i64> {
        denials.take(1_000, false).iter().map(|entry| entry.count).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_those_like_it_are_counted_for_a_minute() {
        let (denials, time) = denials();
        for _ in 0..5 {
            denials.denied(denial(Some("anna"), [192, 0, 2, 1]));
        }
        denials.denied(denial(Some("bob"), [192, 0, 2, 1]));
        assert_eq!(counts(&denials), [1, 1], "one of each");
        time.fetch_add(MINUTE - 1, Ordering::SeqCst);
        assert_eq!(counts(&denials), [0_i64; 0]);
        time.fetch_add(1, Ordering::SeqCst);
        assert_eq!(counts(&denials), [4], "the others together");
        denials.denied(denial(Some("anna"), [192, 0, 2, 1]));
        assert_eq!(counts(&denials), [1], "a new minute");
    }

    #[test]
    fn a_flood_is_bounded_and_keeps_nobody_else_out() {
        let (denials, _) = denials();
        for number in 0..2_000_u16 {
            let [high, low] = number.to_be_bytes();
            denials.denied(denial(None, [10, 0, high, low]));
        }
        denials.denied(denial(Some("anna"), [192, 0, 2, 1]));
        let taken = denials.take(10_000, true);
        assert_eq!(taken.len(), UNKNOWN + 1);
        assert_eq!(taken.last().map(|entry| entry.actor.id.as_str()), Some("user:anna"));
        assert!(taken[0].namespace.is_empty(), "what a stranger says is not kept");
    }

    #[test]
    fn what_did_not_arrive_goes_again_first() {
        let (denials, _) = denials();
        denials.denied(denial(Some("anna"), [192, 0, 2, 1]));
        let taken = denials.take(10, false);
        denials.denied(denial(Some("bob"), [192, 0, 2, 1]));
        denials.give_back(taken.clone());
        let again = denials.take(10, false);
        assert_eq!((again.len(), &again[0]), (2, &taken[0]));
    }
}

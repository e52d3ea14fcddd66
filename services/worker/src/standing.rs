//! How sure the worker is of a lease. A lease that is received may have waited in a socket while the worker was frozen or
//! its packets were held; the moment of its receipt says nothing of its age. Sure is what the server answered: a lease is
//! no older than the sending of the newest heartbeat that was answered before it came.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexus_api::worker::v1::HeartbeatTasksResponse;
use nexus_api::worker::v1::directive::Action;
use nexus_tasks::Gate;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Heartbeats that wait for their answer; more than that the server answers no more.
const MOST_OPEN: usize = 64;

/// Heartbeats that were sent and not yet answered.
#[derive(Default)]
pub(crate) struct Open {
    sent: VecDeque<Sent>,
    last: u64,
}

struct Sent {
    sequence: u64,
    at: Instant,
    tokens: BTreeSet<String>,
}

impl Open {
    /// Notes a heartbeat that is about to be sent; gives its number.
    pub(crate) fn sent(&mut self, at: Instant, tokens: &[String]) -> u64 {
        if self.sent.len() == MOST_OPEN {
            self.sent.pop_front();
        }
        self.last += 1;
        self.sent.push_back(Sent {
            sequence: self.last,
            at,
            tokens: tokens.iter().cloned().collect(),
        });
        self.last
    }

    /// Whether none was sent yet.
    pub(crate) fn is_first(&self) -> bool {
        self.last == 0
    }

    /// When the heartbeat was sent that this answers; nothing for words that nobody asked for.
    pub(crate) fn answered(&mut self, answer: &HeartbeatTasksResponse) -> Option<Instant> {
        let place = match answer.sequence {
            0 => self.fits(answer)?,
            number => self.sent.iter().position(|sent| sent.sequence == number)?,
        };
        self.sent.remove(place).map(|sent| sent.at)
    }

    /// What a server that says no numbers may have answered: of several heartbeats the oldest, since a lease must never
    /// seem younger than it is. Replicas answer for their own tokens, in an order of their own, so some may be missing.
    fn fits(&self, answer: &HeartbeatTasksResponse) -> Option<usize> {
        let goes_on = answer
            .directives
            .iter()
            .any(|directive| directive.action() == Action::Continue);
        let says_nothing = answer.directives.is_empty() && !answer.drain;
        if !goes_on && !says_nothing {
            return None;
        }
        let all = |sent: &Sent| {
            answer
                .directives
                .iter()
                .all(|directive| sent.tokens.contains(&directive.token))
        };
        self.sent.iter().position(all)
    }
}

/// The gate of an attempt: it opens while its lease is surely younger than `limit`, and has the server asked when not.
pub(crate) fn gate(sure: watch::Receiver<Instant>, limit: Duration, ask: Arc<Notify>) -> Gate {
    Gate::new(move || {
        let (mut sure, ask) = (sure.clone(), Arc::clone(&ask));
        async move {
            loop {
                if sure.borrow_and_update().elapsed() < limit {
                    return;
                }
                tracing::info!("a lease may be stale; the server is asked before its task begins");
                ask.notify_one();
                if sure.changed().await.is_err() {
                    // The attempt is no longer held, and is being stopped.
                    std::future::pending::<()>().await;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use nexus_api::worker::v1::Directive;

    use super::*;

    fn answer(words: &[(&str, Action)]) -> HeartbeatTasksResponse {
        let directives = words.iter().map(|(token, action)| Directive {
            token: (*token).to_owned(),
            action: (*action).into(),
            ..Directive::default()
        });
        HeartbeatTasksResponse {
            directives: directives.collect(),
            ..HeartbeatTasksResponse::default()
        }
    }

    #[test]
    fn an_answer_is_of_the_heartbeat_whose_number_it_has_however_much_of_it_is_answered() {
        let (mut open, first) = (Open::default(), Instant::now());
        let second = first + Duration::from_secs(3);
        let both = ["a".to_owned(), "b".to_owned()];
        let numbers = [open.sent(first, &both), open.sent(second, &both)];
        let numbered = |number, words: &[(&str, Action)]| HeartbeatTasksResponse {
            sequence: number,
            ..answer(words)
        };
        let (b, a) = (("b", Action::Continue), ("a", Action::Continue));
        assert_eq!(
            open.answered(&numbered(numbers[1], &[b, a])),
            Some(second),
            "in another order"
        );
        assert_eq!(
            open.answered(&numbered(numbers[0], &[])),
            Some(first),
            "nobody could be asked"
        );
        assert_eq!(open.answered(&numbered(numbers[1], &[b, a])), None, "once");
    }

    #[test]
    fn an_answer_without_a_number_is_of_the_oldest_heartbeat_that_it_fits() {
        let (mut open, first) = (Open::default(), Instant::now());
        let second = first + Duration::from_secs(3);
        let third = second + Duration::from_secs(3);
        let both = ["a".to_owned(), "b".to_owned()];
        open.sent(first, &both);
        open.sent(second, &both);
        open.sent(third, &["c".to_owned()]);
        assert_eq!(open.answered(&answer(&[("a", Action::Cancel)])), None, "may be unasked");
        assert_eq!(open.answered(&answer(&[("d", Action::Continue)])), None);
        assert_eq!(open.answered(&answer(&[("c", Action::Continue)])), Some(third));
        assert_eq!(
            open.answered(&answer(&[("b", Action::Continue)])),
            Some(first),
            "a part of it"
        );
        let swapped = [("b", Action::Continue), ("a", Action::Cancel)];
        assert_eq!(open.answered(&answer(&swapped)), Some(second), "in another order");
        assert_eq!(open.answered(&answer(&[("a", Action::Continue)])), None);
    }
}

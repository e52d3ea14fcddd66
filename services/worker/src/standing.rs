//! How sure the worker is of a lease. A lease that is received may have waited in a socket while the worker was frozen or
//! its packets were held; the moment of its receipt says nothing of its age. Sure is what the server answered: a lease is
//! no older than the sending of the newest heartbeat that was answered before it came.

use std::collections::VecDeque;
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
pub(crate) struct Open(VecDeque<(Instant, Vec<String>)>);

impl Open {
    pub(crate) fn sent(&mut self, at: Instant, tokens: Vec<String>) {
        if self.0.len() == MOST_OPEN {
            self.0.pop_front();
        }
        self.0.push_back((at, tokens));
    }

    /// When the heartbeat was sent that this answers; nothing for words that the server says by itself, or may have. Of
    /// several that it fits, the oldest: a lease must never seem younger than it is.
    pub(crate) fn answered(&mut self, answer: &HeartbeatTasksResponse) -> Option<Instant> {
        let goes_on = answer
            .directives
            .iter()
            .any(|directive| directive.action() == Action::Continue);
        let says_nothing = answer.directives.is_empty() && !answer.drain;
        if !goes_on && !says_nothing {
            return None;
        }
        let fits = |tokens: &[String]| {
            tokens.len() == answer.directives.len()
                && tokens
                    .iter()
                    .zip(&answer.directives)
                    .all(|(token, directive)| *token == directive.token)
        };
        let at = self.0.iter().position(|(_, tokens)| fits(tokens))?;
        self.0.remove(at).map(|(sent, _)| sent)
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
    fn an_answer_is_of_the_oldest_heartbeat_that_it_fits() {
        let (mut open, first) = (Open::default(), Instant::now());
        let second = first + Duration::from_secs(3);
        let third = second + Duration::from_secs(3);
        open.sent(first, vec!["a".into()]);
        open.sent(second, vec!["a".into()]);
        open.sent(third, Vec::new());
        assert_eq!(open.answered(&answer(&[("a", Action::Cancel)])), None, "may be unasked");
        assert_eq!(open.answered(&answer(&[("b", Action::Continue)])), None);
        assert_eq!(open.answered(&answer(&[])), Some(third));
        assert_eq!(open.answered(&answer(&[("a", Action::Continue)])), Some(first));
        assert_eq!(open.answered(&answer(&[("a", Action::Continue)])), Some(second));
        assert_eq!(open.answered(&answer(&[("a", Action::Continue)])), None);
    }
}

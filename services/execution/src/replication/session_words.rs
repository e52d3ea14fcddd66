//! What this replica has to tell the others of sessions: that they go on here, and what their workers had received, or that
//! they are over. One that cannot be reached now hears it when it can: a replica that was cut off believes meanwhile that
//! the worker is still with it, and what it leases to it reaches nobody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nexus_api::shard::v1::CloseSessionRequest;
use uuid::Uuid;

/// How long it is told that a session goes on here: a replica that was away for longer than this hears no more of it, and
/// closes the session since nobody speaks in it.
const GOES_ON: Duration = Duration::from_secs(3_600);
/// How long it is told that a session is over: the leases end by themselves long before.
const IS_OVER: Duration = Duration::from_secs(60);
/// Words that are kept at most.
const MOST: usize = 10_000;
/// Tokens of what workers had received that are kept at most, over all words.
const MOST_TOKENS: usize = 500_000;

#[derive(Debug)]
struct Word {
    message: CloseSessionRequest,
    until: Instant,
    /// The replicas that have heard it.
    told: Vec<Uuid>,
}

impl Word {
    fn tokens(&self) -> usize {
        self.message
            .received
            .as_ref()
            .map_or(0, |received| received.tokens.len())
    }
}

/// The words, oldest first; of each session the newest.
#[derive(Debug, Default)]
pub(super) struct SessionWords {
    words: VecDeque<Word>,
    tokens: usize,
}

impl SessionWords {
    /// Something is to be told of a session; what was to be told of it before is out of date.
    pub(super) fn add(&mut self, message: CloseSessionRequest, now: Instant) {
        let of_it = |word: &Word| word.message.session == message.session;
        if self
            .words
            .iter()
            .any(|word| of_it(word) && word.message.generation > message.generation)
        {
            return;
        }
        self.words.retain(|word| !of_it(word) && word.until > now);
        let until = now + if message.moved { GOES_ON } else { IS_OVER };
        self.words.push_back(Word {
            message,
            until,
            told: Vec::new(),
        });
        self.tokens = self.words.iter().map(Word::tokens).sum();
        while self.words.len() > MOST || self.tokens > MOST_TOKENS {
            let Some(oldest) = self.words.pop_front() else { return };
            self.tokens -= oldest.tokens();
        }
    }

    /// The first word that a replica has not heard.
    pub(super) fn owed(&self, replica: Uuid, now: Instant) -> Option<&CloseSessionRequest> {
        let owed = |word: &&Word| word.until > now && !word.told.contains(&replica);
        self.words.iter().find(owed).map(|word| &word.message)
    }

    /// A replica has heard what was told of a session in a generation.
    pub(super) fn heard(&mut self, replica: Uuid, session: &str, generation: u64) {
        let same = |word: &&mut Word| word.message.session == session && word.message.generation == generation;
        if let Some(word) = self.words.iter_mut().find(same) {
            word.told.push(replica);
        }
    }

    /// A replica is gone. If it comes back it may have begun anew, and have heard nothing.
    pub(super) fn forget(&mut self, replica: Uuid) {
        for word in &mut self.words {
            word.told.retain(|told| *told != replica);
        }
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::worker::v1::ReceivedLeases;

    use super::*;

    fn word(session: &str, generation: u64, moved: bool, tokens: usize) -> CloseSessionRequest {
        CloseSessionRequest {
            session: session.to_owned(),
            generation,
            moved,
            received: (tokens > 0).then(|| ReceivedLeases {
                tokens: vec!["t".to_owned(); tokens],
            }),
            ..CloseSessionRequest::default()
        }
    }

    #[test]
    fn a_replica_hears_each_word_once_and_again_when_it_comes_back() {
        let (near, far, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        let mut words = SessionWords::default();
        words.add(word("a", 1, true, 2), now);
        words.add(word("b", 1, true, 0), now);
        let owed = |words: &SessionWords, replica| words.owed(replica, now).map(|word| word.session.clone());
        assert_eq!(owed(&words, near).as_deref(), Some("a"));
        words.heard(near, "a", 1);
        assert_eq!(owed(&words, near).as_deref(), Some("b"));
        words.heard(near, "b", 1);
        assert_eq!((owed(&words, near), owed(&words, far).as_deref()), (None, Some("a")));
        words.forget(near);
        assert_eq!(owed(&words, near).as_deref(), Some("a"));
    }

    #[test]
    fn the_newest_word_of_a_session_is_told_for_as_long_as_it_matters() {
        let (replica, now) = (Uuid::nil(), Instant::now());
        let mut words = SessionWords::default();
        words.add(word("a", 3, true, 5), now);
        words.add(word("a", 2, true, 9), now);
        assert_eq!(
            words.owed(replica, now).map(|word| word.generation),
            Some(3),
            "an older one changes nothing"
        );
        words.heard(replica, "a", 2);
        assert!(words.owed(replica, now).is_some(), "that was about another generation");
        assert!(words.owed(replica, now + IS_OVER).is_some() && words.owed(replica, now + GOES_ON).is_none());
        words.add(word("a", 3, false, 0), now);
        assert_eq!((words.words.len(), words.tokens), (1, 0), "it is over");
        assert!(words.owed(replica, now + IS_OVER).is_none());
    }

    #[test]
    fn words_have_a_bound() {
        let now = Instant::now();
        let mut words = SessionWords::default();
        for number in 0..=MOST {
            words.add(word(&number.to_string(), 1, true, 0), now);
        }
        assert_eq!(words.words.len(), MOST);
        words.add(word("large", 1, true, MOST_TOKENS), now);
        words.add(word("larger", 1, true, MOST_TOKENS), now);
        assert_eq!((words.words.len(), words.tokens), (1, MOST_TOKENS));
    }
}

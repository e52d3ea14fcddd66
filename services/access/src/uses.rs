//! When keys and sessions were last used: noted in memory and written in batches, at most once a minute for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::lockout::MINUTE;
use crate::store::{Store, StoreError};
use crate::tokens::Kind;

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(10);
/// Uses that wait at most; more are not noted.
const MOST: usize = 20_000;
/// Uses of one statement.
const BATCH: usize = 500;
/// How long the last write may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// Uses that wait to be written. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    keys: HashMap<String, i64>,
    sessions: HashMap<String, i64>,
}

impl Uses {
    /// Something was used, and before that at another moment.
    pub(crate) fn note(&self, kind: Kind, id: &str, before: Option<i64>, now: i64) {
        if before.is_some_and(|before| now.saturating_sub(before) < MINUTE) {
            return;
        }
        let mut noted = self.0.lock();
        let uses = match kind {
            Kind::Key => &mut noted.keys,
            Kind::Session => &mut noted.sessions,
        };
        if uses.len() < MOST || uses.contains_key(id) {
            uses.insert(id.to_owned(), now);
        }
    }

    fn take(&self) -> Noted {
        std::mem::take(&mut *self.0.lock())
    }

    /// Writes what was noted.
    pub(crate) async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let noted = self.take();
        let keys: Vec<(String, i64)> = noted.keys.into_iter().collect();
        let sessions: Vec<(String, i64)> = noted.sessions.into_iter().collect();
        for batch in keys.chunks(BATCH) {
            store.note_uses(batch, &[]).await?;
        }
        for batch in sessions.chunks(BATCH) {
            store.note_uses(&[], batch).await?;
        }
        Ok(())
    }
}

/// Writes them until the shutdown, and once more then. What cannot be written is not tried again: a credential that is in
/// use is used again.
pub(crate) async fn run(uses: Uses, store: Arc<dyn Store>, shutdown: CancellationToken) {
    let tell = |error: StoreError| tracing::warn!(%error, "when credentials were last used cannot be written");
    loop {
        tokio::select! {
            () = sleep(EVERY.mul_f64(0.75 + 0.5 * fastrand::f64())) => {}
            () = shutdown.cancelled() => break,
        }
        uses.write(&*store).await.unwrap_or_else(tell);
    }
    drop(tokio::time::timeout(LAST, uses.write(&*store)).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_noted_once_a_minute_and_bounded() {
        let uses = Uses::default();
        uses.note(Kind::Key, "a", None, 7);
        uses.note(Kind::Key, "b", Some(7), 7 + MINUTE - 1);
        uses.note(Kind::Session, "c", Some(7), 7 + MINUTE);
        let noted = uses.take();
        assert_eq!(noted.keys, HashMap::from([("a".to_owned(), 7)]));
        assert_eq!(noted.sessions, HashMap::from([("c".to_owned(), 7 + MINUTE)]));
        for number in 0..MOST + 5 {
            uses.note(Kind::Key, &number.to_string(), None, 7);
        }
        uses.note(Kind::Key, "0", None, 9);
        let noted = uses.take();
        assert_eq!((noted.keys.len(), noted.keys["0"]), (MOST, 9));
    }
}

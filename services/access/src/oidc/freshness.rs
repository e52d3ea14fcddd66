//! How long what a provider said is gone by, and when it is asked again. Pure.

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// How long it is gone by without asking again.
const FRESH: i64 = 3_600 * SECOND;
/// How long it is gone by while the provider is away.
const STALE: i64 = 24 * 3_600 * SECOND;
/// Time between two questions at least: whoever shows tokens with keys that they made up does not have the provider asked
/// each time.
const APART: i64 = 30 * SECOND;

/// When it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// When it last answered.
    answered: Option<i64>,
    /// When it was last asked, and whether it answered then.
    tried: Option<(i64, bool)>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// What it said is good.
    Use,
    /// It is to be asked; what it said before is good if it does not answer.
    AskOrUse,
    /// It is to be asked.
    Ask,
    /// It was asked a moment ago, and said nothing of this.
    Refuse,
    /// It was asked a moment ago, and was away.
    Away,
}

impl Asked {
    /// It was asked, and answered or not.
    pub(super) fn note(&mut self, answered: bool, now: i64) {
        self.tried = Some((now, answered));
        if answered {
            self.answered = Some(now);
        }
    }

    /// What is to be done about something that its last answer has (`known`) or has not.
    pub(super) fn next(&self, known: bool, now: i64) -> Next {
        let age = self.answered.map(|at| now.saturating_sub(at));
        let usable = known && age.is_some_and(|age| age <= STALE);
        let lately = self.tried.filter(|(at, _)| now.saturating_sub(*at) < APART);
        match lately {
            _ if usable && age.is_some_and(|age| age <= FRESH) => Next::Use,
            None if usable => Next::AskOrUse,
            Some(_) if usable => Next::Use,
            None => Next::Ask,
            Some((_, true)) => Next::Refuse,
            Some((_, false)) => Next::Away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000 * SECOND;

    #[test]
    fn an_answer_is_good_for_an_hour_and_for_a_day_while_the_provider_is_away() {
        let mut asked = Asked::default();
        assert_eq!(asked.next(false, NOW), Next::Ask);
        asked.note(true, NOW);
        assert_eq!(asked.next(true, NOW + FRESH), Next::Use);
        assert_eq!(asked.next(true, NOW + FRESH + 1), Next::AskOrUse);
        asked.note(false, NOW + FRESH + 1);
        assert_eq!(asked.next(true, NOW + FRESH + 2), Next::Use, "not asked again at once");
        assert_eq!(asked.next(true, NOW + FRESH + 1 + APART), Next::AskOrUse);
        assert_eq!(asked.next(true, NOW + STALE), Next::AskOrUse);
        assert_eq!(asked.next(true, NOW + STALE + 1), Next::Ask);
        asked.note(false, NOW + STALE + 1);
        assert_eq!(asked.next(true, NOW + STALE + 2), Next::Away);
    }

    #[test]
    fn what_is_not_known_is_asked_about_once_in_a_while() {
        let mut asked = Asked::default();
        asked.note(true, NOW);
        assert_eq!(asked.next(false, NOW + 1), Next::Refuse);
        assert_eq!(asked.next(false, NOW + APART - 1), Next::Refuse);
        assert_eq!(asked.next(false, NOW + APART), Next::Ask);
        asked.note(false, NOW + APART);
        assert_eq!(
            asked.next(false, NOW + APART + 1),
            Next::Away,
            "nobody knows whether it is a key"
        );
        assert_eq!(asked.next(true, NOW + APART + 1), Next::Use, "the others are good");
    }
}

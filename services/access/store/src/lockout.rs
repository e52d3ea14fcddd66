//! How often a password may be wrong: after a few times the next is refused for a while, which doubles. Pure.

/// Microseconds of a minute.
pub const MINUTE: i64 = 60_000_000;

/// Wrong passwords of somebody, or from somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// Until when the next is refused; a time that has passed when it is not.
    pub locked_until: i64,
    /// When the last one was.
    pub last_at: i64,
}

/// When it locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Wrong ones in a row after which the next is refused.
    pub free: u32,
    /// For how long at first.
    pub first: i64,
    /// For how long at most.
    pub longest: i64,
    /// How long after the last one they are forgotten.
    pub memory: i64,
}

/// For one user: a guesser has about thirty tries a day.
pub const OF_USER: Policy = Policy {
    free: 5,
    first: MINUTE,
    longest: 60 * MINUTE,
    memory: 24 * 60 * MINUTE,
};

/// For one address, from which many may log in: it is there for those who try one password with many names.
pub const OF_ADDRESS: Policy = Policy {
    free: 50,
    first: MINUTE,
    longest: 15 * MINUTE,
    memory: 15 * MINUTE,
};

impl Policy {
    /// One more.
    #[must_use]
    pub fn failed(&self, before: Option<Failures>, now: i64) -> Failures {
        let remembered = before.filter(|before| now.saturating_sub(before.last_at) <= self.memory);
        let count = remembered.map_or(0, |before| before.count).saturating_add(1);
        let locked_until = match count.checked_sub(self.free) {
            None => now,
            Some(times) => now.saturating_add(self.first.saturating_mul(1 << times.min(30)).min(self.longest)),
        };
        Failures {
            count,
            locked_until,
            last_at: now,
        }
    }
}

impl Failures {
    /// Until when the next is refused.
    #[must_use]
    pub fn locked(&self, now: i64) -> Option<i64> {
        (self.locked_until > now).then_some(self.locked_until)
    }
}

/// Wrong passwords of a user are kept under this.
#[must_use]
pub fn failures_of_user(name: &str) -> String {
    format!("user:{name}")
}

/// Wrong passwords from an address are kept under this.
#[must_use]
pub fn failures_of_address(address: &str) -> String {
    format!("address:{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_wrong_ones_it_locks_for_a_minute_which_doubles_up_to_an_hour() {
        let mut failures = None;
        let mut now = 0;
        for _ in 0..4 {
            let next = OF_USER.failed(failures, now);
            assert_eq!(next.locked(now), None);
            failures = Some(next);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let next = OF_USER.failed(failures, now);
            assert_eq!(next.locked(now), Some(now + minutes * MINUTE));
            assert_eq!(next.locked(next.locked_until), None, "when it is over it is over");
            now = next.locked_until;
            failures = Some(next);
        }
    }

    #[test]
    fn they_are_forgotten_after_a_while_and_numbers_do_not_overflow() {
        let many = Failures {
            count: u32::MAX,
            locked_until: 0,
            last_at: 0,
        };
        assert_eq!(OF_USER.failed(Some(many), 1).locked(1), Some(1 + 60 * MINUTE));
        let later = OF_USER.memory + 1;
        assert_eq!(OF_USER.failed(Some(many), later).count, 1);
    }
}

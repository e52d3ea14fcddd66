//! A rule in a zone: what its times are as moments, over the changes of the zone's clocks.

use crate::rule::{CYCLE, Rule};
use crate::spec::DstPolicy;
use crate::zone::{FIRST, LAST, Zone, plain, seconds};

/// The longest way to the next time of a rule that occurs at all, in seconds: the calendar's cycle, and a year.
const FAR: i64 = (CYCLE as i64 + 1) * 366 * 86_400;

/// A rule in a zone.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) rule: Rule,
    pub(crate) zone: Zone,
    /// Whether each of its local times is due once, whatever the clocks do.
    pub(crate) once: bool,
}

impl Series {
    pub(crate) fn new(rule: Rule, zone: Zone, policy: DstPolicy) -> Self {
        let once = policy == DstPolicy::Adjust && !rule.running;
        Self { rule, zone, once }
    }

    /// The first moment after one, in seconds.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let after = after.max(FIRST);
        if after >= LAST {
            return None;
        }
        match self.once {
            true => self.next_once(after),
            false => self.next_running(after),
        }
    }

    /// The last moment before one, in seconds.
    pub(crate) fn previous(&self, before: i64) -> Option<i64> {
        let before = before.min(LAST);
        if before <= FIRST {
            return None;
        }
        match self.once {
            true => self.previous_once(before),
            false => self.previous_running(before),
        }
    }

    /// Between two changes of the clocks local times and moments run side by side.
    fn next_running(&self, after: i64) -> Option<i64> {
        let (mut from, limit) = (after + 1, after.saturating_add(FAR).min(LAST));
        while from < limit {
            let offset = self.zone.offset(from);
            let until = self.zone.change_after(from).unwrap_or(LAST).min(limit);
            if let Some(local) = self.rule.next(plain(from + offset), plain(until + offset)) {
                return Some(seconds(local) - offset);
            }
            from = until;
        }
        None
    }

    fn previous_running(&self, before: i64) -> Option<i64> {
        let (mut from, limit) = (before - 1, before.saturating_sub(FAR).max(FIRST));
        while from >= limit {
            let offset = self.zone.offset(from);
            let since = self.zone.change_until(from).unwrap_or(FIRST).max(limit);
            if let Some(local) = self.rule.previous(plain(from + offset), plain(since + offset)) {
                return Some(seconds(local) - offset);
            }
            from = since - 1;
        }
        None
    }

    /// Later local times are never due earlier, so the first one that is due after the moment is the next.
    fn next_once(&self, after: i64) -> Option<i64> {
        let limit = plain(after.saturating_add(FAR).min(LAST));
        let mut from = self.zone.local(after);
        loop {
            let local = self.rule.next(from, limit)?;
            let due = self.zone.first_moment(local);
            if due > after {
                return Some(due);
            }
            // It is past for the first time; the clocks show it again.
            from = plain(seconds(local) + 1);
        }
    }

    fn previous_once(&self, before: i64) -> Option<i64> {
        let limit = plain(before.saturating_sub(FAR).max(FIRST));
        let last = before - 1;
        // Where the clocks were put back, later local times than theirs are past too.
        let shown = last + self.zone.offset(last);
        let back = self.zone.change_until(last);
        let shown = back.map_or(shown, |change| shown.max(change + self.zone.offset(change - 1) - 1));
        let mut from = plain(shown);
        loop {
            let local = self.rule.previous(from, limit)?;
            let due = self.zone.first_moment(local);
            if due <= last {
                return Some(due);
            }
            from = plain(seconds(local) - 1);
        }
    }
}

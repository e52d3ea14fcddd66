//! A specification that was checked, and can be asked what is due when.

use sha2::{Digest, Sha256};

use crate::SECOND;
use crate::calendar::{self, Unsaid};
use crate::cron::{self, When};
use crate::error::SpecError;
use crate::facts::Facts;
use crate::rule::Rule;
use crate::series::Series;
use crate::spec::{DstPolicy, Interval, Spec};
use crate::zone::{FIRST, LAST, Zone, plain, seconds};

/// Crons, intervals and calendars of each kind at most.
pub const MAX_SOURCES: usize = 100;
/// Single times at most.
pub const MAX_TIMES: usize = 1_000;
/// The longest jitter: a day, in microseconds.
pub const MAX_JITTER: i64 = 86_400 * SECOND;
/// Times in a row that exclusions may take away before nobody looks on.
pub const MAX_EXCLUDED: u32 = 100_000;
/// The longest interval: 100 years.
const MAX_INTERVAL: i64 = 100 * 366 * 86_400 * SECOND;

/// Exclusions take away so many times in a row that nobody looks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the exclusions take away more than {MAX_EXCLUDED} times in a row; what follows them is not looked for")]
pub struct Exhausted;

/// What is due, of one kind.
#[derive(Debug, Clone)]
enum Source {
    Series(Series),
    Interval(Interval),
    /// In order.
    Times(Vec<i64>),
}

impl Source {
    fn next(&self, after: i64) -> Option<i64> {
        match self {
            Self::Series(series) => Some(series.next(after.div_euclid(SECOND))? * SECOND),
            Self::Interval(Interval { every, phase }) => {
                let past = (after - phase).div_euclid(*every);
                let next = (past + 1) * every + phase;
                (next <= LAST * SECOND).then_some(next)
            }
            Self::Times(times) => times.get(times.partition_point(|time| *time <= after)).copied(),
        }
    }

    fn previous(&self, before: i64) -> Option<i64> {
        match self {
            // The first whole second that is not before.
            Self::Series(series) => Some(series.previous((before + SECOND - 1).div_euclid(SECOND))? * SECOND),
            Self::Interval(Interval { every, phase }) => {
                let previous = (before - phase - 1).div_euclid(*every) * every + phase;
                (previous >= FIRST * SECOND).then_some(previous)
            }
            Self::Times(times) => {
                let past = times.partition_point(|time| *time < before);
                times.get(past.checked_sub(1)?).copied()
            }
        }
    }
}

/// Times that are left out.
#[derive(Debug, Clone)]
struct Exclusion {
    rule: Rule,
    zone: Zone,
}

/// A specification that was checked.
#[derive(Debug, Clone)]
pub struct Plan {
    sources: Vec<Source>,
    exclusions: Vec<Exclusion>,
    start: i64,
    end: i64,
    jitter: i64,
    zone: Zone,
    pub(crate) facts: Facts,
}

impl Plan {
    /// Checks a specification.
    ///
    /// # Errors
    /// When it cannot be used, or never fires.
    pub fn of(spec: &Spec) -> Result<Self, SpecError> {
        check_bounds(spec)?;
        let zone = Zone::named(&spec.timezone)?;
        let mut plan = Self {
            sources: Vec::new(),
            exclusions: Vec::new(),
            start: spec.start.unwrap_or(FIRST * SECOND).max(FIRST * SECOND),
            end: spec.end.unwrap_or(LAST * SECOND).min(LAST * SECOND),
            jitter: spec.jitter,
            zone: zone.clone(),
            facts: Facts::of(spec.dst_policy, spec.day_match),
        };
        for text in &spec.crons {
            plan.add_cron(text, spec)?;
        }
        for (index, interval) in spec.intervals.iter().enumerate() {
            check_interval(*interval, index)?;
            plan.sources.push(Source::Interval(*interval));
        }
        for (index, calendar) in spec.calendars.iter().enumerate() {
            let place = format!("calendars[{index}]");
            let rule = calendar::rule(calendar, &place, Unsaid::Zero)?;
            plan.add_rule(rule, zone.clone(), spec.dst_policy, &place)?;
        }
        if !spec.times.is_empty() {
            plan.sources.push(Source::Times(times(&spec.times)?));
        }
        if plan.sources.is_empty() {
            return Err(SpecError::Empty);
        }
        plan.exclude(spec)?;
        Ok(plan)
    }

    fn add_cron(&mut self, text: &str, spec: &Spec) -> Result<(), SpecError> {
        let cron = cron::parse(text, spec.day_match)?;
        let zone = cron
            .zone
            .as_deref()
            .map_or_else(|| Ok(self.zone.clone()), Zone::named)?;
        match cron.when {
            When::Every(interval) => {
                check_interval(interval, 0)?;
                self.sources.push(Source::Interval(interval));
            }
            When::Times(times) => {
                self.facts.note_cron(text, &times);
                self.add_rule(times.rule, zone, spec.dst_policy, &format!("cron expression {text:?}"))?;
            }
        }
        Ok(())
    }

    fn add_rule(&mut self, rule: Rule, zone: Zone, policy: DstPolicy, what: &str) -> Result<(), SpecError> {
        if !rule.occurs() {
            return Err(SpecError::Never {
                what: what.to_owned(),
                hint: "; see the days and the months that it names together".to_owned(),
            });
        }
        self.sources.push(Source::Series(Series::new(rule, zone, policy)));
        Ok(())
    }

    fn exclude(&mut self, spec: &Spec) -> Result<(), SpecError> {
        for text in &spec.exclude_crons {
            let cron = cron::parse(text, spec.day_match)?;
            let zone = cron
                .zone
                .as_deref()
                .map_or_else(|| Ok(self.zone.clone()), Zone::named)?;
            let When::Times(mut times) = cron.when else {
                let problem = format!("has {text:?}; an interval excludes nothing, give the times");
                return Err(SpecError::field("exclude_crons", problem));
            };
            if !times.has_seconds {
                times.rule.seconds = (1 << 60) - 1;
            }
            let rule = times.rule;
            self.exclusions.push(Exclusion { rule, zone });
        }
        for (index, calendar) in spec.exclude_calendars.iter().enumerate() {
            let rule = calendar::rule(calendar, &format!("exclude_calendars[{index}]"), Unsaid::All)?;
            let zone = self.zone.clone();
            self.exclusions.push(Exclusion { rule, zone });
        }
        Ok(())
    }

    /// The zone that it is read in.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first time after a moment.
    ///
    /// # Errors
    /// When exclusions take away too many times in a row.
    pub fn next(&self, after: i64) -> Result<Option<i64>, Exhausted> {
        self.after(after).next().transpose()
    }

    /// The last time before a moment.
    ///
    /// # Errors
    /// When exclusions take away too many times in a row.
    pub fn previous(&self, before: i64) -> Result<Option<i64>, Exhausted> {
        let mut before = before.min(self.end.saturating_add(1));
        for _ in 0..MAX_EXCLUDED {
            let latest = self.sources.iter().filter_map(|source| source.previous(before)).max();
            let Some(found) = latest.filter(|found| *found >= self.start) else {
                return Ok(None);
            };
            match self.excluded(found) {
                None => return Ok(Some(found)),
                Some(gap) => before = gap.0,
            }
        }
        Err(Exhausted)
    }

    /// The times after a moment, one after the other.
    #[must_use]
    pub fn after(&self, after: i64) -> Fires<'_> {
        let after = after
            .max(self.start.saturating_sub(1))
            .clamp(FIRST * SECOND - 1, LAST * SECOND);
        let heads = self.sources.iter().map(|source| source.next(after)).collect();
        Fires { plan: self, heads }
    }

    /// When a time is really due: delayed by what the jitter makes of the schedule's id and the time, the same wherever it
    /// is asked, and never as late as the next one.
    #[must_use]
    pub fn due(&self, id: &str, nominal: i64) -> i64 {
        if self.jitter == 0 {
            return nominal;
        }
        let room = match self.next(nominal) {
            Ok(Some(next)) => self.jitter.min(next - nominal),
            _ => self.jitter,
        };
        let digest = Sha256::new()
            .chain_update(id)
            .chain_update(nominal.to_le_bytes())
            .finalize();
        let chance = digest
            .iter()
            .take(8)
            .fold(0u64, |chance, byte| chance << 8 | u64::from(*byte));
        let delay = chance % room.max(1).unsigned_abs();
        nominal.saturating_add(i64::try_from(delay).unwrap_or_default())
    }

    /// How far around a time everything is excluded: the moment that it begins and the last one of it; nothing when it is
    /// not.
    fn excluded(&self, at: i64) -> Option<(i64, i64)> {
        for Exclusion { rule, zone } in &self.exclusions {
            let whole = at.div_euclid(SECOND);
            let local = zone.local(whole);
            if !rule.names(local) {
                continue;
            }
            // A change of the clocks within the day makes its edges something else.
            let (begins, ends) = (whole - seconds_of_day(local), whole - seconds_of_day(local) + 86_399);
            let steady = zone.offset(begins) == zone.offset(whole) && zone.offset(ends) == zone.offset(whole);
            return Some(match rule.is_whole_days() && steady {
                true => (begins * SECOND, ends * SECOND + SECOND - 1),
                false => (at, at),
            });
        }
        None
    }

    /// What the clocks of the zone do about a time: it is not what a rule names, but the moment of the skip.
    pub(crate) fn is_moved(&self, at: i64) -> bool {
        let whole = at.div_euclid(SECOND);
        let moved = |series: &Series| {
            let local = series.zone.local(whole);
            let due = series.once && series.next(whole - 1) == Some(whole);
            due && !series.rule.names(local)
        };
        self.series().any(moved)
    }

    /// Whether the clocks show a time of a rule twice and it is due the first time only.
    pub(crate) fn is_first_of_two(&self, at: i64) -> bool {
        let whole = at.div_euclid(SECOND);
        let repeated = |series: &Series| {
            let local = series.zone.local(whole);
            let next = series.zone.change_after(whole);
            let again = next.is_some_and(|change| {
                let back = series.zone.offset(change - 1) - series.zone.offset(change);
                back > 0 && whole + back >= change && seconds(local) == whole + back + series.zone.offset(change)
            });
            again && series.once && series.next(whole - 1) == Some(whole)
        };
        self.series().any(repeated)
    }

    fn series(&self) -> impl Iterator<Item = &Series> {
        self.sources.iter().filter_map(|source| match source {
            Source::Series(series) => Some(series),
            _ => None,
        })
    }
}

fn seconds_of_day(local: jiff::civil::DateTime) -> i64 {
    let midnight = local.date().to_datetime(jiff::civil::Time::midnight());
    debug_assert!(plain(seconds(midnight)) == midnight);
    seconds(local) - seconds(midnight)
}

/// Times one after the other.
#[derive(Debug)]
pub struct Fires<'a> {
    plan: &'a Plan,
    heads: Vec<Option<i64>>,
}

impl Iterator for Fires<'_> {
    type Item = Result<i64, Exhausted>;

    fn next(&mut self) -> Option<Self::Item> {
        for _ in 0..MAX_EXCLUDED {
            let found = self.heads.iter().flatten().min().copied()?;
            if found > self.plan.end {
                return None;
            }
            let gap = self.plan.excluded(found);
            let past = gap.map_or(found, |gap| gap.1);
            for (head, source) in self.heads.iter_mut().zip(&self.plan.sources) {
                if head.is_some_and(|head| head <= past) {
                    *head = source.next(past);
                }
            }
            if gap.is_none() {
                return Some(Ok(found));
            }
        }
        self.heads.clear();
        Some(Err(Exhausted))
    }
}

fn check_bounds(spec: &Spec) -> Result<(), SpecError> {
    let counts = [
        ("crons", spec.crons.len(), MAX_SOURCES),
        ("intervals", spec.intervals.len(), MAX_SOURCES),
        ("calendars", spec.calendars.len(), MAX_SOURCES),
        ("exclude_crons", spec.exclude_crons.len(), MAX_SOURCES),
        ("exclude_calendars", spec.exclude_calendars.len(), MAX_SOURCES),
        ("times", spec.times.len(), MAX_TIMES),
    ];
    if let Some((field, count, most)) = counts.into_iter().find(|(_, count, most)| count > most) {
        return Err(SpecError::field(
            field,
            format!("has {count} entries; at most {most} are taken"),
        ));
    }
    if !(0..=MAX_JITTER).contains(&spec.jitter) {
        return Err(SpecError::field("jitter", "must be from 0 s to 24 h"));
    }
    if let (Some(start), Some(end)) = (spec.start, spec.end)
        && end < start
    {
        return Err(SpecError::field("end", "is before start"));
    }
    Ok(())
}

fn check_interval(interval: Interval, index: usize) -> Result<(), SpecError> {
    let place = format!("intervals[{index}]");
    let Interval { every, phase } = interval;
    if !(SECOND..=MAX_INTERVAL).contains(&every) || every % SECOND != 0 {
        let problem = "must be a number of whole seconds, from 1 s to 100 years";
        return Err(SpecError::field(format!("{place}.every"), problem));
    }
    if phase < 0 || phase >= every || phase % SECOND != 0 {
        let problem = "must be a number of whole seconds, at least 0 and less than every";
        return Err(SpecError::field(format!("{place}.phase"), problem));
    }
    Ok(())
}

fn times(texts: &[String]) -> Result<Vec<i64>, SpecError> {
    let read = |(index, text): (usize, &String)| {
        let moment: Result<jiff::Timestamp, _> = text.trim().parse();
        moment.map(jiff::Timestamp::as_microsecond).map_err(|_| {
            let quoted: String = text.chars().take(64).collect();
            let problem = format!("has {quoted:?}; write a time with its offset, such as 2026-03-29T09:00:00+02:00");
            SpecError::field(format!("times[{index}]"), problem)
        })
    };
    let mut times = texts.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    times.dedup();
    Ok(times)
}

//! Calendars as rules.

use crate::error::SpecError;
use crate::rule::{Days, LAST_YEAR, Rule};
use crate::spec::{Calendar, Range};

/// Ranges of one field at most.
const MAX_RANGES: usize = 64;
/// Characters of a comment at most.
const MAX_COMMENT: usize = 1_024;

/// The first year that a calendar may name.
const FIRST_YEAR: u32 = 1970;

/// What a field of the time of day means that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// 0, as of times that are due.
    Zero,
    /// All, as of times that are left out.
    All,
}

/// A calendar as a rule. `place` names it in errors.
pub(crate) fn rule(calendar: &Calendar, place: &str, unsaid: Unsaid) -> Result<Rule, SpecError> {
    if calendar.comment.chars().count() > MAX_COMMENT {
        let problem = format!("has more than {MAX_COMMENT} characters");
        return Err(SpecError::field(format!("{place}.comment"), problem));
    }
    let read = |name: &str, ranges: &[Range], bounds: (u32, u32), unsaid: Unsaid| -> Result<u64, SpecError> {
        let place = format!("{place}.{name}");
        if ranges.is_empty() {
            return Ok(match unsaid {
                Unsaid::Zero => 1,
                Unsaid::All => (bounds.0..=bounds.1).fold(0, |mask, number| mask | 1u64 << number),
            });
        }
        let mut mask = 0;
        for number in numbers(ranges, &place, bounds)? {
            mask |= 1u64 << number;
        }
        Ok(mask)
    };
    let weekdays = read("day_of_week", &calendar.day_of_week, (0, 7), Unsaid::All)?;
    let years = match calendar.year.is_empty() {
        true => None,
        false => {
            let bounds = (FIRST_YEAR, LAST_YEAR.unsigned_abs().into());
            let mut years: Vec<i16> = numbers(&calendar.year, &format!("{place}.year"), bounds)?
                .filter_map(|year| i16::try_from(year).ok())
                .collect();
            years.sort_unstable();
            years.dedup();
            Some(years)
        }
    };
    Ok(Rule {
        seconds: read("second", &calendar.second, (0, 59), unsaid)?,
        minutes: read("minute", &calendar.minute, (0, 59), unsaid)?,
        hours: read("hour", &calendar.hour, (0, 23), unsaid)?,
        months: read("month", &calendar.month, (1, 12), Unsaid::All)?,
        years,
        running: is_star(&calendar.minute, 59) || is_star(&calendar.hour, 23),
        days: Days {
            numbers: read("day_of_month", &calendar.day_of_month, (1, 31), Unsaid::All)? as u32,
            weekdays: (weekdays & 0x7f | weekdays >> 7 & 1) as u8,
            ..Days::all()
        },
    })
}

/// Whether a field is what cron writes with `*` in front.
fn is_star(ranges: &[Range], greatest: u32) -> bool {
    ranges
        .first()
        .is_some_and(|range| range.start == 0 && range.end == greatest)
}

fn numbers<'a>(
    ranges: &'a [Range],
    place: &str,
    (least, greatest): (u32, u32),
) -> Result<impl Iterator<Item = u32> + 'a, SpecError> {
    if ranges.len() > MAX_RANGES {
        return Err(SpecError::field(place, format!("has more than {MAX_RANGES} ranges")));
    }
    let wrong = |number: u32| {
        let problem = format!("has {number}; allowed are {least} to {greatest}");
        SpecError::field(place, problem)
    };
    for range in ranges {
        for number in [range.start, range.end.max(range.start)] {
            if !(least..=greatest).contains(&number) {
                return Err(wrong(number));
            }
        }
    }
    let all = |range: &'a Range| (range.start..=range.end.max(range.start)).step_by(range.step.max(1) as usize);
    Ok(ranges.iter().flat_map(all))
}

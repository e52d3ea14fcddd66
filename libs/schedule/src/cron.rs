//! Cron expressions: five fields, or six with the seconds first; names, `@daily` and the like, `@every 15m`, a zone in front
//! (`CRON_TZ=Europe/Berlin`), a comment behind.

mod error;
mod field;

use jiff::{Span, SpanRelativeTo};

use crate::rule::{Days, Rule};
use crate::spec::{DayMatch, Interval};

pub use error::{CronError, Field};
use field::Named;

/// Characters of an expression at most.
pub(crate) const MAX_EXPRESSION: usize = 512;

/// What stands for five fields.
const SHORTHANDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const EVERY: &str = "@every";

/// An expression that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cron {
    /// The zone that it names itself.
    pub(crate) zone: Option<String>,
    pub(crate) when: When,
}

/// When it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Every(Interval),
    Times(Times),
}

/// What the fields say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) rule: Rule,
    /// Whether the seconds are said.
    pub(crate) has_seconds: bool,
    /// Whether both fields of days say something, so that it matters how they are taken together.
    pub(crate) two_days: bool,
    /// Fields whose step does not divide their range, with the step.
    pub(crate) uneven: Vec<(Field, u32)>,
}

/// A word of the expression, and the number of its first character.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    position: usize,
}

/// Reads an expression.
pub(crate) fn parse(expression: &str, day_match: DayMatch) -> Result<Cron, CronError> {
    let fail = |position, problem: &str, help: &str| Err(CronError::new(expression, None, position, problem, help));
    if expression.chars().count() > MAX_EXPRESSION {
        return fail(1, &format!("it has more than {MAX_EXPRESSION} characters"), "");
    }
    let mut words = words(expression);
    let zone = match words.first() {
        Some(first) => zone_of(expression, first)?,
        None => None,
    };
    if zone.is_some() {
        words.remove(0);
    }
    let Some(first) = words.first().copied() else {
        return fail(
            1,
            "it is empty",
            "write five fields: minute, hour, day of month, month, day of week",
        );
    };
    if first.text.starts_with('@') {
        let when = shorthand(expression, first, &words[1..], day_match)?;
        return Ok(Cron { zone, when });
    }
    let when = match words.as_slice() {
        five @ [_, _, _, _, _] => fields(expression, None, five, day_match)?,
        [second, five @ ..] if five.len() == 5 => fields(expression, Some(*second), five, day_match)?,
        other => {
            let last = other.last().map_or(1, |word| word.position);
            let position = other.get(6).map_or(last, |word| word.position);
            let help = match other.len() {
                7 => "years are said by a calendar",
                _ => "there are five: minute, hour, day of month, month, day of week; or six, with the second first",
            };
            return fail(
                position,
                &format!("it has {} {}", other.len(), plural(other.len())),
                help,
            );
        }
    };
    let when = When::Times(when);
    Ok(Cron { zone, when })
}

fn plural(fields: usize) -> &'static str {
    if fields == 1 { "field" } else { "fields" }
}

/// The words before the comment, which begins with a `#` that no other character stands before.
fn words(expression: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    for (number, (byte, letter)) in expression.char_indices().enumerate() {
        match (letter.is_whitespace(), begun) {
            (true, Some((start, position))) => {
                let text = &expression[start..byte];
                words.push(Word { text, position });
                begun = None;
            }
            (false, None) if letter == '#' => return words,
            (false, None) => begun = Some((byte, number + 1)),
            _ => {}
        }
    }
    if let Some((start, position)) = begun {
        let text = &expression[start..];
        words.push(Word { text, position });
    }
    words
}

/// The zone, where the first word names one.
fn zone_of(expression: &str, word: &Word<'_>) -> Result<Option<String>, CronError> {
    let Some((name, zone)) = word.text.split_once('=') else {
        return Ok(None);
    };
    let fail = |problem: String, help: &str| Err(CronError::new(expression, None, word.position, &problem, help));
    match name.to_ascii_uppercase().as_str() {
        "CRON_TZ" | "TZ" if zone.is_empty() => {
            fail(format!("{name}= names no zone"), "write it as CRON_TZ=Europe/Berlin")
        }
        "CRON_TZ" | "TZ" => Ok(Some(zone.to_owned())),
        _ => fail(
            format!("{name:?} is not known in front of the fields"),
            "only a zone stands there, CRON_TZ=Europe/Berlin or TZ=Europe/Berlin",
        ),
    }
}

fn shorthand(expression: &str, word: Word<'_>, rest: &[Word<'_>], day_match: DayMatch) -> Result<When, CronError> {
    let fail = |position, problem: &str, help: &str| Err(CronError::new(expression, None, position, problem, help));
    let name = word.text.to_ascii_lowercase();
    if name == EVERY {
        return every(expression, word, rest).map(When::Every);
    }
    let Some((_, meaning)) = SHORTHANDS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = SHORTHANDS.iter().map(|(known, _)| *known).chain([EVERY]).collect();
        let near = error::nearest(&name, known.iter().copied());
        let help = format!("there are {}{near}", known.join(", "));
        return fail(word.position, &format!("{:?} is not known", word.text), &help);
    };
    if let Some(more) = rest.first() {
        let problem = format!("nothing may follow {name}, {:?} does", more.text);
        return fail(more.position, &problem, "leave it out");
    }
    // What it stands for can be read; were it not, that would be told.
    let five = words(meaning);
    fields(meaning, None, &five, day_match).map(When::Times)
}

/// `@every 1h30m`, or `@every 1h/10m` for ten minutes past each hour.
fn every(expression: &str, word: Word<'_>, rest: &[Word<'_>]) -> Result<Interval, CronError> {
    const HELP: &str = "write how often, such as @every 15m, @every 1h30m, or with a phase @every 1h/10m";
    let fail = |position, problem: &str| CronError::new(expression, None, position, problem, HELP);
    let position = rest.first().map_or(word.position, |first| first.position);
    let text: Vec<&str> = rest.iter().map(|word| word.text).collect();
    let text = text.join(" ");
    let (every, phase) = match text.split_once('/') {
        Some((every, phase)) => (every, Some(phase)),
        None => (text.as_str(), None),
    };
    let read = |text: &str| span(text).map_err(|problem| fail(position, &problem));
    let every = read(every)?;
    let phase = phase.map(read).transpose()?.unwrap_or_default();
    if every < crate::SECOND {
        return Err(fail(position, "the interval is shorter than a second"));
    }
    if phase >= every {
        return Err(fail(position, "the phase is not shorter than the interval"));
    }
    Ok(Interval { every, phase })
}

/// A span of weeks, days, hours, minutes and seconds, in microseconds; a day has 24 hours.
fn span(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a length of time");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err("an interval has no months or years, which are not equally long".to_owned());
    }
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    let micros = i64::try_from(length.as_micros()).map_err(|_| wrong())?;
    match length.is_negative() || micros % crate::SECOND != 0 {
        true => Err(format!("{text:?} is not a number of whole seconds")),
        false => Ok(micros),
    }
}

fn fields(
    expression: &str,
    second: Option<Word<'_>>,
    five: &[Word<'_>],
    day_match: DayMatch,
) -> Result<Times, CronError> {
    let read = |field, word: &Word<'_>| field::read(expression, field, word.text, word.position);
    let seconds = second.map(|word| read(Field::Second, &word)).transpose()?;
    let [minute, hour, day, month, weekday] = five else {
        return Err(CronError::new(expression, None, 1, "it has not five fields", ""));
    };
    let (minutes, hours) = (read(Field::Minute, minute)?, read(Field::Hour, hour)?);
    let (days, months) = (read(Field::DayOfMonth, day)?, read(Field::Month, month)?);
    let weekdays = read(Field::DayOfWeek, weekday)?;
    let all = [
        seconds.as_ref(),
        Some(&minutes),
        Some(&hours),
        Some(&days),
        Some(&months),
    ];
    let uneven = all.into_iter().flatten().filter_map(|named| named.uneven).collect();
    let two_days = !days.is_star && !weekdays.is_star;
    let running = minutes.is_star || hours.is_star;
    Ok(Times {
        has_seconds: second.is_some(),
        two_days,
        uneven,
        rule: Rule {
            seconds: seconds.as_ref().map_or(1, |named| named.numbers),
            minutes: minutes.numbers,
            hours: hours.numbers,
            months: months.numbers,
            years: None,
            running,
            days: days_of(&days, &weekdays, !two_days || day_match == DayMatch::And),
        },
    })
}

fn days_of(days: &Named, weekdays: &Named, both: bool) -> Days {
    Days {
        numbers: days.numbers as u32,
        before_last: days.before_last,
        nearest: days.nearest,
        last_weekday: days.last_weekday,
        // Sunday is 0 and 7.
        weekdays: (weekdays.numbers & 0x7f | weekdays.numbers >> 7 & 1) as u8,
        nth: weekdays.nth,
        last_of: weekdays.last_of,
        both,
    }
}

//! Hours in which nobody wants to hear of anything. Pure: time is a parameter.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use nexus_api::notifications::v1::QuietHours;
use nexus_api::notifications::v1::quiet_hours::{Day, Policy};

/// Quiet hours that were read.
#[derive(Debug, Clone)]
pub(crate) struct Quiet {
    zone: TimeZone,
    days: Vec<Day>,
    from: Time,
    to: Time,
    /// Whether what happens meanwhile is sent afterwards.
    pub(crate) holds: bool,
}

/// A field that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct BadHours {
    pub(crate) field: &'static str,
    pub(crate) problem: String,
}

impl Quiet {
    /// Reads them.
    pub(crate) fn read(hours: &QuietHours) -> Result<Self, BadHours> {
        let bad = |field, problem: String| BadHours { field, problem };
        let zone = TimeZone::get(&hours.zone).map_err(|_| {
            bad(
                "zone",
                format!(
                    "there is no time zone {:?}; write one such as Europe/Berlin",
                    hours.zone
                ),
            )
        })?;
        let time = |field, text: &str| {
            let read = (text.len() == 5).then(|| text.parse::<Time>().ok()).flatten();
            read.ok_or_else(|| bad(field, format!("must be a time such as 22:00, not {text:?}")))
        };
        let (from, to) = (time("from", &hours.from)?, time("to", &hours.to)?);
        let days: Vec<Day> = hours.days().filter(|day| *day != Day::Unspecified).collect();
        if days.len() != hours.days.len() {
            return Err(bad("days", "must name days of the week".to_owned()));
        }
        Ok(Self {
            zone,
            days,
            from,
            to,
            holds: hours.policy() != Policy::Drop,
        })
    }

    /// When the quiet hours end that a moment lies in, in microseconds since 1970; nothing when it lies in none.
    pub(crate) fn end(&self, now: i64) -> Option<i64> {
        let moment = Timestamp::from_microsecond(now).ok()?;
        let today = moment.to_zoned(self.zone.clone()).date();
        let yesterday = today.checked_sub(1.day()).ok()?;
        [today, yesterday].into_iter().find_map(|day| {
            let (start, end) = self.of_day(day)?;
            (start <= moment && moment < end).then(|| end.as_microsecond())
        })
    }

    /// The hours that begin on a day.
    fn of_day(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let number = i32::from(day.weekday().to_monday_one_offset());
        if !self.days.is_empty() && !self.days.iter().any(|quiet| i32::from(*quiet) == number) {
            return None;
        }
        let last = if self.to > self.from {
            day
        } else {
            day.checked_add(1.day()).ok()?
        };
        let point = |date: Date, time: Time| date.to_datetime(time).to_zoned(self.zone.clone()).ok();
        Some((point(day, self.from)?.timestamp(), point(last, self.to)?.timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_microsecond()
    }

    fn hours(zone: &str, days: &[Day], from: &str, to: &str) -> QuietHours {
        QuietHours {
            zone: zone.into(),
            days: days.iter().map(|day| i32::from(*day)).collect(),
            from: from.into(),
            to: to.into(),
            policy: 0,
        }
    }

    #[test]
    fn a_night_lasts_into_the_next_day_in_its_zone() {
        let quiet = Quiet::read(&hours("Europe/Berlin", &[], "22:00", "07:00")).expect("hours");
        // CET is UTC+1.
        assert_eq!(quiet.end(at("2026-01-10T20:59:59Z")), None);
        assert_eq!(quiet.end(at("2026-01-10T21:00:00Z")), Some(at("2026-01-11T06:00:00Z")));
        assert_eq!(quiet.end(at("2026-01-11T05:59:59Z")), Some(at("2026-01-11T06:00:00Z")));
        assert_eq!(quiet.end(at("2026-01-11T06:00:00Z")), None);
        // The night in which clocks go forward ends at 07:00 of summer time.
        assert_eq!(quiet.end(at("2026-03-28T23:00:00Z")), Some(at("2026-03-29T05:00:00Z")));
    }

    #[test]
    fn days_are_those_on_which_they_begin() {
        let weekend = Quiet::read(&hours("UTC", &[Day::Saturday], "18:00", "08:00")).expect("hours");
        // 2026-01-10 is a Saturday.
        assert_eq!(
            weekend.end(at("2026-01-10T19:00:00Z")),
            Some(at("2026-01-11T08:00:00Z"))
        );
        assert_eq!(
            weekend.end(at("2026-01-11T07:00:00Z")),
            Some(at("2026-01-11T08:00:00Z"))
        );
        assert_eq!(weekend.end(at("2026-01-11T19:00:00Z")), None);
        assert_eq!(weekend.end(at("2026-01-10T07:00:00Z")), None);
        let whole = Quiet::read(&hours("UTC", &[Day::Sunday], "00:00", "00:00")).expect("hours");
        assert_eq!(whole.end(at("2026-01-11T23:59:59Z")), Some(at("2026-01-12T00:00:00Z")));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (field, hours) in [
            ("zone", hours("Mars/Olympus", &[], "22:00", "07:00")),
            ("from", hours("UTC", &[], "22", "07:00")),
            ("to", hours("UTC", &[], "22:00", "25:00")),
            ("days", hours("UTC", &[Day::Unspecified], "22:00", "07:00")),
        ] {
            assert_eq!(Quiet::read(&hours).expect_err(field).field, field);
        }
    }
}

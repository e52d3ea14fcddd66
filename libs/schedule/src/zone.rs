//! Time zones by their IANA name, with the rules that come with the program.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::SECOND;

/// The moments between which anything is looked for: 1900 to 8999, in seconds.
pub(crate) const FIRST: i64 = -2_208_988_800;
pub(crate) const LAST: i64 = 221_845_391_999;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a time zone; zones are named as the IANA has them, such as Europe/Berlin{}", hint(.near.as_deref()))]
pub struct UnknownZone {
    /// The text.
    pub name: String,
    /// The zone that is spelled most like it, when one is near.
    pub near: Option<String>,
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of a name, in any case; UTC of an empty one.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        if name.is_empty() {
            return Ok(Self(TimeZone::UTC));
        }
        match ZONES.get(name) {
            Ok(zone) => Ok(Self(zone)),
            Err(_) => Err(UnknownZone {
                name: name.chars().take(64).collect(),
                near: nearest(name),
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A moment as RFC 3339 writes it, with the zone's offset then.
    #[must_use]
    pub fn rfc3339(&self, at: i64) -> String {
        self.shown(
            at,
            if at % SECOND == 0 {
                "%Y-%m-%dT%H:%M:%S%:z"
            } else {
                "%Y-%m-%dT%H:%M:%S%.f%:z"
            },
        )
    }

    /// A moment for people: `Mon 2026-03-30 02:30:00 CEST`.
    #[must_use]
    pub fn for_people(&self, at: i64) -> String {
        self.shown(at, "%a %Y-%m-%d %H:%M:%S %Z")
    }

    /// A moment as people write it: RFC 3339 with an offset, or a date, or a date and time, that the zone's clocks show.
    #[must_use]
    pub fn moment(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Some(moment.as_microsecond());
        }
        let local: DateTime = text.parse().ok()?;
        let whole = self.first_moment(local);
        Some(whole * SECOND + i64::from(local.subsec_nanosecond()) / 1_000)
    }

    fn shown(&self, at: i64, format: &str) -> String {
        let moment = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
        moment.to_zoned(self.0.clone()).strftime(format).to_string()
    }

    /// How far its clocks are ahead, in seconds.
    pub(crate) fn offset(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(moment(at)).seconds())
    }

    /// What its clocks show.
    pub(crate) fn local(&self, at: i64) -> DateTime {
        plain(at + self.offset(at))
    }

    /// The first change of its clocks after a moment.
    pub(crate) fn change_after(&self, at: i64) -> Option<i64> {
        let next = self.0.following(moment(at)).next()?;
        Some(next.timestamp().as_second())
    }

    /// The last change of its clocks at or before a moment.
    pub(crate) fn change_until(&self, at: i64) -> Option<i64> {
        let last = self.0.preceding(moment(at + 1)).next()?;
        Some(last.timestamp().as_second())
    }

    /// The moment at which its clocks first show a time; where they skip it, that of the skip.
    pub(crate) fn first_moment(&self, local: DateTime) -> i64 {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                seconds(local) - i64::from(offset.seconds())
            }
            AmbiguousOffset::Gap { before, .. } => {
                // By the clocks of before it would be so long after the change, and no other change is as near.
                let late = seconds(local) - i64::from(before.seconds());
                self.change_until(late).unwrap_or(late)
            }
        }
    }
}

fn moment(at: i64) -> Timestamp {
    let nearest = if at < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(at).unwrap_or(nearest)
}

/// Seconds since 1970 as a date and time of day.
pub(crate) fn plain(at: i64) -> DateTime {
    Offset::UTC.to_datetime(moment(at))
}

/// A date and time of day as seconds since 1970.
pub(crate) fn seconds(local: DateTime) -> i64 {
    let moment = Offset::UTC.to_timestamp(local);
    moment.map_or(LAST, Timestamp::as_second)
}

fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    let wanted_city = wanted.rsplit('/').next().unwrap_or(&wanted).replace(' ', "_");
    let likeness = |zone: &str| {
        let zone = zone.to_ascii_lowercase();
        let city = zone.rsplit('/').next().unwrap_or(&zone);
        let whole = strsim::jaro_winkler(&wanted, &zone);
        // Whoever names only the city means the zone of the city.
        whole.max(strsim::jaro_winkler(&wanted_city, city) * 0.98)
    };
    if wanted.len() > 64 {
        return None;
    }
    let all = ZONES.available().map(|zone| zone.to_string());
    let best = all
        .map(|zone| (likeness(&zone), zone))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.85).then_some(best.1)
}

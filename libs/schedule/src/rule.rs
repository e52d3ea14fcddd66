//! Times of a calendar without a zone: which days and times of day a rule names, and the next and the previous of them.

use jiff::civil::{Date, DateTime, Time};

/// The years in which anything is looked for.
pub(crate) const FIRST_YEAR: i16 = 1900;
pub(crate) const LAST_YEAR: i16 = 8999;
/// The calendar repeats itself after so many years, so what does not occur in them never does.
pub(crate) const CYCLE: i16 = 400;

/// Which days of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Days {
    /// Days by their number: bits 1 to 31.
    pub(crate) numbers: u32,
    /// Days before the last one: bit 0 is the last day itself.
    pub(crate) before_last: u32,
    /// Weekdays nearest to a day: bits 1 to 31.
    pub(crate) nearest: u32,
    /// The last weekday.
    pub(crate) last_weekday: bool,
    /// Days of the week, bit 0 is Sunday.
    pub(crate) weekdays: u8,
    /// The first to fifth of a day of the week: bits 1 to 5, by day.
    pub(crate) nth: [u8; 7],
    /// The last of a day of the week.
    pub(crate) last_of: u8,
    /// Whether a day must be named by both.
    pub(crate) both: bool,
}

impl Days {
    /// All days.
    pub(crate) fn all() -> Self {
        Self {
            numbers: !1,
            before_last: 0,
            nearest: 0,
            last_weekday: false,
            weekdays: 0x7f,
            nth: [0; 7],
            last_of: 0,
            both: true,
        }
    }

    /// The days of one month: bits 1 to 31.
    fn of(&self, first: Date) -> u32 {
        let length = u32::try_from(first.days_in_month()).unwrap_or(31);
        // Sunday is 0.
        let begins = first.weekday().to_sunday_zero_offset().unsigned_abs();
        let valid = ((1u64 << (length + 1)) - 2) as u32;
        let weekday = |day: u32| (u32::from(begins) + day - 1) % 7;
        let mut by_number = self.numbers & valid;
        for back in bits(u64::from(self.before_last)) {
            if back < length {
                by_number |= 1 << (length - back);
            }
        }
        for day in bits(u64::from(self.nearest)).filter(|day| *day <= length) {
            by_number |= 1 << nearest_weekday(day, weekday(day), length);
        }
        if self.last_weekday {
            by_number |= 1 << nearest_weekday(length, weekday(length), length);
        }
        let mut by_weekday = 0;
        for day in 1..=length {
            let of_week = weekday(day);
            let nth = (day - 1) / 7 + 1;
            let named = self.weekdays >> of_week & 1 == 1
                || self.nth[of_week as usize] >> nth & 1 == 1
                || (self.last_of >> of_week & 1 == 1 && day + 7 > length);
            by_weekday |= u32::from(named) << day;
        }
        match self.both {
            true => by_number & by_weekday,
            false => by_number | by_weekday,
        }
    }
}

/// The weekday nearest to a day, within its month.
fn nearest_weekday(day: u32, of_week: u32, length: u32) -> u32 {
    match of_week {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

/// The numbers of the bits that are set.
fn bits(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros();
            mask &= mask - 1;
            bit
        })
    })
}

/// Which days and which times of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Bits 0 to 59.
    pub(crate) seconds: u64,
    /// Bits 0 to 59.
    pub(crate) minutes: u64,
    /// Bits 0 to 23.
    pub(crate) hours: u64,
    /// Bits 1 to 12.
    pub(crate) months: u64,
    /// Years, when not all.
    pub(crate) years: Option<Vec<i16>>,
    pub(crate) days: Days,
    /// Whether it goes on through the hours: its hour or its minute field begins with `*`.
    pub(crate) running: bool,
}

impl Rule {
    /// Whether any year has a day of it.
    pub(crate) fn occurs(&self) -> bool {
        let years: Vec<i16> = match &self.years {
            Some(years) => years.clone(),
            None => (2000..2000 + CYCLE).collect(),
        };
        years
            .iter()
            .any(|year| (1..=12).any(|month| self.days_of(*year, month) != 0))
    }

    /// Whether a time is one of it.
    pub(crate) fn names(&self, at: DateTime) -> bool {
        self.names_day(at.date()) && self.names_time(at.time())
    }

    pub(crate) fn names_day(&self, date: Date) -> bool {
        self.days_of(date.year(), date.month()) >> date.day() & 1 == 1
    }

    /// Whether it names every second of its days.
    pub(crate) fn is_whole_days(&self) -> bool {
        let minute = (1 << 60) - 1;
        self.seconds == minute && self.minutes == minute && self.hours == (1 << 24) - 1
    }

    fn names_time(&self, time: Time) -> bool {
        let has = |mask: u64, number: i8| mask >> number & 1 == 1;
        has(self.seconds, time.second()) && has(self.minutes, time.minute()) && has(self.hours, time.hour())
    }

    /// The days of a month: bits 1 to 31.
    fn days_of(&self, year: i16, month: i8) -> u32 {
        let has_year = self
            .years
            .as_ref()
            .is_none_or(|years| years.binary_search(&year).is_ok());
        match Date::new(year, month, 1) {
            Ok(first) if has_year && self.months >> month & 1 == 1 => self.days.of(first),
            _ => 0,
        }
    }

    /// The first time of it at or after `from` and before `until`.
    pub(crate) fn next(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let (mut year, mut month) = (from.year(), from.month());
        let mut days = self.days_of(year, month);
        if days >> from.day() & 1 == 1
            && let Some(time) = self.time_from(from.time())
        {
            return Some(from.date().to_datetime(time)).filter(|found| *found < until);
        }
        days &= !((2u64 << from.day()) - 1) as u32;
        loop {
            if let Some(day) = bits(u64::from(days)).next() {
                let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
                return Some(date.to_datetime(self.first_time()?)).filter(|found| *found < until);
            }
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            if (year, month) > (until.year(), until.month()) || year > LAST_YEAR {
                return None;
            }
            days = self.days_of(year, month);
        }
    }

    /// The last time of it at or before `from` and not before `since`.
    pub(crate) fn previous(&self, from: DateTime, since: DateTime) -> Option<DateTime> {
        let (mut year, mut month) = (from.year(), from.month());
        let mut days = self.days_of(year, month);
        if days >> from.day() & 1 == 1
            && let Some(time) = self.time_until(from.time())
        {
            return Some(from.date().to_datetime(time)).filter(|found| *found >= since);
        }
        days &= (1u32 << from.day()) - 1;
        loop {
            if days != 0 {
                let day = i8::try_from(31 - days.leading_zeros()).ok()?;
                let date = Date::new(year, month, day).ok()?;
                return Some(date.to_datetime(self.last_time()?)).filter(|found| *found >= since);
            }
            (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
            if (year, month) < (since.year(), since.month()) || year < FIRST_YEAR {
                return None;
            }
            days = self.days_of(year, month);
        }
    }

    fn first_time(&self) -> Option<Time> {
        time(low(self.hours, 0)?, low(self.minutes, 0)?, low(self.seconds, 0)?)
    }

    fn last_time(&self) -> Option<Time> {
        time(high(self.hours, 63)?, high(self.minutes, 63)?, high(self.seconds, 63)?)
    }

    /// The first time of day at or after one.
    fn time_from(&self, from: Time) -> Option<Time> {
        let [hour, minute, second] = parts(from);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = low(self.seconds, second)
            {
                return time(hour, minute, second);
            }
            if let Some(minute) = low(self.minutes, minute + 1) {
                return time(hour, minute, low(self.seconds, 0)?);
            }
        }
        time(low(self.hours, hour + 1)?, low(self.minutes, 0)?, low(self.seconds, 0)?)
    }

    /// The last time of day at or before one.
    fn time_until(&self, until: Time) -> Option<Time> {
        let [hour, minute, second] = parts(until);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = high(self.seconds, second)
            {
                return time(hour, minute, second);
            }
            if let Some(minute) = minute.checked_sub(1).and_then(|minute| high(self.minutes, minute)) {
                return time(hour, minute, high(self.seconds, 63)?);
            }
        }
        let hour = high(self.hours, hour.checked_sub(1)?)?;
        time(hour, high(self.minutes, 63)?, high(self.seconds, 63)?)
    }
}

fn parts(time: Time) -> [u32; 3] {
    [time.hour(), time.minute(), time.second()].map(|part| u32::from(part.unsigned_abs()))
}

fn time(hour: u32, minute: u32, second: u32) -> Option<Time> {
    let small = |number: u32| i8::try_from(number).ok();
    Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()
}

/// The lowest bit that is set, from one on.
fn low(mask: u64, from: u32) -> Option<u32> {
    let rest = if from < 64 { mask >> from << from } else { 0 };
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The highest bit that is set, up to one.
fn high(mask: u64, until: u32) -> Option<u32> {
    let rest = if until < 63 { mask & ((2 << until) - 1) } else { mask };
    (rest != 0).then(|| 63 - rest.leading_zeros())
}

//! Numbers and times of Postgres from their binary form to text. Total: every value has a text, also those that no
//! library's types hold (infinity, NaN, years before Christ).

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 2000-01-01, Postgres's first day.
const EPOCH: i64 = 730_425;

/// A `numeric` with the scale that it has; nothing when the bytes make no sense.
pub(super) fn numeric(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes(*bytes.get(2 * at..)?.first_chunk()?));
    let (count, weight, sign, scale) = (word(0)?, i32::from(word(1)?.cast_signed()), word(2)?, word(3)?);
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let digits: Vec<u16> = (0..usize::from(count)).map(|at| word(at + 4)).collect::<Option<_>>()?;
    // The group of four digits at a place, 0 for the one before the point.
    let group = |place: i32| {
        let at = usize::try_from(weight - place).ok()?;
        digits.get(at).copied()
    };
    let mut text = String::new();
    if negative {
        text.push('-');
    }
    for place in (0..=weight.max(0)).rev() {
        let group = group(place).unwrap_or(0);
        if place == weight.max(0) {
            text.push_str(&group.to_string());
        } else {
            text.push_str(&format!("{group:04}"));
        }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", group(place).unwrap_or(0)));
            place -= 1;
        }
        text.push('.');
        text.push_str(&fraction[..usize::from(scale)]);
    }
    Some(text)
}

/// A `date`.
pub(super) fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (day, era) = day(i64::from(days));
            format!("{day}{era}")
        }
    }
}

/// A `timestamp`, and with a zone of `Z` a `timestamptz`.
pub(super) fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => {
            let (day, era) = day(micros.div_euclid(MICROS_PER_DAY));
            format!("{day}T{}{zone}{era}", time(micros.rem_euclid(MICROS_PER_DAY)))
        }
    }
}

/// A `time`, which may be 24:00:00.
pub(super) fn time(micros: i64) -> String {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = match rest {
        0 => String::new(),
        rest if rest % 1_000 == 0 => format!(".{:03}", rest / 1_000),
        rest => format!(".{rest:06}"),
    };
    format!("{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// Year, month and day of a day since 2000-01-01, and ` BC` for one before Christ, which Postgres writes at the end.
fn day(days: i64) -> (String, &'static str) {
    // Howard Hinnant's civil_from_days: eras of 400 years that begin in March.
    let days = days + EPOCH;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    } else {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names_in_every_era() {
        for (days, name) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (-1, "1999-12-31"),
            (9_527, "2026-01-31"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (2_921_940, "10000-01-01"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(date(days), name);
        }
        // The ends of what fits are written somehow and break nothing.
        for ends in [i32::MAX - 1, i32::MIN + 1] {
            assert!(!date(ends).is_empty());
        }
        for ends in [i64::MAX - 1, i64::MIN + 1, i64::MAX, i64::MIN, 0] {
            assert!(!timestamp(ends, "Z").is_empty());
        }
        assert_eq!(timestamp(1, "Z"), "2000-01-01T00:00:00.000001Z");
        assert_eq!(timestamp(-1_000, ""), "1999-12-31T23:59:59.999");
        assert_eq!(time(MICROS_PER_DAY), "24:00:00");
    }

    #[test]
    fn numbers_keep_their_scale() {
        let parts = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        for (words, text) in [
            (&[2, 0, 0, 2, 1, 5000][..], "1.50"),
            (&[0, 0, 0, 0], "0"),
            (&[0, 0, 0, 3], "0.000"),
            (&[1, 0xFFFF, 0x4000, 4, 1], "-0.0001"),
            (&[1, 0xFFFE, 0, 8, 42], "0.00000042"),
            (&[1, 2, 0, 0, 7], "700000000"),
            (&[0, 0, 0xC000, 0], "NaN"),
            (&[0, 0, 0xD000, 32], "Infinity"),
        ] {
            assert_eq!(numeric(&parts(words)).as_deref(), Some(text));
        }
        assert_eq!(numeric(b"\0\x05"), None);
        assert_eq!(numeric(&parts(&[9, 0, 0, 0, 1])), None);
    }
}

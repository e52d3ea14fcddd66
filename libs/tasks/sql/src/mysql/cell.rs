//! Values of MySQL and MariaDB as JSON, from the bytes on the wire. Total: zero dates, bits and numbers of every size have
//! a form, and what says that it is text is text, whatever its collation is.

use sqlx::mysql::{MySql, MySqlRow};
use sqlx::{Column, Decode, Row, Type, TypeInfo};

use crate::table::Cell;
use nexus_attempt::Failure;

/// How values travel: prepared statements are answered in binary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// A row's values in the order of its columns.
pub(super) fn row(row: &MySqlRow, format: Format) -> Result<Vec<Cell>, Failure> {
    (0..row.columns().len())
        .map(|index| {
            cell(row, index, format).ok_or_else(|| {
                let column = row.columns()[index].name();
                Failure::new("SqlError", format!("the value of column {column} cannot be read"))
            })
        })
        .collect()
}

fn cell(row: &MySqlRow, index: usize, format: Format) -> Option<Cell> {
    let raw = row.try_get_raw(index).ok()?;
    // Not asked whether it is null: a zero date says that it is, and is none.
    let Ok(bytes) = <&[u8] as Decode<'_, MySql>>::decode(raw) else {
        return Some(Cell::NULL);
    };
    let info = row.columns()[index].type_info();
    let name = info.name();
    match name {
        "JSON" => return Some(std::str::from_utf8(bytes).map_or_else(|_| Cell::bytes(bytes), Cell::json)),
        "DECIMAL" | "ENUM" | "SET" | "NULL" => return Some(Cell::text_or_bytes(bytes)),
        "BIT" => return bits(bytes).map(Cell::from),
        // The collation says whether it is text; a flag of the same name says only how it is compared.
        _ if <String as Type<MySql>>::compatible(info) => return Some(Cell::text_or_bytes(bytes)),
        "CHAR" | "VARCHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "BINARY" | "VARBINARY" | "BLOB"
        | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY" => return Some(Cell::bytes(bytes)),
        _ => {}
    }
    let unsigned = <u64 as Type<MySql>>::compatible(info);
    match format {
        Format::Binary => binary(name, bytes, unsigned),
        Format::Text => textual(name, std::str::from_utf8(bytes).ok()?, unsigned),
    }
}

fn bits(bytes: &[u8]) -> Option<u64> {
    bytes
        .iter()
        .try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)))
}

/// A number of any width, the lowest byte first.
fn whole(bytes: &[u8], unsigned: bool) -> Option<Cell> {
    let mut wide = [if !unsigned && *bytes.last()? >= 0x80 { 0xFF } else { 0 }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(if unsigned {
        u64::from_le_bytes(wide).into()
    } else {
        i64::from_le_bytes(wide).into()
    })
}

/// 0 and 1 of a `tinyint(1)` are what its clients call a boolean; it holds other numbers too.
fn boolean(bytes: &[u8], unsigned: bool) -> Option<Cell> {
    match bytes {
        [byte @ (0 | 1)] => Some((*byte == 1).into()),
        other => whole(other, unsigned),
    }
}

fn binary(name: &str, bytes: &[u8], unsigned: bool) -> Option<Cell> {
    match name {
        "BOOLEAN" => boolean(bytes, unsigned),
        "YEAR" => whole(bytes, true),
        "FLOAT" => Some(Cell::single(f32::from_le_bytes(bytes.try_into().ok()?))),
        "DOUBLE" => Some(Cell::float(f64::from_le_bytes(bytes.try_into().ok()?))),
        "DATE" => Some(Cell::text(date(bytes.get(1..)?)?)),
        "DATETIME" => Some(Cell::text(datetime(bytes.get(1..)?)?)),
        // The server gives timestamps in the session's zone, which the driver sets to UTC.
        "TIMESTAMP" => Some(Cell::text(datetime(bytes.get(1..)?)? + "Z")),
        "TIME" => Some(Cell::text(time(bytes.get(1..)?)?)),
        name if name.contains("INT") => whole(bytes, unsigned),
        _ => Some(Cell::text_or_bytes(bytes)),
    }
}

/// A value of a statement that ran unprepared.
fn textual(name: &str, text: &str, unsigned: bool) -> Option<Cell> {
    let iso = || text.replacen(' ', "T", 1);
    match name {
        "BOOLEAN" if matches!(text, "0" | "1") => Some((text == "1").into()),
        "FLOAT" | "DOUBLE" => Some(text.parse().map_or_else(|_| Cell::text(text), Cell::float)),
        "DATETIME" => Some(Cell::text(iso())),
        "TIMESTAMP" => Some(Cell::text(iso() + "Z")),
        "YEAR" => text.parse::<u64>().ok().map(Cell::from),
        name if name == "BOOLEAN" || name.contains("INT") => {
            if unsigned {
                text.parse::<u64>().ok().map(Cell::from)
            } else {
                text.parse::<i64>().ok().map(Cell::from)
            }
        }
        _ => Some(Cell::text(text)),
    }
}

/// A day, perhaps the zero date or one without a month or day.
fn date(bytes: &[u8]) -> Option<String> {
    match bytes {
        [] => Some("0000-00-00".to_owned()),
        [low, high, month, day, ..] => {
            let year = u16::from_le_bytes([*low, *high]);
            Some(format!("{year:04}-{month:02}-{day:02}"))
        }
        _ => None,
    }
}

fn datetime(bytes: &[u8]) -> Option<String> {
    let day = date(bytes)?;
    let (hour, minute, second, micros) = match bytes.get(4..).unwrap_or_default() {
        [] => (0, 0, 0, 0),
        [hour, minute, second] => (*hour, *minute, *second, 0),
        [hour, minute, second, micros @ ..] => (*hour, *minute, *second, u32::from_le_bytes(micros.try_into().ok()?)),
        _ => return None,
    };
    Some(format!("{day}T{hour:02}:{minute:02}:{second:02}{}", fraction(micros)))
}

/// A span of time, which may be negative and longer than a day.
fn time(bytes: &[u8]) -> Option<String> {
    let Some((negative, rest)) = bytes.split_first() else {
        return Some("00:00:00".to_owned());
    };
    let (days, rest) = rest.split_first_chunk::<4>()?;
    let [hour, minute, second, micros @ ..] = rest else {
        return None;
    };
    let micros = match micros {
        [] => 0,
        micros => u32::from_le_bytes(micros.try_into().ok()?),
    };
    let sign = if *negative == 0 { "" } else { "-" };
    let hours = u64::from(u32::from_le_bytes(*days)) * 24 + u64::from(*hour);
    Some(format!("{sign}{hours:02}:{minute:02}:{second:02}{}", fraction(micros)))
}

fn fraction(micros: u32) -> String {
    match micros {
        0 => String::new(),
        micros if micros.is_multiple_of(1_000) => format!(".{:03}", micros / 1_000),
        micros => format!(".{micros:06}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_a_time_has_a_text() {
        assert_eq!(date(&[]).as_deref(), Some("0000-00-00"));
        assert_eq!(date(&[0xEA, 7, 0, 0]).as_deref(), Some("2026-00-00"));
        assert_eq!(datetime(&[]).as_deref(), Some("0000-00-00T00:00:00"));
        assert_eq!(datetime(&[0xEA, 7, 1, 31]).as_deref(), Some("2026-01-31T00:00:00"));
        assert_eq!(
            datetime(&[0xEA, 7, 1, 31, 1, 2, 3, 0x40, 0xE2, 1, 0]).as_deref(),
            Some("2026-01-31T01:02:03.123456")
        );
        assert_eq!(time(&[]).as_deref(), Some("00:00:00"));
        assert_eq!(time(&[1, 34, 0, 0, 0, 22, 59, 59]).as_deref(), Some("-838:59:59"));
        assert_eq!(date(&[1]), None);
        assert_eq!(datetime(&[0xEA, 7, 1, 31, 1]), None);
    }
}

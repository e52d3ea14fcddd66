//! Sizes as the file writes them: `512MiB`, `2GiB`, `100kB`.

/// Units in bytes, largest first within each family.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write it like 512MiB")]
pub struct SizeError(String);

/// The bytes that a text such as `512MiB` stands for.
///
/// # Errors
/// When the text is not a whole number with a unit, or does not fit into 64 bits.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let fail = || SizeError(text.to_owned());
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fail)?.1;
    let number: u64 = number.parse().map_err(|_| fail())?;
    number.checked_mul(factor).ok_or_else(fail)
}

/// A size in the largest binary unit that shows it exactly.
#[must_use]
pub fn show(bytes: u64) -> String {
    let (unit, factor) = UNITS
        .iter()
        .take(4)
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse("512MiB"), Ok(512 << 20));
        assert_eq!(parse("2 GiB"), Ok(2 << 30));
        assert_eq!(parse("100kB"), Ok(100_000));
        assert_eq!(parse("0B"), Ok(0));
        for text in ["", "512", "MiB", "1.5GiB", "-1B", "5XB", "99999999999TiB"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(show(512 << 20), "512MiB");
        assert_eq!(show(1_025), "1025B");
    }
}

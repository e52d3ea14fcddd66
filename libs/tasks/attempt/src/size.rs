//! Sizes as the file writes them: `512MiB`, `1GB`, `65536`.

/// Bytes of a size such as `512MiB`, `64 KiB`, `1GB` or `65536`; nothing when it cannot be read or overflows.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn units_are_binary_and_decimal() {
        assert_eq!(parse_size("512MiB"), Some(512 << 20));
        assert_eq!(parse_size(" 64 KiB "), Some(64 << 10));
        assert_eq!(parse_size("1GB"), Some(1_000_000_000));
        assert_eq!(parse_size("65536"), Some(65_536));
        for bad in ["", "MiB", "1.5GiB", "-1", "9999999999999GiB", "1 lightyear"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}

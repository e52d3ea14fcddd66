//! What a caller wants to have, of what there is. Pure.

use http::{HeaderMap, header};

/// The offer that a caller likes best; the first one when it does not say. None when it wants none of them.
#[must_use]
pub fn choose<'a>(headers: &HeaderMap, offers: &[&'a str]) -> Option<&'a str> {
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        // What cannot be read says nothing.
        ranges.extend(value.to_str().unwrap_or_default().split(',').filter_map(range));
    }
    if ranges.is_empty() {
        return offers.first().copied();
    }
    let mut best: Option<(u16, &str)> = None;
    for offer in offers {
        let weight = weight(offer, &ranges);
        if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// A range such as `text/*;q=0.5`, its weight in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight: f64 = weight.map_or(Some(1.0), |weight| weight.parse().ok())?;
    (0.0..=1.0)
        .contains(&weight)
        .then_some((name, (weight * 1_000.0) as u16))
}

/// The weight of the range that fits an offer most closely.
fn weight(offer: &str, ranges: &[(String, u16)]) -> u16 {
    let kind = offer.split('/').next().unwrap_or_default();
    let closeness = |range: &str| match range {
        range if range == offer => Some(2),
        range if range.strip_suffix("/*") == Some(kind) => Some(1),
        "*/*" => Some(0),
        _ => None,
    };
    let fitting = ranges
        .iter()
        .filter_map(|(range, weight)| Some((closeness(range)?, *weight)));
    fitting.max().map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_that_is_liked_best_is_chosen() {
        let choose = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", accept.parse().expect("header"));
            super::choose(&headers, &["text/event-stream", "application/x-ndjson"])
        };
        assert_eq!(super::choose(&HeaderMap::new(), &["a/b", "c/d"]), Some("a/b"));
        assert_eq!(choose("*/*"), Some("text/event-stream"));
        assert_eq!(choose("application/x-ndjson"), Some("application/x-ndjson"));
        assert_eq!(choose("application/*, text/*;q=0.1"), Some("application/x-ndjson"));
        assert_eq!(choose("*/*, text/event-stream;q=0"), Some("application/x-ndjson"));
        assert_eq!(choose("application/json"), None);
        assert_eq!(choose("text/html, */*;q=0"), None);
    }
}

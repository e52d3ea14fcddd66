//! Finds the name that somebody probably meant.

/// The candidate that is nearest to a misspelt word, when one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed(word.len().max(candidate.len())))
        .map(|candidate| {
            (
                candidate,
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
            )
        })
        .filter(|(candidate, distance)| *distance <= allowed(word.len().max(candidate.len())))
        .min_by_key(|(_, distance)| *distance)
        .map(|(candidate, _)| candidate)
}

/// How many slips a word of this length may hold and still be taken for another.
fn allowed(length: usize) -> usize {
    match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => length / 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["extract", "clean", "load", "refresh"];
        assert_eq!(nearest("exract", known.into_iter()), Some("extract"));
        assert_eq!(nearest("Claen", known.into_iter()), Some("clean"));
        assert_eq!(nearest("laod", known.into_iter()), Some("load"));
        assert_eq!(nearest("warehouse", known.into_iter()), None);
    }
}

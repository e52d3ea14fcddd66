//! The name that somebody probably meant. Pure.

/// How far a name may be from what was meant, for its length.
fn reach(name: &str) -> usize {
    (name.chars().count() / 3).clamp(1, 3)
}

/// `; did you mean …?` for the nearest of some names; nothing when none is near. A name that is long is near to none.
pub(crate) fn suggest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    if name.len() > 128 {
        return String::new();
    }
    let near = names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= reach(known))
        .min_by_key(|(distance, _)| *distance);
    near.map(|(_, known)| format!("; did you mean {known}?"))
        .unwrap_or_default()
}

//! How keys of the configuration are found; all of them stand in `table.rs`.

pub(crate) use super::key::{Key, Kind};
pub(crate) use super::table::KEYS;

/// A key by its name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that is spelled most like a name, when one is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |key: &Key| {
        // Somebody may have forgotten the section.
        let last = key.name.rsplit('.').next().unwrap_or(key.name);
        let whole = strsim::jaro_winkler(name, key.name);
        let part = if name.contains('.') {
            0.0
        } else {
            strsim::jaro_winkler(name, last)
        };
        whole.max(part)
    };
    let best = KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best.name)
}

/// Whether a key's value is a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    find(key).is_some_and(|key| key.kind == Kind::Secret)
}

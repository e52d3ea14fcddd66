//! The configuration for people: as TOML with the source of each value, and as the table of `docs/configuration.md`.

use std::fmt::Write;

use super::keys::KEYS;
use super::layers::Effective;

/// The effective configuration as TOML, each value with a comment that tells where it came from.
pub(crate) fn toml(effective: &Effective) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut section = "";
    for key in KEYS {
        let (head, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if head != section {
            lines.push((String::new(), String::new()));
            lines.push((format!("[{head}]"), String::new()));
            section = head;
        }
        lines.push(match effective.shown(key) {
            Some((value, origin)) => (format!("{name} = {}", inline(&value)), format!("# {origin}")),
            None => (
                format!("# {name} ="),
                format!("(not set, {}) {}", key.kind.name(), key.meaning),
            ),
        });
    }
    let widest = lines
        .iter()
        .map(|(text, _)| text.chars().count())
        .filter(|width| *width <= 48)
        .max();
    let mut text = String::new();
    for (left, right) in lines {
        let width = widest.unwrap_or_default();
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{}", format!("{left:<width$}  {right}").trim_end());
    }
    text
}

/// A value on one line.
fn inline(value: &toml::Value) -> String {
    value.to_string().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::layers::{Sources, variable_of};
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again_and_names_its_sources() {
        let sources = Sources {
            env: [
                ("NEXUS_DATABASE__URL", "postgres://u:hunter2@h"),
                ("NEXUS_WORKER__LABELS", "a=b"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Sources::default()
        };
        let shown = toml(&Effective::load(&sources).expect("config"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("# env NEXUS_DATABASE__URL") && shown.contains("# default"),
            "{shown}"
        );
        let read: toml::Table = shown.parse().expect("TOML");
        assert_eq!(read["database"]["url"].as_str(), Some("***"));
        assert_eq!(read["worker"]["labels"]["a"].as_str(), Some("b"));
        assert!(
            !read["worker"].as_table().expect("section").contains_key("name"),
            "not set"
        );
    }

    /// The table in the documents.
    fn table() -> String {
        let defaults = Effective::load(&Sources::default()).expect("defaults");
        let mut table = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
        for key in KEYS {
            let default = defaults
                .shown(key)
                .map_or_else(|| "not set".to_owned(), |(value, _)| format!("`{}`", inline(&value)));
            let kind = key.kind.name();
            let kind = key
                .range()
                .map_or_else(|| kind.to_owned(), |range| format!("{kind}, {range}"));
            table += &format!(
                "| `{}`<br>`{}` | {kind} | {default} | {} |\n",
                key.name,
                variable_of(key.name),
                key.meaning
            );
        }
        table
    }

    #[test]
    fn the_documented_table_is_the_one_of_the_keys() {
        const BEGIN: &str = "<!-- keys: written by `NEXUS_UPDATE_DOCS=1 cargo test -p nexus config` -->\n";
        const END: &str = "<!-- end of keys -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(path).expect("docs/configuration.md");
        let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
        let (documented, after) = rest.split_once(END).expect("the table's end");
        let table = table();
        if std::env::var_os("NEXUS_UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
            return;
        }
        assert_eq!(
            documented, table,
            "NEXUS_UPDATE_DOCS=1 cargo test -p nexus config writes it anew"
        );
    }
}

//! Reads single values: text, numbers, spans, sizes, names, lists.

use indexmap::IndexMap;
use serde_json::Value;

use super::reader::{Fields, Path, entries};
use crate::codes;
use crate::duration::Span;
use crate::findings::{Finding, Findings};
use crate::names::{is_id, to_id};
use crate::size;
use crate::source::{Data, Node};
use nexus_expr::nearest;

/// Reads values of one map and says what is wrong with them.
pub(super) struct Values<'a, 'n> {
    pub(super) fields: &'a Fields<'n>,
    pub(super) path: Path<'a>,
    pub(super) findings: &'a mut Findings,
}

impl<'n> Values<'_, 'n> {
    fn wrong_type(&mut self, key: &str, node: &Node, wanted: &str) {
        let finding = Finding::error(
            codes::WRONG_TYPE,
            node.place,
            format!("{key} must be {wanted}, this is {}", node.describe()),
        );
        let fix = (wanted == "text" && matches!(node.data, Data::Number(_) | Data::Bool(_)))
            .then(|| format!("quote it: {key}: \"{}\"", node.to_value()));
        self.findings
            .add(finding.path(self.path.then(key).to_string()).maybe_fix(fix));
    }

    /// Says something about a key's value.
    pub(super) fn say(&mut self, key: &str, finding: Finding) {
        self.findings.add(finding.path(self.path.then(key).to_string()));
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'n str> {
        let node = self.fields.value(key)?;
        let text = node.text();
        if text.is_none() {
            self.wrong_type(key, node, "text");
        }
        text
    }

    /// Text that must be there and hold something.
    pub(super) fn required_text(&mut self, key: &str, owner: &str) -> Option<&'n str> {
        if !self.fields.has(key) {
            let finding = Finding::error(codes::MISSING_KEY, self.fields.place, format!("{owner} needs {key}"));
            self.findings.add(finding.path(self.path.to_string()));
            return None;
        }
        self.text(key)
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        let Some(node) = self.fields.value(key) else {
            return false;
        };
        match node.data {
            Data::Bool(value) => value,
            _ => {
                self.wrong_type(key, node, "true or false");
                false
            }
        }
    }

    pub(super) fn span(&mut self, key: &str) -> Option<Span> {
        let node = self.fields.value(key)?;
        let text = match &node.data {
            Data::Text(text, _) => text.clone(),
            Data::Number(number) => number.to_string(),
            _ => {
                self.wrong_type(key, node, "a span of time such as 90s or 1h30m");
                return None;
            }
        };
        match text.parse::<Span>() {
            Ok(span) => Some(span),
            Err(error) => {
                let finding = Finding::error(codes::BAD_SPAN, node.place, format!("{key}: {error}"));
                self.say(key, finding.fix("write it like 90s, 10m, 1h30m or 1d"));
                None
            }
        }
    }

    /// A span that must be longer than nothing.
    pub(super) fn positive_span(&mut self, key: &str) -> Option<Span> {
        let span = self.span(key)?;
        if span.micros() == 0 {
            let place = self.fields.value(key).map(|node| node.place).unwrap_or_default();
            let finding = Finding::error(codes::OUT_OF_BOUNDS, place, format!("{key} must be longer than 0s"));
            self.say(key, finding.fix("leave it out for no limit of its own"));
            return None;
        }
        Some(span)
    }

    /// A whole number between bounds. `usual` is what holds when nothing is said.
    pub(super) fn integer(&mut self, key: &str, (least, most): (i64, i64), usual: i64) -> Option<i64> {
        let node = self.fields.value(key)?;
        let number = match &node.data {
            Data::Number(number) => number.as_i64(),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                let message = format!("{key} must be from {least} to {most} ({usual} when not said), not {number}");
                self.say(key, Finding::error(codes::OUT_OF_BOUNDS, node.place, message));
                None
            }
            None => {
                self.wrong_type(key, node, "a whole number");
                None
            }
        }
    }

    /// A number between bounds. `usual` is what holds when nothing is said.
    pub(super) fn float(&mut self, key: &str, (least, most): (f64, f64), usual: f64) -> Option<f64> {
        let node = self.fields.value(key)?;
        let number = match &node.data {
            Data::Number(number) => number.as_f64(),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                let message = format!("{key} must be from {least} to {most} ({usual} when not said), not {number}");
                self.say(key, Finding::error(codes::OUT_OF_BOUNDS, node.place, message));
                None
            }
            None => {
                self.wrong_type(key, node, "a number");
                None
            }
        }
    }

    /// A size such as `512MiB`, from 1 byte to `most`.
    pub(super) fn size(&mut self, key: &str, least: u64, most: u64) -> Option<String> {
        let node = self.fields.value(key)?;
        let text = self.text(key)?;
        let problem = match size::parse(text) {
            Ok(bytes) if (least..=most).contains(&bytes) => return Some(text.to_owned()),
            Ok(_) => format!("{key} must be from {} to {}", size::show(least), size::show(most)),
            Err(error) => format!("{key}: {error}"),
        };
        let finding = Finding::error(codes::BAD_SIZE, node.place, problem);
        self.say(key, finding.fix("write it like 512MiB or 2GiB"));
        None
    }

    /// One of a few words, read by serde.
    pub(super) fn word<T: serde::de::DeserializeOwned>(&mut self, key: &str, words: &[&str]) -> Option<T> {
        let node = self.fields.value(key)?;
        let text = self.text(key)?;
        if words.contains(&text) {
            return serde_json::from_value(Value::String(text.to_owned())).ok();
        }
        let finding = Finding::error(codes::BAD_VALUE, node.place, format!("{key} cannot be {text:?}"));
        let finding = match nearest(text, words.iter().copied()) {
            Some(near) => finding.fix(format!("did you mean {near}?")),
            None => finding.fix(format!("it is one of {}", words.join(", "))),
        };
        self.say(key, finding);
        None
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Vec<(&'n str, &'n Node)> {
        let Some(node) = self.fields.value(key) else {
            return Vec::new();
        };
        let Data::List(items) = &node.data else {
            let finding = Finding::error(
                codes::WRONG_TYPE,
                node.place,
                format!("{key} must be a list, this is {}", node.describe()),
            );
            let fix = node.text().map(|text| format!("write {key}: [{text}]"));
            self.say(key, finding.maybe_fix(fix));
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item.text() {
                Some(text) => texts.push((text, item)),
                None => {
                    let message = format!("{key} must hold texts, this is {}", item.describe());
                    let path = self.path.then(key).then(&i.to_string()).to_string();
                    self.findings
                        .add(Finding::error(codes::WRONG_TYPE, item.place, message).path(path));
                }
            }
        }
        texts
    }

    /// A map of any JSON values.
    pub(super) fn map(&mut self, key: &str) -> IndexMap<String, Value> {
        let Some(node) = self.fields.value(key) else {
            return IndexMap::new();
        };
        let path = self.path.then(key);
        let Some(entries) = entries(node, key, path, self.findings) else {
            return IndexMap::new();
        };
        entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.to_value()))
            .collect()
    }

    /// A map whose values are no lists or maps: headers, environment variables.
    pub(super) fn flat_map(
        &mut self,
        key: &str,
        name_is_good: fn(&str) -> bool,
        names: &str,
    ) -> IndexMap<String, Value> {
        let map = self.map(key);
        let Some(Data::Map(entries)) = self.fields.value(key).map(|node| &node.data) else {
            return map;
        };
        for entry in entries {
            let path = self.path.then(key).then(&entry.key).to_string();
            if !name_is_good(&entry.key) {
                let message = format!("{:?} is not the name of {names}", entry.key);
                self.findings
                    .add(Finding::error(codes::BAD_NAME, entry.place, message).path(path.clone()));
            }
            if matches!(entry.value.data, Data::List(_) | Data::Map(_)) {
                let message = format!(
                    "{} must be a single value, this is {}",
                    entry.key,
                    entry.value.describe()
                );
                let finding = Finding::error(codes::WRONG_TYPE, entry.value.place, message).path(path);
                self.findings.add(finding.fix("pass it as JSON text"));
            }
        }
        map
    }

    /// A name of the house: `[a-z][a-z0-9_]{0,62}`.
    pub(super) fn check_id(&mut self, what: &str, name: &str, place: crate::source::Place, path: String) -> bool {
        if is_id(name) {
            return true;
        }
        let message = format!("{name:?} is not a {what}: lower-case letters, digits and _, a letter first, at most 63");
        let fix = format!("write {}", to_id(name, "task"));
        self.findings
            .add(Finding::error(codes::BAD_NAME, place, message).path(path).fix(fix));
        false
    }
}

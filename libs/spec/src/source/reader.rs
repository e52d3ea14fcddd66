//! Reads YAML (and so JSON) events into a tree, within bounds.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};

use super::scalar::resolve;
use super::{Data, Entry, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Place, Style};
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::names::pointer_segment;

/// Reads a text. What is wrong goes to the findings; nothing comes back when the text cannot be read at all.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is {} bytes long; at most {MAX_BYTES} are read", text.len());
        findings.add(
            Finding::error(codes::TOO_LARGE, Place::default(), message)
                .fix("split the workflow, or keep data outside it"),
        );
        return None;
    }
    if !characters_are_allowed(text, findings) {
        return None;
    }
    let mut builder = Builder::new(findings);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let message = format!("the file cannot be read: {}", error.info());
                let code = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => codes::TOO_DEEP,
                    _ => codes::SYNTAX,
                };
                let finding = Finding::error(code, place(error.marker()), message);
                builder
                    .findings
                    .add(finding.fix("check indentation, quotes, brackets and colons around this place"));
                return None;
            }
        };
        if builder.event(event, place(&span.start)).is_err() {
            return None;
        }
    }
    builder.finish()
}

fn place(marker: &Marker) -> Place {
    Place {
        line: u32::try_from(marker.line()).unwrap_or_default(),
        column: u32::try_from(marker.col() + 1).unwrap_or_default(),
    }
}

fn characters_are_allowed(text: &str, findings: &mut Findings) -> bool {
    let forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    for (number, line) in (1..).zip(text.split('\n')) {
        if let Some(column) = line.chars().position(forbidden) {
            let place = Place {
                line: number,
                column: u32::try_from(column + 1).unwrap_or_default(),
            };
            let c = line.chars().nth(column).unwrap_or_default();
            let message = format!("the character U+{:04X} is not allowed in a file", u32::from(c));
            findings.add(Finding::error(codes::BAD_CHARACTER, place, message).fix("remove it"));
            return false;
        }
    }
    true
}

/// The reader has said why and gives up.
struct Stop;

/// A collection that is being read.
enum Open {
    List {
        items: Vec<Node>,
        place: Place,
        anchor: usize,
    },
    Map {
        entries: Vec<Entry>,
        /// Lines of the keys, once there are too many to look through.
        keys: HashMap<String, u32>,
        key: Option<(String, Place)>,
        place: Place,
        anchor: usize,
    },
}

struct Builder<'f> {
    findings: &'f mut Findings,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'f> Builder<'f> {
    fn new(findings: &'f mut Findings) -> Self {
        Self {
            findings,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
        }
    }

    fn finish(self) -> Option<Node> {
        if self.root.is_none() {
            let place = Place { line: 1, column: 1 };
            let finding = Finding::error(codes::NO_DOCUMENT, place, "the file is empty".to_owned());
            self.findings.add(finding.fix("a workflow has a name and tasks"));
        }
        self.root
    }

    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "the file holds more than one document".to_owned();
                    let finding = Finding::error(codes::NO_DOCUMENT, place, message);
                    return self.stop(finding.fix("write one workflow per file and remove the --- between them"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                // Escapes can name what the text itself may not hold; Postgres, for one, stores no NUL.
                if text.contains('\0') {
                    let message = "the character U+0000 is not allowed in a value".to_owned();
                    return self.stop(Finding::error(codes::BAD_CHARACTER, place, message).fix("remove it"));
                }
                let data = self.scalar(&text, style, tag.as_deref(), place)?;
                self.value(Node { data, place }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place)?;
                self.push(
                    Open::List {
                        items: Vec::new(),
                        place,
                        anchor,
                    },
                    place,
                )
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place)?;
                let (entries, keys) = (Vec::new(), HashMap::new());
                self.push(
                    Open::Map {
                        entries,
                        keys,
                        key: None,
                        place,
                        anchor,
                    },
                    place,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn stop(&mut self, finding: Finding) -> Result<(), Stop> {
        self.findings.add(finding);
        Err(Stop)
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            let message = format!("the file holds more than {MAX_NODES} values (aliases count as what they stand for)");
            return self.stop(Finding::error(codes::TOO_MANY_NODES, place, message));
        }
        Ok(())
    }

    fn push(&mut self, open: Open, place: Place) -> Result<(), Stop> {
        // A collection cannot be a key.
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return self.stop(Finding::error(
                codes::YAML_FEATURE,
                place,
                "a list or map cannot be a key".to_owned(),
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("the file is nested deeper than {MAX_DEPTH}");
            return self.stop(Finding::error(codes::TOO_DEEP, place, message));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let (node, anchor) = match self.open.pop() {
            Some(Open::List { items, place, anchor }) => (
                Node {
                    data: Data::List(items),
                    place,
                },
                anchor,
            ),
            Some(Open::Map {
                entries, place, anchor, ..
            }) => (
                Node {
                    data: Data::Map(entries),
                    place,
                },
                anchor,
            ),
            None => return Ok(()),
        };
        self.value(node, anchor, 1)
    }

    /// Puts a finished value (or a key) where it belongs. `nodes` is how many values it newly stands for.
    fn value(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), Stop> {
        self.count(nodes, node.place)?;
        if anchor > 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, keys, key, .. }) => match key.take() {
                None => *key = Some((key_text(&node), node.place)),
                Some((key, place)) => match line_of(&key, entries, keys) {
                    None => {
                        entries.push(Entry {
                            key,
                            place,
                            value: node,
                        });
                    }
                    Some(line) => {
                        let message = format!("the key {key:?} appears twice, first on line {line}");
                        let path = self.path(&key);
                        self.findings.add(
                            Finding::error(codes::DUPLICATE_KEY, place, message)
                                .path(path)
                                .fix("remove or rename one of the two"),
                        );
                    }
                },
            },
        }
        Ok(())
    }

    fn path(&self, last: &str) -> String {
        let mut path = String::new();
        let (_, outer) = self
            .open
            .split_last()
            .map_or((None, &[][..]), |(last, outer)| (Some(last), outer));
        for open in outer {
            path.push('/');
            match open {
                Open::List { items, .. } => path.push_str(&items.len().to_string()),
                Open::Map { key, .. } => {
                    let key = key.as_ref().map_or("", |(key, _)| key);
                    path.push_str(&pointer_segment(key));
                }
            }
        }
        path.push('/');
        path.push_str(&pointer_segment(last));
        path
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some((_, size)) = self.anchors.get(&anchor) else {
            let message = "an alias inside its own anchor stands for something endless".to_owned();
            return self.stop(Finding::error(codes::YAML_FEATURE, place, message));
        };
        // Counted before it is copied, so that a bomb costs nothing.
        let size = *size;
        self.count(size, place)?;
        let Some(node) = self.anchors.get(&anchor).map(|(node, _)| node.clone()) else {
            return Ok(());
        };
        self.value(node, 0, 0)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Data, Stop> {
        let is_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
        if !is_text {
            self.refuse_tag(tag, place)?;
        }
        let style = match style {
            ScalarStyle::Plain if !is_text => {
                return match resolve(text) {
                    Ok(data) => Ok(data),
                    Err(message) => {
                        self.findings
                            .add(Finding::error(codes::BAD_NUMBER, place, message).fix("quote it to keep it as text"));
                        Ok(Data::Null)
                    }
                };
            }
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            _ => Style::Quoted,
        };
        Ok(Data::Text(text.to_owned(), style))
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Place) -> Result<(), Stop> {
        match tag {
            Some(tag) => {
                let message = format!("the tag {} is not read", tag.original());
                self.stop(Finding::error(codes::YAML_FEATURE, place, message).fix("remove the tag"))
            }
            None => Ok(()),
        }
    }
}

/// The line of a key that is there already. Small maps are looked through; large ones get an index.
fn line_of(key: &str, entries: &[Entry], keys: &mut HashMap<String, u32>) -> Option<u32> {
    const SMALL: usize = 16;
    if entries.len() <= SMALL {
        return entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.place.line);
    }
    for entry in &entries[keys.len()..] {
        keys.insert(entry.key.clone(), entry.place.line);
    }
    keys.get(key).copied()
}

/// A key as text: whatever it would mean as a value, as a key it is what was written.
fn key_text(node: &Node) -> String {
    match &node.data {
        Data::Text(text, _) => text.clone(),
        Data::Bool(value) => value.to_string(),
        Data::Number(number) => number.to_string(),
        _ => "null".to_owned(),
    }
}

fn size(node: &Node) -> usize {
    match &node.data {
        Data::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Data::Map(entries) => 1 + entries.iter().map(|entry| 1 + size(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

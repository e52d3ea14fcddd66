//! Reads `notify`: of what who is told.

use nexus_expr::text::{NOTICE, Test};

use super::reader::{Path, Shape, fields};
use super::values::Values;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::{Notify, NotifyEvent};
use crate::names::is_channel;
use crate::source::{Data, Node, Place};

/// Entries of a workflow at most.
const MAX_ENTRIES: usize = 20;
/// Channels of an entry at most.
const MAX_CHANNELS: usize = 10;

const NOTIFY: Shape = Shape {
    name: "an entry of notify",
    keys: &["on", "channel", "channels", "if"],
    missing: &[],
};

/// The entries that can be read; what is wrong with the others is among the findings.
pub(super) fn read(node: Option<&Node>, findings: &mut Findings) -> Vec<Notify> {
    let Some(node) = node else { return Vec::new() };
    let root = Path::ROOT;
    let path = root.then("notify");
    let items: Vec<&Node> = match &node.data {
        Data::List(items) => items.iter().collect(),
        Data::Map(_) => vec![node],
        _ => {
            let message = format!("notify must be a list, this is {}", node.describe());
            let finding = Finding::error(codes::WRONG_TYPE, node.place, message).path(path.to_string());
            findings.add(finding.fix("write notify: [{on: [failure], channel: NAME}]"));
            return Vec::new();
        }
    };
    if items.len() > MAX_ENTRIES {
        let message = format!("notify has {} entries; at most {MAX_ENTRIES} are kept", items.len());
        findings.add(Finding::error(codes::TOO_LONG, node.place, message).path(path.to_string()));
    }
    let numbered = items.into_iter().take(MAX_ENTRIES).enumerate();
    numbered
        .filter_map(|(index, item)| entry(item, path.then(&index.to_string()), findings))
        .collect()
}

fn entry(node: &Node, path: Path<'_>, findings: &mut Findings) -> Option<Notify> {
    let fields = fields(node, &NOTIFY, path, findings)?;
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    let (on, complete) = events(&mut values, node.place);
    let mut channels: Vec<(String, Place)> = values
        .texts("channels")
        .into_iter()
        .map(|(name, node)| (name.to_owned(), node.place))
        .collect();
    let channel = values.text("channel").map(str::to_owned);
    let place = |key: &str| values.fields.value(key).map_or(node.place, |node| node.place);
    let (at_channel, at_channels) = (place("channel"), place("channels"));
    let said = channel
        .iter()
        .map(|name| (name.clone(), at_channel))
        .chain(channels.iter().cloned());
    let mut good = complete;
    let mut seen: Vec<String> = Vec::new();
    for (name, place) in said.collect::<Vec<_>>() {
        if !is_channel(&name) {
            let message = format!(
                "{name:?} is not a channel's name: a small letter, then small letters, digits, - and _, at most 63"
            );
            values.say("channel", Finding::error(codes::BAD_NAME, place, message));
            good = false;
        } else if seen.contains(&name) {
            let message = format!("the channel {name} stands here twice");
            values.say(
                "channels",
                Finding::error(codes::BAD_VALUE, place, message).fix("leave one of them out"),
            );
            good = false;
        }
        seen.push(name);
    }
    if seen.is_empty() && !values.fields.has("channel") && !values.fields.has("channels") {
        let message = "an entry of notify needs channel, the name of a channel";
        let finding = Finding::error(codes::MISSING_KEY, node.place, message).path(path.to_string());
        values
            .findings
            .add(finding.fix("create one with nexus channels create, and name it here"));
        good = false;
    }
    if seen.len() > MAX_CHANNELS {
        let message = format!("there are {} channels; at most {MAX_CHANNELS} are told", seen.len());
        values.say("channels", Finding::error(codes::TOO_LONG, at_channels, message));
        good = false;
    }
    let condition = values.text("if").map(str::to_owned);
    if let Some(Err(error)) = condition.as_deref().map(|source| Test::compile(source, NOTICE)) {
        let finding = Finding::error(codes::BAD_EXPRESSION, place_of(&values, "if", node), error.message);
        values.say("if", finding.maybe_fix(error.fix));
        good = false;
    }
    let channels = channels.drain(..).map(|(name, _)| name).collect();
    good.then_some(Notify {
        on,
        channel,
        channels,
        condition,
    })
}

fn place_of(values: &Values<'_, '_>, key: &str, node: &Node) -> Place {
    values.fields.value(key).map_or(node.place, |node| node.place)
}

/// The events, and whether all of them can be read.
fn events(values: &mut Values<'_, '_>, place: Place) -> (Vec<NotifyEvent>, bool) {
    let said: Vec<(String, Place)> = match values.fields.value("on") {
        None => {
            let message = "an entry of notify needs on, what is told of";
            let finding = Finding::error(codes::MISSING_KEY, place, message).path(values.path.to_string());
            values.findings.add(finding.fix("write on: [failure]"));
            return (Vec::new(), false);
        }
        Some(node) => match node.text() {
            Some(text) => vec![(text.to_owned(), node.place)],
            None => values
                .texts("on")
                .into_iter()
                .map(|(text, node)| (text.to_owned(), node.place))
                .collect(),
        },
    };
    let mut read = Vec::new();
    for (word, place) in &said {
        match NotifyEvent::of(word) {
            Some(event) if !read.contains(&event) => read.push(event),
            Some(_) => {
                let message = format!("{word} stands here twice");
                values.say(
                    "on",
                    Finding::error(codes::BAD_VALUE, *place, message).fix("leave one of them out"),
                );
            }
            None => {
                let words: Vec<&str> = NotifyEvent::WORDS.iter().map(|(word, _)| *word).collect();
                let message = format!("{word:?} is nothing to be told of; there are {}", words.join(", "));
                let near = nexus_expr::nearest(word, words.into_iter()).map(|near| format!("did you mean {near}?"));
                values.say("on", Finding::error(codes::BAD_VALUE, *place, message).maybe_fix(near));
            }
        }
    }
    if said.is_empty() {
        let message = "on must name at least one event";
        values.say(
            "on",
            Finding::error(codes::BAD_VALUE, place, message).fix("write on: [failure]"),
        );
    }
    let complete = !read.is_empty() && read.len() == said.len();
    (read, complete)
}

#[cfg(test)]
mod tests {
    use crate::model::{Notify, NotifyEvent};

    fn parse(notify: &str) -> (Option<Vec<Notify>>, Vec<String>) {
        let source = format!("name: etl\nnotify:\n{notify}\ntasks:\n  a:\n    noop: {{}}\n");
        let read = crate::parse(&source, "etl.yaml");
        let told = read
            .diagnostics
            .iter()
            .map(|found| format!("{} {}", found.code, found.message))
            .collect();
        (read.workflow.map(|workflow| workflow.notify), told)
    }

    #[test]
    fn who_is_told_of_what_is_read() {
        let (read, told) = parse(
            "  - {on: [failure, recovered], channel: ops, if: \"execution.labels.team == 'data'\"}\n  - {on: task_failed, channels: [a, b]}",
        );
        assert_eq!(told, Vec::<String>::new());
        let read = read.expect("a workflow");
        assert_eq!(read[0].on, [NotifyEvent::Failure, NotifyEvent::Recovered]);
        assert_eq!(read[0].channel.as_deref(), Some("ops"));
        assert_eq!(
            (read[1].on.as_slice(), read[1].channels.len()),
            (&[NotifyEvent::TaskFailed][..], 2)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (notify, code, words) in [
            ("  - {on: [failur], channel: ops}", "NX1105", "nothing to be told of"),
            ("  - {on: [failure, failure], channel: ops}", "NX1105", "twice"),
            ("  - {channel: ops}", "NX1103", "needs on"),
            ("  - {on: [failure]}", "NX1103", "needs channel"),
            ("  - {on: [failure], channel: Ops Team}", "NX1110", "Ops Team"),
            ("  - {on: [failure], channels: [a, a]}", "NX1105", "twice"),
            (
                "  - {on: [failure], channel: ops, if: \"tasks.a.output\"}",
                "NX1302",
                "unknown name",
            ),
            ("  - {on: [failure], channel: ops, to: x}", "NX1101", "to"),
            ("  everybody", "NX1104", "must be a list"),
        ] {
            let (read, told) = parse(notify);
            assert!(
                told.iter().any(|line| line.starts_with(code) && line.contains(words)),
                "{notify}: {told:?}"
            );
            assert!(read.is_none_or(|read| read.is_empty()), "{notify}");
        }
        let many = (0..21).map(|_| "  - {on: failure, channel: ops}\n").collect::<String>();
        assert!(parse(&many).1.iter().any(|line| line.starts_with("NX1107")));
    }
}

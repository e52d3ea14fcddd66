//! What a rule may say.

use nexus_api::notifications::v1::{Event, Rule, RunningLong};

use super::Findings;
use crate::names::is_name;
use crate::rules::{BadRule, Ready};

/// Patterns of workflows, labels and channels at most.
const MAX_WORKFLOWS: usize = 50;
const MAX_LABELS: usize = 20;
const MAX_CHANNELS: usize = 10;
/// Bytes of a pattern at most.
const MAX_PATTERN: usize = 200;
/// Names that the paths of REST have for themselves.
const TAKEN: &[&str] = &["channels", "rules", "deliveries"];

/// What is wrong with a rule.
pub(crate) fn problems(rule: &Rule) -> Vec<(String, String)> {
    let mut found = Findings::default();
    found.name(&rule.name);
    found.unless(
        !TAKEN.contains(&rule.name.as_str()),
        "name",
        "is a word of the paths; choose another one",
    );
    found.description(&rule.description);
    found.texts(rule.texts.as_ref());
    let known = rule.events().filter(|event| *event != Event::Unspecified).count();
    found.unless(known > 0, "events", "must name at least one, such as FAILED");
    found.unless(
        known == rule.events.len() && known <= 9,
        "events",
        "must be events that there are, each once",
    );
    let few = rule.workflows.len() <= MAX_WORKFLOWS;
    found.unless(few, "workflows", format!("must be at most {MAX_WORKFLOWS}"));
    let pattern = |text: &str| !text.is_empty() && text.len() <= MAX_PATTERN && !text.contains('\0');
    for (index, workflow) in rule.workflows.iter().enumerate().take(MAX_WORKFLOWS) {
        let problem = format!("must be a name or a pattern of 1 to {MAX_PATTERN} bytes");
        found.unless(pattern(workflow), format!("workflows[{index}]"), problem);
    }
    found.unless(
        rule.labels.len() <= MAX_LABELS,
        "labels",
        format!("must be at most {MAX_LABELS}"),
    );
    for (name, value) in &rule.labels {
        let fits = pattern(name) && value.len() <= MAX_PATTERN;
        found.unless(
            fits,
            "labels",
            format!("each must have a name, and at most {MAX_PATTERN} bytes"),
        );
    }
    let count = (1..=MAX_CHANNELS).contains(&rule.channels.len());
    found.unless(
        count,
        "channels",
        format!("must be from 1 to {MAX_CHANNELS} names of channels"),
    );
    for (index, channel) in rule.channels.iter().enumerate().take(MAX_CHANNELS) {
        let first = !rule.channels[..index].contains(channel);
        found.unless(
            is_name(channel) && first,
            format!("channels[{index}]"),
            "must be a channel's name, each once",
        );
    }
    let long = rule.events().any(|event| event == Event::RunningLong);
    match &rule.running_long {
        Some(said) => running_long(&mut found, said, long),
        None => found.unless(
            !long,
            "running_long",
            "must say how long is too long, since RUNNING_LONG is among the events",
        ),
    }
    found.span("group_window", rule.group_window.as_ref(), 1, 86_400);
    match Ready::read(rule.clone()) {
        Ok(_) => {}
        Err(BadRule::Condition(error)) => found.add("condition", error.to_string()),
        Err(BadRule::Quiet(bad)) => found.add(format!("quiet_hours.{}", bad.field), bad.problem),
    }
    found.0
}

fn running_long(found: &mut Findings, said: &RunningLong, wanted: bool) {
    found.unless(wanted, "running_long", "holds only with RUNNING_LONG among the events");
    found.span("running_long.after", said.after.as_ref(), 1, 30 * 86_400);
    let times = said.times_median;
    let fits = times == 0.0 || (1.1..=100.0).contains(&times);
    found.unless(fits, "running_long.times_median", "must be from 1.1 to 100");
    let says = said.after.is_some() || times > 0.0;
    found.unless(says, "running_long", "must say `after`, `times_median` or both");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let good = Rule {
            name: "r".into(),
            events: vec![Event::Failed.into()],
            channels: vec!["ops".into()],
            ..Rule::default()
        };
        assert_eq!(problems(&good), Vec::new());
        let channels = |count: usize| (0..count).map(|number| format!("c{number}")).collect::<Vec<_>>();
        assert_eq!(
            problems(&Rule {
                channels: channels(10),
                ..good.clone()
            }),
            Vec::new()
        );
        let long = RunningLong {
            after: None,
            times_median: 1.05,
        };
        for (field, rule) in [
            (
                "name",
                Rule {
                    name: "Rules".into(),
                    ..good.clone()
                },
            ),
            (
                "name",
                Rule {
                    name: "rules".into(),
                    ..good.clone()
                },
            ),
            (
                "events",
                Rule {
                    events: vec![99],
                    ..good.clone()
                },
            ),
            (
                "channels",
                Rule {
                    channels: channels(11),
                    ..good.clone()
                },
            ),
            (
                "channels",
                Rule {
                    channels: Vec::new(),
                    ..good.clone()
                },
            ),
            (
                "channels[1]",
                Rule {
                    channels: vec!["a".into(), "a".into()],
                    ..good.clone()
                },
            ),
            (
                "workflows[0]",
                Rule {
                    workflows: vec![String::new()],
                    ..good.clone()
                },
            ),
            (
                "condition",
                Rule {
                    condition: "1 +".into(),
                    ..good.clone()
                },
            ),
            (
                "running_long",
                Rule {
                    events: vec![Event::RunningLong.into()],
                    ..good.clone()
                },
            ),
            (
                "running_long.times_median",
                Rule {
                    events: vec![Event::RunningLong.into()],
                    running_long: Some(long),
                    ..good.clone()
                },
            ),
            (
                "group_window",
                Rule {
                    group_window: Some(nexus_api::time::duration(86_401_000_000)),
                    ..good
                },
            ),
        ] {
            let found = problems(&rule);
            assert!(found.iter().any(|(named, _)| named == field), "{field}: {found:?}");
        }
    }
}

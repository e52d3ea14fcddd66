//! What messages say: NEXUS's own texts, and those that channels and rules put in their place. Pure.

use nexus_api::notifications::v1::{Event, Notice, Texts};
use nexus_expr::ExprError;
use nexus_expr::text::{Medium, Text};

use crate::facts::{TEXT, facts};

/// The subject, where nobody has said another one.
const SUBJECT: &str = "\
{% if event.type == 'failed' %}{{ workflow.name }} failed\
{% elif event.type == 'timed_out' %}{{ workflow.name }} timed out\
{% elif event.type == 'succeeded' %}{{ workflow.name }} succeeded\
{% elif event.type == 'recovered' %}{{ workflow.name }} works again\
{% elif event.type == 'cancelled' %}{{ workflow.name }} was cancelled\
{% elif event.type == 'started' %}{{ workflow.name }} started\
{% elif event.type == 'running_long' %}{{ workflow.name }} runs for longer than {{ event.limit }}\
{% elif event.type == 'task_failed' %}{{ workflow.name }}: task {{ task.id }} failed\
{% elif event.type == 'task_retried' %}{{ workflow.name }}: task {{ task.id }} is tried again\
{% else %}{{ workflow.name }}: {{ event.type }}{% endif %}\
{% if count > 1 %} ({{ count }} times){% elif error.type %}: {{ error.type }}{% endif %}\
{% if execution.namespace != 'default' %} [{{ execution.namespace }}]{% endif %}";

/// The text, where nobody has said another one: the cause first.
const BODY: &str = "\
{% if error.message %}{% if task.id %}{{ task.id }}: {% endif %}{{ error.type }}: {{ error.message }}

{% elif execution.cancel_reason %}{{ execution.cancel_reason }}

{% endif %}\
{% if count > 1 %}{{ count }} events, the first few beside this one:
{% for other in others %}- {{ other.workflow }} {{ other.execution }}{% if other.task %} {{ other.task }}{% endif %}{% if other.message %}: {{ other.message }}{% endif %}
{% endfor %}
{% endif %}\
Workflow {{ workflow.name }}, revision {{ workflow.revision }}
Execution {{ execution.id }}{% if execution.state %}, {{ execution.state }}{% endif %}{% if execution.duration %} after {{ execution.duration }}{% endif %}
{% if task.next_attempt_time %}Next attempt {{ task.next_attempt_time }}
{% endif %}{% for name, value in execution.labels | items %}{{ name }}: {{ value }}
{% endfor %}
{{ link }}";

/// Templates of a message, those of the rule before those of the channel.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    subject: Text,
    body: Text,
}

/// A template that cannot be used: which one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("texts.{field}: {error}")]
pub(crate) struct BadTemplate {
    /// `subject` or `body`.
    pub(crate) field: &'static str,
    /// What is wrong.
    pub(crate) error: ExprError,
}

impl Templates {
    /// The templates of some texts, the first that says something wins.
    pub(crate) fn of(texts: &[Option<&Texts>]) -> Result<Self, BadTemplate> {
        let first = |pick: fn(&Texts) -> &str, own: &str| {
            let said = texts
                .iter()
                .flatten()
                .map(|texts| pick(texts))
                .find(|text| !text.is_empty());
            Text::compile(said.unwrap_or(own), TEXT)
        };
        let bad = |field| move |error| BadTemplate { field, error };
        Ok(Self {
            subject: first(|texts| &texts.subject, SUBJECT).map_err(bad("subject"))?,
            body: first(|texts| &texts.body, BODY).map_err(bad("body"))?,
        })
    }

    /// What a message says in a medium: the subject and the text.
    pub(crate) fn say(&self, notice: &Notice, link: &str, medium: Medium) -> Result<Said, BadTemplate> {
        let facts = facts(notice, link);
        let bad = |field| move |error| BadTemplate { field, error };
        let line = self.subject.render(&facts, Medium::Line).map_err(bad("subject"))?;
        let body = self.body.render(&facts, medium).map_err(bad("body"))?;
        Ok(Said {
            subject: cut(&line, MAX_SUBJECT),
            body: body.trim().to_owned(),
        })
    }
}

/// Characters of a subject at most.
const MAX_SUBJECT: usize = 200;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// One line, not escaped for anything.
    pub(crate) subject: String,
    /// The text, escaped for its medium.
    pub(crate) body: String,
}

/// A text with so many characters at most.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Where a colour says how it stands: red, amber, green or grey.
pub(crate) fn colour(event: Event) -> u32 {
    match event {
        Event::Failed | Event::TimedOut | Event::TaskFailed => 0x00c6_2828,
        Event::RunningLong | Event::TaskRetried => 0x00ef_6c00,
        Event::Succeeded | Event::Recovered => 0x002e_7d32,
        Event::Started | Event::Cancelled | Event::Unspecified => 0x0061_6161,
    }
}

/// Where people look at an execution: a page, or the command that shows it.
pub(crate) fn link(notice: &Notice) -> String {
    match (notice.url.as_str(), notice.namespace.as_str()) {
        ("", "default") => format!("nexus executions get {}", notice.execution),
        ("", namespace) => format!("nexus executions get {} --namespace {namespace}", notice.execution),
        (url, _) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::common::v1::Failure;

    use super::*;

    fn notice() -> Notice {
        Notice {
            event: Event::Failed.into(),
            namespace: "default".into(),
            execution: "0199-x".into(),
            workflow: "etl".into(),
            revision: 3,
            labels: [(
                "team".to_owned(),
                "<script>alert(1)</script>\r\nBcc: evil@example.com".to_owned(),
            )]
            .into(),
            error: Some(Failure {
                r#type: "ValueError".into(),
                message: "no rows\r\nBcc: evil@example.com <script>".into(),
                ..Failure::default()
            }),
            count: 1,
            ..Notice::default()
        }
    }

    #[test]
    fn the_subject_says_what_failed_and_the_first_line_why() {
        let own = Templates::of(&[None, None]).expect("NEXUS's own");
        let said = own.say(&notice(), "https://nexus/x", Medium::Plain).expect("said");
        assert_eq!(said.subject, "etl failed: ValueError");
        assert!(said.body.starts_with("ValueError: no rows"), "{}", said.body);
        assert!(said.body.ends_with("https://nexus/x") && said.body.contains("Workflow etl, revision 3"));
    }

    #[test]
    fn every_event_has_a_subject_of_its_own() {
        let own = Templates::of(&[]).expect("NEXUS's own");
        let mut seen = std::collections::BTreeSet::new();
        for event in 1..=9 {
            let about = Notice {
                event,
                task: "load".into(),
                ..notice()
            };
            let said = own.say(&about, "l", Medium::Plain).expect("said");
            assert!(
                said.subject.contains("etl") && seen.insert(said.subject.clone()),
                "{}",
                said.subject
            );
        }
    }

    #[test]
    fn a_rules_words_come_first_and_one_line_stays_one_line() {
        let (rule, channel) = (
            Texts {
                subject: "A {{ execution.labels.team }}\r\nX: y".into(),
                body: String::new(),
            },
            Texts {
                subject: "B".into(),
                body: "why: {{ error.message }}".into(),
            },
        );
        let both = Templates::of(&[Some(&rule), Some(&channel)]).expect("templates");
        let said = both.say(&notice(), "l", Medium::Html).expect("said");
        assert!(
            said.subject.starts_with("A <script>") && !said.subject.contains(['\r', '\n']),
            "{}",
            said.subject
        );
        assert!(
            said.body.starts_with("why: no rows") && !said.body.contains("<script>"),
            "{}",
            said.body
        );
    }
}

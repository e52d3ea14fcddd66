//! What the workflow and its tasks have in common: a description, a queue, a priority, and how often something is tried.

use super::MAX_DESCRIPTION;
use super::reader::{Fields, Missing, Path, Shape, fields};
use super::values::Values;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::Retry;

pub(super) const PRIORITIES: &[&str] = &["high", "normal", "low"];

const RETRY: Shape = Shape {
    name: "retry",
    keys: &[
        "max_attempts",
        "initial_interval",
        "backoff_coefficient",
        "max_interval",
        "jitter",
        "non_retryable_errors",
    ],
    missing: &[
        Missing {
            key: "max_retries",
            instead: "write max_attempts, which counts the first attempt too",
        },
        Missing {
            key: "backoff",
            instead: "write initial_interval, backoff_coefficient and max_interval",
        },
        Missing {
            key: "retry_if",
            instead: "list errors that are pointless to retry under non_retryable_errors",
        },
        Missing {
            key: "on",
            instead: "list errors that are pointless to retry under non_retryable_errors",
        },
    ],
};

/// Reads a description and checks its length.
pub(super) fn description(values: &mut Values<'_, '_>) -> String {
    let Some(text) = values.text("description") else {
        return String::new();
    };
    if text.len() > MAX_DESCRIPTION {
        let place = values
            .fields
            .value("description")
            .map(|node| node.place)
            .unwrap_or_default();
        let message = format!(
            "the description is {} bytes long; at most {MAX_DESCRIPTION} are allowed",
            text.len()
        );
        values.say("description", Finding::error(codes::TOO_LONG, place, message));
    }
    text.to_owned()
}

/// Reads the queue of a task or of the defaults.
pub(super) fn queue(values: &mut Values<'_, '_>) -> Option<String> {
    let text = values.text("queue")?;
    let good = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'));
    if !good {
        let place = values.fields.value("queue").map(|node| node.place).unwrap_or_default();
        let message = format!("{text:?} is not a queue's name: lower-case letters, digits, _ . -, at most 63");
        values.say("queue", Finding::error(codes::BAD_NAME, place, message));
        return None;
    }
    Some(text.to_owned())
}

/// Reads the retry block of a task or of the defaults.
pub(super) fn read_retry(owner: &Fields<'_>, path: Path<'_>, findings: &mut Findings) -> Option<Retry> {
    let node = owner.value("retry")?;
    let path = path.then("retry");
    let fields = fields(node, &RETRY, path, findings)?;
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    let usual = Retry::default();
    let attempts = values.integer("max_attempts", (1, 1_000), i64::from(usual.max_attempts));
    let retry = Retry {
        max_attempts: attempts
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(usual.max_attempts),
        initial_interval: values.span("initial_interval").unwrap_or(usual.initial_interval),
        backoff_coefficient: values
            .float("backoff_coefficient", (1.0, 1_000.0), usual.backoff_coefficient)
            .unwrap_or(usual.backoff_coefficient),
        max_interval: values.span("max_interval"),
        jitter: values.float("jitter", (0.0, 1.0), usual.jitter).unwrap_or(usual.jitter),
        non_retryable_errors: values
            .texts("non_retryable_errors")
            .into_iter()
            .map(|(text, _)| text.to_owned())
            .collect(),
    };
    if let Some(most) = retry.max_interval
        && most < retry.initial_interval
    {
        let place = fields.value("max_interval").map(|node| node.place).unwrap_or_default();
        let message = format!(
            "max_interval ({most}) is shorter than initial_interval ({})",
            retry.initial_interval
        );
        values.say(
            "max_interval",
            Finding::error(codes::OUT_OF_BOUNDS, place, message).fix("raise it, or leave it out"),
        );
    }
    if !fields.has("max_attempts") {
        let message = "retry without max_attempts allows one attempt and so never retries";
        let finding = Finding::warning(codes::IDLE_RETRY, node.place, message).path(path.to_string());
        findings.add(finding.fix("add max_attempts, the number of attempts in all"));
    }
    Some(retry)
}

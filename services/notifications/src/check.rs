//! What channels and rules may say. Pure: each finding is a field and what is wrong with it.

pub(crate) mod channel;
pub(crate) mod rule;

use nexus_api::notifications::v1::Texts;

use crate::texts::Templates;

/// Bytes of a description at most.
const MAX_DESCRIPTION: usize = 1_024;
/// Bytes of a subject's template at most.
const MAX_SUBJECT: usize = 1_024;

/// What is wrong, as it is gathered.
#[derive(Default)]
struct Findings(Vec<(String, String)>);

impl Findings {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push((field.into(), problem.into()));
    }

    fn unless(&mut self, holds: bool, field: impl Into<String>, problem: impl Into<String>) {
        if !holds {
            self.add(field, problem);
        }
    }

    fn name(&mut self, name: &str) {
        let problem = "must be a small letter, then small letters, digits, - and _, at most 63";
        self.unless(crate::names::is_name(name), "name", problem);
    }

    fn description(&mut self, text: &str) {
        self.unless(
            text.len() <= MAX_DESCRIPTION,
            "description",
            format!("has more than {MAX_DESCRIPTION} bytes"),
        );
    }

    fn texts(&mut self, texts: Option<&Texts>) {
        let Some(texts) = texts else { return };
        let fits = texts.subject.len() <= MAX_SUBJECT;
        self.unless(fits, "texts.subject", format!("has more than {MAX_SUBJECT} bytes"));
        if let Err(bad) = Templates::of(&[Some(texts)]) {
            self.add(format!("texts.{}", bad.field), bad.error.to_string());
        }
    }

    /// A length of time within bounds, in seconds.
    fn span(&mut self, field: &str, span: Option<&prost_types::Duration>, least: i64, most: i64) {
        let Some(span) = span else { return };
        let micros = nexus_api::time::duration_micros(span);
        let fits = (least * 1_000_000..=most * 1_000_000).contains(&micros);
        self.unless(fits, field, format!("must be from {least}s to {most}s"));
    }
}

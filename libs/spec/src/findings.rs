//! Collects what is found while a file is read.

use crate::codes;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::place::Place;

/// Most findings that are shown; after so many, more help nobody.
const MAX_FINDINGS: usize = 200;

/// A finding before it knows its file.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    code: Code,
    severity: Severity,
    place: Place,
    path: String,
    message: String,
    fix: String,
}

impl Finding {
    pub(crate) fn error(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place,
            path: String::new(),
            message: message.into(),
            fix: String::new(),
        }
    }

    pub(crate) fn warning(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, message)
        }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    pub(crate) fn maybe_fix(self, fix: Option<String>) -> Self {
        match fix {
            Some(fix) => self.fix(fix),
            None => self,
        }
    }

    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// True when so much was found that looking for advice is not worth its time.
    pub(crate) fn are_many(&self) -> bool {
        self.list.len() > 50
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings in the order of the file, each once, at most as many as help.
    pub(crate) fn into_diagnostics(mut self, file: &str) -> Vec<Diagnostic> {
        self.list.sort_by_key(|finding| finding.place);
        // The values that an alias repeats stand in one place and are told of once.
        self.list
            .dedup_by(|a, b| a.code == b.code && a.place == b.place && a.message == b.message);
        let more = self.list.len().saturating_sub(MAX_FINDINGS);
        let mut diagnostics: Vec<Diagnostic> = self
            .list
            .into_iter()
            .take(MAX_FINDINGS)
            .map(|finding| Diagnostic {
                code: finding.code,
                severity: finding.severity,
                message: finding.message,
                fix: finding.fix,
                path: finding.path,
                file: file.to_owned(),
                line: finding.place.line,
                column: finding.place.column,
            })
            .collect();
        if more > 0 {
            diagnostics.push(Diagnostic {
                code: codes::TOO_MANY_FINDINGS,
                severity: Severity::Error,
                message: format!("{more} more findings are not shown"),
                fix: "fix the ones above first".to_owned(),
                path: String::new(),
                file: file.to_owned(),
                line: 0,
                column: 0,
            });
        }
        diagnostics
    }
}

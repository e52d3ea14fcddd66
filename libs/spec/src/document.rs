//! The canonical document: the workflow as JSON text, the form that is stored, compared and run.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::model::Workflow;

/// A stored document that is not a workflow. It was written by a newer version, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("the stored document is not a workflow that this version can read")]
pub struct DocumentError(#[source] serde_json::Error);

impl Workflow {
    /// The canonical JSON text: fields in a fixed order, absent ones left out, tasks in the order of the file.
    #[must_use]
    pub fn to_document(&self) -> String {
        // Text keys and plain values only: serializing into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a canonical document.
    ///
    /// # Errors
    /// When the text is not JSON or not a workflow.
    pub fn from_document(text: &str) -> Result<Self, DocumentError> {
        serde_json::from_str(text).map_err(DocumentError)
    }

    /// SHA-256 of the canonical document in lower-case hex: equal documents have equal digests.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.to_document())
    }
}

/// SHA-256 of a text in lower-case hex.
#[must_use]
pub fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in hash {
        // Writing to a String never fails.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_the_round_trip() {
        let text = r#"{"name":"w","params":{"type":"object","properties":{"n":{"default":9007199254740993}}},"tasks":{"b":{"needs":["a"],"trigger_rule":"all_done","bash":{"run":"true"}},"a":{"timeout":"1m30s","http":{"url":"https://x.dev","method":"POST","expect":["2xx",404]}}}}"#;
        let workflow = Workflow::from_document(text).unwrap();
        assert_eq!(workflow.to_document(), text);
        assert_eq!(workflow.digest().len(), 64);
        assert_eq!(
            digest(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn what_is_no_workflow_is_refused() {
        assert!(Workflow::from_document("{}").is_err());
        assert!(Workflow::from_document(r#"{"name":"w","tasks":{"a":{}}}"#).is_err());
    }
}

//! Messages that hold a secret are shown without it: whoever logs a request or an answer must not give it away.

use std::fmt::{Debug, Formatter, Result};

use crate::definitions::v1::{ResolvedSecret, SetSecretRequest};
use crate::worker::v1::TaskSecret;

/// What stands in the place of a value.
const HIDDEN: &str = "***";

impl Debug for SetSecretRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("SetSecretRequest")
            .field("secret", &self.secret)
            .field("value", &HIDDEN)
            .field("description", &self.description)
            .field("request_id", &self.request_id)
            .field("restore_version", &self.restore_version)
            .finish()
    }
}

impl Debug for ResolvedSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ResolvedSecret")
            .field("name", &self.name)
            .field("value", &HIDDEN)
            .field("version", &self.version)
            .finish()
    }
}

impl Debug for TaskSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("TaskSecret")
            .field("name", &self.name)
            .field("value", &HIDDEN)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::v1::ResolveSecretsResponse;
    use crate::worker::v1::ResolveTaskSecretsResponse;

    #[test]
    fn values_are_not_shown() {
        let value = || "hunter2".to_owned();
        let set = SetSecretRequest {
            value: value(),
            ..SetSecretRequest::default()
        };
        let resolved = ResolveSecretsResponse {
            secrets: vec![ResolvedSecret {
                value: value(),
                ..ResolvedSecret::default()
            }],
        };
        let told = ResolveTaskSecretsResponse {
            secrets: vec![TaskSecret {
                value: value(),
                ..TaskSecret::default()
            }],
        };
        let shown = format!("{set:?} {resolved:#?} {told:?}");
        assert!(shown.contains(HIDDEN) && !shown.contains("hunter2"), "{shown}");
    }
}

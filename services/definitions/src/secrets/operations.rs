//! What can be asked about secrets: one file a verb.

pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;
pub(super) mod resolve;
pub(super) mod rotate;
pub(super) mod set;
pub(super) mod uses;

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_api::definitions::v1::Secret;
use nexus_api::error::ApiError;
use nexus_api::time::timestamp;
use nexus_audit::{Object, Origin, Recorder};
use nexus_auth::Caller;
use nexus_mesh::Clock;

use super::keys::Keys;
use super::sealing::Sealer;
use crate::store::secrets::{SecretRow, SecretStore};

/// Characters of a name at most, as expressions have it.
const MAX_NAME: usize = 63;

/// What every operation works with.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) store: Arc<dyn SecretStore>,
    pub(super) sealer: Sealer,
    pub(super) keys: Arc<dyn Keys>,
    pub(super) clock: Clock,
    pub(super) recorder: Recorder,
}

impl Context {
    /// The store, for a change of a secret that the audit log is told of.
    fn telling(&self, call: &Call, kind: &str, name: &str, request_id: &str) -> Arc<dyn SecretStore> {
        match call.origin.entry(Object::new(kind, name), request_id) {
            Some(entry) => self.store.telling(entry.note()),
            None => Arc::clone(&self.store),
        }
    }
}

/// Who asks, and about which namespace.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) namespace: Namespace,
    /// Where the call comes from.
    pub(super) origin: Origin,
}

/// A name as secrets are kept under it. Workers look their own ones up whatever the case, and so does NEXUS.
fn own_name(field: &str, name: &str) -> Result<String, ApiError> {
    let mut characters = name.chars();
    let begins = |first: char| first.is_ascii_alphabetic() || first == '_';
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = characters.next().is_some_and(begins) && characters.all(goes_on);
    if plain && name.len() <= MAX_NAME {
        return Ok(name.to_ascii_lowercase());
    }
    let problem = format!("must be a letter or _, then letters, digits and _, at most {MAX_NAME} of them");
    Err(ApiError::field(field, problem))
}

/// What is known of a secret, in the contract's words.
fn described(namespace: &Namespace, row: SecretRow) -> Secret {
    Secret {
        name: row.name,
        description: row.description,
        version: row.version,
        create_time: Some(timestamp(row.created_at)),
        creator: row.created_by,
        update_time: Some(timestamp(row.updated_at)),
        updater: row.updated_by,
        versions_kept: row.kept,
        namespace: namespace.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_expressions_whatever_their_case() {
        for (name, kept) in [("a", "a"), ("_A1", "_a1"), ("Api_Key", "api_key")] {
            assert_eq!(own_name("secret", name).expect(name), kept);
        }
        assert!(own_name("secret", &"a".repeat(MAX_NAME)).is_ok());
        for wrong in ["", "1a", "a-b", "a.b", "ä", "a b", "a\0", &"a".repeat(MAX_NAME + 1)] {
            assert!(own_name("secret", wrong).is_err(), "{wrong}");
        }
    }
}

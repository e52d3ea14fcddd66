//! The storage port of secrets: what is kept of them, in the words of the service. Values are sealed before they come here.

pub(in crate::store) mod rows;
#[cfg(test)]
mod suite;

use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_storage::outbox::Note;

use super::StoreError;

/// Everything about a version but its value: what the value is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The namespace of its secret.
    pub namespace: Namespace,
    /// The name of its secret.
    pub name: String,
    /// Its number, from 1.
    pub version: u32,
    /// For people; of the secret while this is the newest version.
    pub description: String,
    /// When it was made.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// The idempotency key of the call that made it.
    pub request: Option<String>,
    /// When its secret was created.
    pub first_at: i64,
    /// Who created its secret.
    pub first_by: String,
}

/// A data key as it is stored: encrypted by another key.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The id of the other key.
    pub key: String,
    /// The data key, encrypted.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A version as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What its value is bound to.
    pub about: About,
    /// The key of its value.
    pub wrapped: Wrapped,
    /// The value, encrypted.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("about", &self.about)
            .field("wrapped", &self.wrapped)
            .finish_non_exhaustive()
    }
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The newest version.
    pub version: u32,
    /// When it was created.
    pub created_at: i64,
    /// Who created it.
    pub created_by: String,
    /// When the newest version was made.
    pub updated_at: i64,
    /// Who made that.
    pub updated_by: String,
    /// How many versions are kept.
    pub kept: u32,
}

/// A secret's row, that of a deleted one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The newest version that there ever was.
    pub version: u32,
    /// When it was created.
    pub created_at: i64,
    /// Who created it.
    pub created_by: String,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A new version, to be written at once or not at all.
#[derive(Debug, Clone)]
pub struct SecretWrite {
    /// The version of the secret's row that must be found; 0 when there must be none.
    pub expected: u32,
    /// The version.
    pub version: Sealed,
    /// How many versions to keep; older ones are removed.
    pub keep: u32,
}

/// What is stored for a name that was asked for. [`Found::newest`] judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name.
    pub name: String,
    /// Its row.
    pub head: Option<Head>,
    /// The highest number of a version that is kept under the name.
    pub highest: Option<u32>,
    /// The version that its row names.
    pub version: Option<Sealed>,
}

/// What is stored does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rows of the secret {0} do not fit together")]
pub struct Torn(pub String);

impl Found {
    /// The newest version; nothing when there is no such secret.
    ///
    /// # Errors
    /// When the rows do not fit together, as when one was changed or exchanged.
    pub fn newest(self) -> Result<Option<Sealed>, Torn> {
        match (self.head, self.highest, self.version) {
            (None, None, None) => Ok(None),
            (Some(head), None, None) if head.deleted => Ok(None),
            (Some(head), Some(highest), Some(version)) if !head.deleted && highest == head.version => Ok(Some(version)),
            _ => Err(Torn(self.name)),
        }
    }
}

/// A version whose data key is wrapped anew, if it is still wrapped as before.
#[derive(Debug, Clone)]
pub struct Rewrap {
    /// As it was found.
    pub found: Sealed,
    /// What stands in the place of its data key from now on.
    pub wrapped: Wrapped,
}

/// A version's place in the order of all: namespace, name, number.
pub type Place = (String, String, u32);

/// A workflow whose newest revision may name a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The workflow's name.
    pub workflow: String,
    /// Its newest revision.
    pub revision: u32,
    /// That revision's document.
    pub document: String,
}

/// What the service asks of a database about secrets. What belongs to another namespace than the one that is named is not
/// there.
#[async_trait]
pub trait SecretStore: Send + Sync + std::fmt::Debug {
    /// The same store, of which each change writes a note for the audit log with itself.
    fn telling(&self, note: Note) -> Arc<dyn SecretStore>;

    /// Writes a new version; false when something else was found than expected, or the request key was used meanwhile.
    async fn put(&self, write: SecretWrite) -> Result<bool, StoreError>;

    /// Deletes a secret and all its versions; false when there is none.
    async fn delete_secret(&self, namespace: &Namespace, name: &str, at: i64) -> Result<bool, StoreError>;

    /// A secret's row, that of a deleted one too.
    async fn head(&self, namespace: &Namespace, name: &str) -> Result<Option<Head>, StoreError>;

    /// What is known of one secret.
    async fn secret(&self, namespace: &Namespace, name: &str) -> Result<Option<SecretRow>, StoreError>;

    /// A page of secrets by name, those after `after`.
    async fn secrets(&self, namespace: &Namespace, after: &str, limit: u32) -> Result<Vec<SecretRow>, StoreError>;

    /// What is stored for each of some names.
    async fn find(&self, namespace: &Namespace, names: &[String]) -> Result<Vec<Found>, StoreError>;

    /// One version that is kept.
    async fn version(&self, namespace: &Namespace, name: &str, version: u32) -> Result<Option<Sealed>, StoreError>;

    /// The version that a call with this idempotency key made.
    async fn requested(&self, namespace: &Namespace, key: &str) -> Result<Option<Sealed>, StoreError>;

    /// A page of versions, of a namespace or of all, that are wrapped with another key than this one, those after `after`.
    async fn wrapped_otherwise(
        &self,
        namespace: Option<&Namespace>,
        key: &str,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<Sealed>, StoreError>;

    /// Puts other wrapped keys in the place of what was found, where that is still there; how many it was.
    async fn rewrap(&self, rewraps: &[Rewrap]) -> Result<u32, StoreError>;

    /// The keys that versions are wrapped with, of a namespace or of all, and how many versions each has, by key.
    async fn keys(&self, namespace: Option<&Namespace>) -> Result<Vec<(String, u64)>, StoreError>;

    /// A page of workflows by name, those after `after`, whose newest revision holds a text, whatever its case.
    async fn holding(
        &self,
        namespace: &Namespace,
        text: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError>;
}

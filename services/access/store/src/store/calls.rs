//! Calls that their callers gave a name: what is kept of them.

use async_trait::async_trait;

use super::StoreError;

/// A call that is to begin.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// By which it is known again.
    pub key: Vec<u8>,
    /// Whose it is.
    pub subject: String,
    /// By which another request of the same name is told apart.
    pub fingerprint: Vec<u8>,
    /// Who does it.
    pub owner: String,
    /// When.
    pub at: i64,
    /// Until when it is remembered.
    pub expires_at: i64,
    /// So many of one caller are remembered at a time, at most.
    pub most: i64,
}

/// A call that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// By which another request of the same name is told apart.
    pub fingerprint: Vec<u8>,
    /// Who does it, or did.
    pub owner: String,
    /// The answer, encrypted; none while it is not known how it ended.
    pub answer: Option<Vec<u8>>,
    /// When it was begun.
    pub begun_at: i64,
}

/// Calls that their callers gave a name.
#[async_trait]
pub trait Calls: Send + Sync {
    /// Begins one, unless it was begun before; what is remembered of it then. [`super::Refused::Full`] when its caller has as many
    /// as there may be.
    async fn begin_call(&self, call: &NewCall) -> Result<CallRow, StoreError>;

    /// Notes the answer of one that an owner has begun, or, without an answer, forgets it. One that has an answer keeps it.
    async fn finish_call(&self, key: &[u8], owner: &str, answer: Option<&[u8]>) -> Result<(), StoreError>;
}

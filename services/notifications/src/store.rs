//! The storage port: what the notifications service asks of a database, in its own words.

pub mod postgres;
mod sql;
pub mod sqlite;
#[cfg(test)]
mod suite;

use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_api::notifications::v1::{DeliveryAttempt, Notice, delivery};
use nexus_service::idempotency::RequestKey;
use nexus_storage::outbox::{Note, Outbox};

/// What is kept by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// A rule.
    Rule,
}

impl Kind {
    /// Its number in the database.
    fn number(self) -> i64 {
        match self {
            Self::Channel => 1,
            Self::Rule => 2,
        }
    }
}

/// A channel or a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The namespace that it belongs to.
    pub namespace: Namespace,
    /// Its name there.
    pub name: String,
    /// Changes with every change.
    pub version: i64,
    /// The message of the contract, encoded.
    pub content: Vec<u8>,
    /// When it was created.
    pub created_at: i64,
    /// Who created it.
    pub created_by: String,
    /// When it last changed.
    pub updated_at: i64,
    /// Who changed it.
    pub updated_by: String,
}

/// What a write expects to find; it changes nothing when it finds otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing of that name, and fewer than so many others in the namespace.
    Absent {
        /// So many there may be.
        most: i64,
    },
    /// One of that name, in this version if one is given.
    There(Option<i64>),
}

/// A channel's or rule's new form, to be written at once or not at all.
#[derive(Debug, Clone)]
pub struct Put {
    /// What it is.
    pub kind: Kind,
    /// What must be found.
    pub expected: Expected,
    /// The namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// The message, encoded.
    pub content: Vec<u8>,
    /// When this happens.
    pub at: i64,
    /// Who does it.
    pub by: String,
    /// The caller's idempotency key and the fingerprint of its request.
    pub request: Option<RequestKey>,
}

/// A message that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Follows from rule, channel and event.
    pub id: String,
    /// The namespace.
    pub namespace: String,
    /// The rule's name.
    pub rule: String,
    /// The channel's name.
    pub channel: String,
    /// What it is about.
    pub notice: Notice,
    /// When it is to be sent.
    pub due_at: i64,
    /// Until when others join it, or it joins another one that is open; 0 when it stands alone.
    pub group_until: i64,
    /// Why it is not sent, when it is not.
    pub suppression: Option<delivery::Suppression>,
}

/// An execution that is to be looked at when it has run for long.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Follows from rule and execution.
    pub id: String,
    /// The namespace.
    pub namespace: String,
    /// The execution.
    pub execution: String,
    /// The rule's name.
    pub rule: String,
    /// When it has run for long.
    pub due_at: i64,
    /// What there would be to tell.
    pub notice: Notice,
}

/// How a workflow's executions ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The namespace.
    pub namespace: String,
    /// The workflow.
    pub workflow: String,
    /// Whether the last one failed.
    pub failed: bool,
    /// When the last one ended.
    pub finished_at: i64,
    /// How long the last ones took that SUCCEEDED, in microseconds, the newest last.
    pub durations: Vec<i64>,
}

/// What follows from a page of the feed: written at once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Positions that must be found, and those that are put in their place.
    pub positions: Vec<(u32, u64, u64)>,
    /// Messages.
    pub deliveries: Vec<NewDelivery>,
    /// Executions to look at again.
    pub watches: Vec<Watch>,
    /// Executions that ended: nobody looks at them again.
    pub finished: Vec<String>,
    /// How workflows' executions ended.
    pub outcomes: Vec<OutcomeRow>,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: String,
    /// The namespace.
    pub namespace: String,
    /// The rule's name.
    pub rule: String,
    /// The channel's name.
    pub channel: String,
    /// Where it stands.
    pub state: delivery::State,
    /// Why it is not sent.
    pub suppression: delivery::Suppression,
    /// The message that tells of it.
    pub grouped_into: String,
    /// How many events it tells of.
    pub group_size: i64,
    /// When it is sent.
    pub due_at: i64,
    /// Attempts ever.
    pub attempts: i64,
    /// Attempts since it was last made to be sent.
    pub tries: i64,
    /// By which a result counts.
    pub fence: i64,
    /// What went wrong last.
    pub problem: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was over; 0 before.
    pub finished_at: i64,
    /// What it is about.
    pub notice: Notice,
}

/// What becomes of a message that was being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has taken it.
    Delivered,
    /// It is tried again after so many microseconds.
    Again(i64),
    /// It is not tried any more.
    Dead,
    /// It is not sent, on purpose.
    Suppressed(delivery::Suppression),
    /// It waits for its turn for so many microseconds; it was not tried.
    Wait(i64),
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The message.
    pub id: String,
    /// The fence that it was claimed with.
    pub fence: i64,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What went wrong; empty when nothing did.
    pub problem: String,
    /// The attempt, when there was one.
    pub attempt: Option<DeliveryAttempt>,
}

/// Which messages to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<i64>,
    /// Only to this channel.
    pub channel: Option<String>,
    /// Only by this rule.
    pub rule: Option<String>,
    /// Only about this execution.
    pub execution: Option<String>,
}

/// How many messages wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How long the one has been due that waits longest, in microseconds; 0 when none is due.
    pub oldest: i64,
    /// When the next one falls due, in microseconds from now; nothing when none waits.
    pub next: Option<i64>,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store holds something that no version of NEXUS wrote.
    #[error("the store is inconsistent: {0}")]
    Inconsistent(String),
    /// A text that this database cannot store.
    #[error("{field} holds a NUL character, which cannot be stored")]
    Unstorable {
        /// Which field of the request.
        field: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexus_storage::Error),
}

/// What the notifications service asks of a database.
pub trait Store: Objects + Progress + Queue {}

impl<T: Objects + Progress + Queue> Store for T {}

/// What it asks about channels and rules.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// The same store, of which each change of a channel, a rule or a message by a person writes a note with itself.
    fn telling(&self, note: Note) -> Arc<dyn Store>;

    /// Where notes wait.
    fn outbox(&self) -> Arc<dyn Outbox>;

    /// Writes a channel or a rule; nothing when something else was found than expected.
    async fn put(&self, put: Put) -> Result<Option<Kept>, StoreError>;

    /// Deletes a channel or a rule, if it is found in this version (in any, when none is given).
    async fn delete(
        &self,
        kind: Kind,
        namespace: &Namespace,
        name: &str,
        version: Option<i64>,
    ) -> Result<bool, StoreError>;

    /// One channel or rule.
    async fn kept(&self, kind: Kind, namespace: &Namespace, name: &str) -> Result<Option<Kept>, StoreError>;

    /// A page of channels or rules by name, those after `after`.
    async fn list(&self, kind: Kind, namespace: &Namespace, after: &str, limit: u32) -> Result<Vec<Kept>, StoreError>;

    /// A page of rules of every namespace, by namespace and name, those after `after`.
    async fn rules(&self, after: (&str, &str), limit: u32) -> Result<Vec<Kept>, StoreError>;

    /// What a request's key has created, and the fingerprint of that request.
    async fn requested(&self, key: &str) -> Result<Option<(String, String)>, StoreError>;

    /// A number that grows with every change of a channel or a rule.
    async fn generation(&self) -> Result<i64, StoreError>;
}

/// What it asks about the feed and what follows from it.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Up to where each shard was read.
    async fn positions(&self) -> Result<Vec<(u32, u64)>, StoreError>;

    /// Begins to read there, in shards of which nothing was read.
    async fn begin(&self, positions: &[(u32, u64)]) -> Result<(), StoreError>;

    /// Takes a position for another one, wherever reading stands: the feed has lost what is between, or has begun anew.
    async fn jump(&self, shard: u32, position: u64) -> Result<(), StoreError>;

    /// How workflows' executions ended.
    async fn outcomes(&self, workflows: &[(String, String)]) -> Result<Vec<OutcomeRow>, StoreError>;

    /// Writes what follows from a page of the feed; false when another one has read it meanwhile.
    async fn record(&self, record: &Record) -> Result<bool, StoreError>;

    /// Takes or keeps a lease for so many microseconds; false while somebody else has it.
    async fn lease(&self, name: &str, holder: &str, micros: i64) -> Result<bool, StoreError>;

    /// Gives a lease back.
    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;

    /// Watches that have fallen due.
    async fn due_watches(&self, limit: u32) -> Result<Vec<Watch>, StoreError>;

    /// Ends a watch, with the messages that follow from it; false when it was ended before.
    async fn end_watch(&self, id: &str, deliveries: &[NewDelivery]) -> Result<bool, StoreError>;
}

/// What it asks about messages.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Channels, as (namespace, name), that have messages which are due.
    async fn due_channels(&self) -> Result<Vec<(String, String)>, StoreError>;

    /// Takes messages that are due, to send them within so many microseconds.
    async fn claim(
        &self,
        namespace: &str,
        channel: &str,
        limit: u32,
        micros: i64,
    ) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Lets a channel's next message go, or says in how many microseconds it may: `interval` apart, `burst` at once.
    async fn pace(&self, namespace: &str, channel: &str, interval: i64, burst: i64) -> Result<Option<i64>, StoreError>;

    /// Writes how an attempt ended; false when the message was taken by somebody else meanwhile.
    async fn finish(&self, finish: &Finish) -> Result<bool, StoreError>;

    /// The first messages that others tell of in their place.
    async fn members(&self, id: &str, limit: u32) -> Result<Vec<DeliveryRow>, StoreError>;

    /// A page of messages, the newest first, those before `before`: (when it was made, id).
    async fn deliveries(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError>;

    /// One message.
    async fn delivery(&self, namespace: &Namespace, id: &str) -> Result<Option<DeliveryRow>, StoreError>;

    /// A message's last attempts, the oldest first.
    async fn attempts(&self, id: &str) -> Result<Vec<DeliveryAttempt>, StoreError>;

    /// Has a message sent now, wherever it stands but SENDING; false when there is none such.
    async fn redeliver(&self, namespace: &Namespace, id: &str) -> Result<bool, StoreError>;

    /// How many messages wait.
    async fn waiting(&self) -> Result<Waiting, StoreError>;

    /// Removes messages that were over so many microseconds ago, and old request keys; how many messages it were.
    async fn sweep(&self, older: i64, limit: u32) -> Result<u64, StoreError>;
}

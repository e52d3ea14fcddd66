//! Channels and rules as they are kept: the contract's messages, without what the columns beside them say.

use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_api::notifications::v1::{Channel, Rule};
use nexus_api::time::timestamp;
use prost::Message;

use crate::store::{Kept, Kind, StoreError};

/// What is kept by name.
pub(crate) trait Object: Message + Default + Clone {
    /// What it is.
    const KIND: Kind;
    /// In one word.
    const WORD: &'static str;
    /// Its message's whole name.
    const MESSAGE: &'static str;
    /// Objects of a namespace at most.
    const MOST: i64;

    /// Its name.
    fn name(&self) -> &str;

    /// What is wrong with it, each with its field.
    fn check(&self) -> Vec<(String, String)>;

    /// The same without what the service says of it, under a name.
    fn bare(self, name: &str) -> Self;

    /// The same with what the service says of it.
    fn told(self, kept: &Kept) -> Self;

    /// As it is kept.
    fn of(kept: &Kept) -> Result<Self, StoreError> {
        let read = Self::decode(kept.content.as_slice());
        let read =
            read.map_err(|error| StoreError::Inconsistent(format!("the {} {}: {error}", Self::WORD, kept.name)))?;
        Ok(read.told(kept))
    }
}

macro_rules! object {
    ($message:ident, $kind:expr, $word:literal, $most:literal, $check:path) => {
        impl Object for $message {
            const KIND: Kind = $kind;
            const WORD: &'static str = $word;
            const MESSAGE: &'static str = concat!("nexus.notifications.v1.", stringify!($message));
            const MOST: i64 = $most;

            fn name(&self) -> &str {
                &self.name
            }

            fn check(&self) -> Vec<(String, String)> {
                $check(self)
            }

            fn bare(self, name: &str) -> Self {
                Self {
                    name: name.to_owned(),
                    namespace: String::new(),
                    etag: String::new(),
                    create_time: None,
                    creator: String::new(),
                    update_time: None,
                    updater: String::new(),
                    ..self
                }
            }

            fn told(self, kept: &Kept) -> Self {
                Self {
                    name: kept.name.clone(),
                    namespace: kept.namespace.to_string(),
                    etag: etag(kept.version),
                    create_time: Some(timestamp(kept.created_at)),
                    creator: kept.created_by.clone(),
                    update_time: Some(timestamp(kept.updated_at)),
                    updater: kept.updated_by.clone(),
                    ..self
                }
            }
        }
    };
}

object!(Channel, Kind::Channel, "channel", 200, crate::check::channel::problems);
object!(Rule, Kind::Rule, "rule", 500, crate::check::rule::problems);

fn etag(version: i64) -> String {
    format!("{version:x}")
}

/// The version that an etag names; any when there is none.
pub(crate) fn version(etag: &str) -> Result<Option<i64>, ApiError> {
    if etag.is_empty() {
        return Ok(None);
    }
    // One that is none was given for something else: it is not the current one.
    Ok(Some(i64::from_str_radix(etag.trim_matches('"'), 16).unwrap_or(-1)))
}

/// A rule of a namespace, for those who read the feed.
pub(crate) fn rule_of(kept: &Kept) -> Result<Rule, StoreError> {
    Rule::of(kept)
}

/// The namespace of a name that is stored.
pub(crate) fn namespace(name: &str) -> Result<Namespace, StoreError> {
    name.parse()
        .map_err(|_| StoreError::Inconsistent(format!("a namespace {name:?}")))
}

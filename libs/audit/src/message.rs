//! Entries as messages of the contract, and back.

use nexus_api::audit::v1 as api;
use nexus_api::time::{micros, timestamp};
use uuid::Uuid;

use crate::chain::{Chained, Hash, Link};
use crate::entry::{Actor, Entry, Object, Outcome};

/// A message is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} of an audit entry cannot be read")]
pub struct Unreadable(pub &'static str);

/// An entry that has no place in the chain yet.
#[must_use]
pub fn of_entry(entry: &Entry) -> api::AuditEntry {
    api::AuditEntry {
        position: 0,
        id: entry.id.to_string(),
        time: Some(timestamp(entry.at)),
        namespace: entry.namespace.clone(),
        actor: Some(api::Actor {
            kind: entry.actor.kind.clone(),
            id: entry.actor.id.clone(),
            display_name: entry.actor.display_name.clone(),
            credential: entry.actor.credential.clone(),
        }),
        method: entry.method.clone(),
        permission: entry.permission.clone(),
        object: Some(api::Object {
            r#type: entry.object.kind.clone(),
            name: entry.object.name.clone(),
        }),
        outcome: match entry.outcome {
            Outcome::Allowed => api::Outcome::Allowed,
            Outcome::Denied => api::Outcome::Denied,
        }
        .into(),
        reason: entry.reason.clone(),
        address: entry.address.clone(),
        request_id: entry.request_id.clone(),
        trace_id: entry.trace_id.clone(),
        count: entry.count,
        previous_hash: String::new(),
        hash: String::new(),
    }
}

/// An entry in the chain.
#[must_use]
pub fn of_chained(chained: &Chained) -> api::AuditEntry {
    api::AuditEntry {
        position: chained.position,
        previous_hash: chained.previous.to_string(),
        hash: chained.hash.to_string(),
        ..of_entry(&chained.entry)
    }
}

/// A place in the chain.
#[must_use]
pub fn of_link(link: &Link) -> api::ChainLink {
    api::ChainLink {
        position: link.position,
        hash: link.hash.to_string(),
    }
}

/// What a message says, as it is: an exported one has to come back to the bit.
///
/// # Errors
/// Which field cannot be read.
pub fn entry(message: api::AuditEntry) -> Result<Entry, Unreadable> {
    let outcome = i64::from(message.outcome);
    let (actor, object) = (message.actor.unwrap_or_default(), message.object.unwrap_or_default());
    Ok(Entry {
        id: Uuid::parse_str(&message.id).map_err(|_| Unreadable("id"))?,
        at: message.time.as_ref().map(micros).ok_or(Unreadable("time"))?,
        namespace: message.namespace,
        actor: Actor {
            kind: actor.kind,
            id: actor.id,
            display_name: actor.display_name,
            credential: actor.credential,
        },
        method: message.method,
        permission: message.permission,
        object: Object {
            kind: object.r#type,
            name: object.name,
        },
        outcome: Outcome::of_number(outcome).ok_or(Unreadable("outcome"))?,
        reason: message.reason,
        address: message.address,
        request_id: message.request_id,
        trace_id: message.trace_id,
        count: message.count,
    })
}

/// An entry of the chain with its place.
///
/// # Errors
/// Which field cannot be read.
pub fn chained(message: api::AuditEntry) -> Result<Chained, Unreadable> {
    let hash = |text: &str, field| text.parse::<Hash>().map_err(|_| Unreadable(field));
    Ok(Chained {
        position: message.position,
        previous: hash(&message.previous_hash, "previous_hash")?,
        hash: hash(&message.hash, "hash")?,
        entry: entry(message)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::entry as sample;

    #[test]
    fn an_entry_comes_back_from_its_message_with_its_place() {
        let one = Chained::after(&Link::default(), sample(3));
        assert_eq!(chained(of_chained(&one)), Ok(one.clone()));
        let mut wrong = of_chained(&one);
        wrong.outcome = 7;
        assert_eq!(chained(wrong), Err(Unreadable("outcome")));
        let mut wrong = of_chained(&one);
        wrong.hash.clear();
        assert_eq!(chained(wrong), Err(Unreadable("hash")));
    }
}

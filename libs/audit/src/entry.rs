//! An entry: who did what to which object, from where, and whether it was allowed. Pure.

use nexus_api::access::v1::{Identity, IdentityKind};
use uuid::Uuid;

/// Bytes of each text at most; what is longer is cut.
pub const MAX_TEXT: usize = 256;

/// Whether something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was allowed and done.
    Allowed,
    /// It was refused.
    Denied,
}

impl Outcome {
    /// Its number in the contract and in databases.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Allowed => 1,
            Self::Denied => 2,
        }
    }

    /// The outcome of a number.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        [Self::Allowed, Self::Denied]
            .into_iter()
            .find(|outcome| outcome.number() == number)
    }
}

/// Who did something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What they are: `user`, `service_account`, `program`, `service` or `unknown`.
    pub kind: String,
    /// Whose credential it was (`user:anna`).
    pub id: String,
    /// The name for people.
    pub display_name: String,
    /// The credential by its id (`key:…`), which is no secret.
    pub credential: String,
}

impl Actor {
    /// Somebody who was found out.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        let kind = match identity.kind() {
            IdentityKind::User => "user",
            // A program of the OpenID provider is no user of NEXUS.
            IdentityKind::ServiceAccount if identity.subject.starts_with("oidc:") => "program",
            IdentityKind::ServiceAccount => "service_account",
            IdentityKind::Service => "service",
            IdentityKind::Unspecified => "unknown",
        };
        Self {
            kind: kind.to_owned(),
            id: text(&identity.subject),
            display_name: text(&identity.display_name),
            credential: text(&identity.credential),
        }
    }

    /// Somebody whose credential was not accepted.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            kind: "unknown".to_owned(),
            ..Self::default()
        }
    }
}

/// What something was done to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Object {
    /// Its kind, such as `workflow`.
    pub kind: String,
    /// Its name or id.
    pub name: String,
}

impl Object {
    /// An object by its kind and its name or id.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: text(kind),
            name: text(name),
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// When it happened, in microseconds since 1970.
    pub at: i64,
    /// The namespace that it was about; empty for what belongs to none.
    pub namespace: String,
    /// Who.
    pub actor: Actor,
    /// What: the path of a method of the contracts.
    pub method: String,
    /// The permission that it takes.
    pub permission: String,
    /// To what.
    pub object: Object,
    /// Whether it was done.
    pub outcome: Outcome,
    /// Why it was refused; empty when it was done.
    pub reason: String,
    /// The address that the caller had; empty when it is not known.
    pub address: String,
    /// The request's own id; empty when it gave none.
    pub request_id: String,
    /// The trace of the call; empty when it said none.
    pub trace_id: String,
    /// For how many calls it stands.
    pub count: i64,
}

impl Entry {
    /// The same with no text longer or otherwise than it may be: for entries from outside.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            namespace: text(&self.namespace),
            actor: Actor {
                kind: text(&self.actor.kind),
                id: text(&self.actor.id),
                display_name: text(&self.actor.display_name),
                credential: text(&self.actor.credential),
            },
            method: text(&self.method),
            permission: text(&self.permission),
            object: Object::new(&self.object.kind, &self.object.name),
            reason: text(&self.reason),
            address: text(&self.address),
            request_id: text(&self.request_id),
            trace_id: text(&self.trace_id),
            count: self.count.max(1),
            ..self
        }
    }
}

/// A text as it may stand in an entry: cut, and without control characters, which no terminal should get from a log and no
/// database takes all of.
#[must_use]
pub fn text(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MAX_TEXT));
    for char in text.chars() {
        let char = if char.is_control() { '\u{fffd}' } else { char };
        if kept.len() + char.len_utf8() > MAX_TEXT {
            break;
        }
        kept.push(char);
    }
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An entry of which every field says something else.
    pub(crate) fn entry(number: u128) -> Entry {
        Entry {
            id: Uuid::from_u128(number),
            at: 1_790_000_000_000_000,
            namespace: "team".to_owned(),
            actor: Actor {
                kind: "user".to_owned(),
                id: "user:anna".to_owned(),
                display_name: "Anna".to_owned(),
                credential: "session:1".to_owned(),
            },
            method: "/nexus.definitions.v1.DefinitionsService/ApplyWorkflow".to_owned(),
            permission: "workflows.write".to_owned(),
            object: Object::new("workflow", "etl"),
            outcome: Outcome::Allowed,
            reason: "none".to_owned(),
            address: "192.0.2.7".to_owned(),
            request_id: "r-1".to_owned(),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            count: 1,
        }
    }

    #[test]
    fn texts_end_at_their_bound_and_hold_no_control_characters() {
        assert_eq!(text(&"a".repeat(MAX_TEXT)).len(), MAX_TEXT);
        assert_eq!(text(&"a".repeat(MAX_TEXT + 1)).len(), MAX_TEXT);
        assert_eq!(text(&"é".repeat(MAX_TEXT)).len(), MAX_TEXT);
        assert_eq!(text("a\0b\u{1b}[31m\n"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        let long = Entry {
            request_id: "x".repeat(10_000),
            count: 0,
            ..entry(1)
        };
        let bounded = long.bounded();
        assert_eq!((bounded.request_id.len(), bounded.count), (MAX_TEXT, 1));
        assert_eq!(entry(1).bounded(), entry(1));
    }

    #[test]
    fn actors_are_called_by_what_they_are() {
        let kind = |kind: IdentityKind, subject: &str| {
            Actor::of(&Identity {
                subject: subject.to_owned(),
                kind: kind.into(),
                ..Identity::default()
            })
            .kind
        };
        assert_eq!(kind(IdentityKind::User, "user:anna"), "user");
        assert_eq!(kind(IdentityKind::ServiceAccount, "user:ci"), "service_account");
        assert_eq!(kind(IdentityKind::ServiceAccount, "oidc:ci"), "program");
        assert_eq!(kind(IdentityKind::Service, "service:worker"), "service");
    }
}

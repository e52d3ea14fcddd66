//! The canonical form of an entry: what is hashed, and what a service keeps until the log has it. It begins with its own
//! name; then every field follows in a fixed order, each as its length in four bytes (big-endian) and so many bytes: texts as
//! UTF-8, numbers as eight bytes (big-endian, two's complement), the id as its 16 bytes. No two entries have the same form,
//! since every field says where it ends.

use nexus_storage::outbox::Note;
use uuid::Uuid;

use crate::entry::{Actor, Entry, Object, Outcome};

/// What the form begins with; another one would have another name.
const NAME: &str = "nexus.audit.entry.v1";

/// Bytes are no entry in the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no audit entry in its canonical form")]
pub struct NotAnEntry;

impl Entry {
    /// The same as an outbox keeps it.
    #[must_use]
    pub fn note(&self) -> Note {
        Note {
            id: self.id.to_string(),
            entry: encode(self),
            at: self.at,
        }
    }
}

/// The canonical form of an entry.
#[must_use]
pub fn encode(entry: &Entry) -> Vec<u8> {
    let Entry {
        id,
        at,
        namespace,
        actor,
        method,
        permission,
        object,
        outcome,
        reason,
        address,
        request_id,
        trace_id,
        count,
    } = entry;
    let mut form = Vec::with_capacity(512);
    put(&mut form, NAME.as_bytes());
    put(&mut form, id.as_bytes());
    put(&mut form, &at.to_be_bytes());
    for text in [
        namespace,
        &actor.kind,
        &actor.id,
        &actor.display_name,
        &actor.credential,
        method,
        permission,
        &object.kind,
        &object.name,
    ] {
        put(&mut form, text.as_bytes());
    }
    put(&mut form, &outcome.number().to_be_bytes());
    for text in [reason, address, request_id, trace_id] {
        put(&mut form, text.as_bytes());
    }
    put(&mut form, &count.to_be_bytes());
    form
}

fn put(form: &mut Vec<u8>, field: &[u8]) {
    // Texts of entries are bounded far below.
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    form.extend(length.to_be_bytes());
    form.extend(field);
}

/// The entry that a canonical form is of.
///
/// # Errors
/// When it is of none.
pub fn decode(form: &[u8]) -> Result<Entry, NotAnEntry> {
    let mut rest = Rest(form);
    if rest.field()? != NAME.as_bytes() {
        return Err(NotAnEntry);
    }
    let entry = Entry {
        id: Uuid::from_slice(rest.field()?).map_err(|_| NotAnEntry)?,
        at: rest.number()?,
        namespace: rest.text()?,
        actor: Actor {
            kind: rest.text()?,
            id: rest.text()?,
            display_name: rest.text()?,
            credential: rest.text()?,
        },
        method: rest.text()?,
        permission: rest.text()?,
        object: Object {
            kind: rest.text()?,
            name: rest.text()?,
        },
        outcome: Outcome::of_number(rest.number()?).ok_or(NotAnEntry)?,
        reason: rest.text()?,
        address: rest.text()?,
        request_id: rest.text()?,
        trace_id: rest.text()?,
        count: rest.number()?,
    };
    if rest.0.is_empty() { Ok(entry) } else { Err(NotAnEntry) }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn field(&mut self) -> Result<&'a [u8], NotAnEntry> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(NotAnEntry)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotAnEntry)?;
        let (field, rest) = rest.split_at_checked(length).ok_or(NotAnEntry)?;
        self.0 = rest;
        Ok(field)
    }

    fn text(&mut self) -> Result<String, NotAnEntry> {
        let text = std::str::from_utf8(self.field()?).map_err(|_| NotAnEntry)?;
        Ok(text.to_owned())
    }

    fn number(&mut self) -> Result<i64, NotAnEntry> {
        let bytes = self.field()?.try_into().map_err(|_| NotAnEntry)?;
        Ok(i64::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::entry;

    #[test]
    fn an_entry_comes_back_from_its_form_and_from_nothing_else() {
        let form = encode(&entry(7));
        assert_eq!(decode(&form), Ok(entry(7)));
        for length in 0..form.len() {
            assert_eq!(decode(&form[..length]), Err(NotAnEntry), "cut at {length}");
        }
        let longer = [&form[..], b"x"].concat();
        assert_eq!(decode(&longer), Err(NotAnEntry));
        let mut other = form;
        other[4] = b'x';
        assert_eq!(decode(&other), Err(NotAnEntry), "of another version");
    }

    #[test]
    fn what_moves_from_one_field_to_the_next_makes_another_form() {
        let one = Entry {
            object: Object::new("ab", "c"),
            ..entry(7)
        };
        let other = Entry {
            object: Object::new("a", "bc"),
            ..entry(7)
        };
        assert_ne!(encode(&one), encode(&other));
    }
}

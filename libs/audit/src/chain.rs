//! The chain: each entry's hash is the SHA-256 over the hash before it and its own canonical form; the first one stands over
//! zeros. Whoever knows one hash knows everything that stands before it. Pure.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::canonical;
use crate::entry::Entry;

/// A hash of the chain. Written as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

/// A text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hex digits, in small letters")]
pub struct NotAHash;

impl Display for Hash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAHash),
        };
        let mut hash = [0; 32];
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err(NotAHash);
        }
        for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// The hash of an entry that stands after another one.
#[must_use]
pub fn next(previous: &Hash, entry: &Entry) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous.0);
    hasher.update(canonical::encode(entry));
    Hash(hasher.finalize().into())
}

/// A place in the chain: the position of an entry and its hash; before the first one 0 and zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// The position.
    pub position: i64,
    /// The hash.
    pub hash: Hash,
}

/// An entry in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chained {
    /// Where it stands, from 1.
    pub position: i64,
    /// What it says.
    pub entry: Entry,
    /// The hash of the one before.
    pub previous: Hash,
    /// Its own.
    pub hash: Hash,
}

impl Chained {
    /// An entry that follows a place.
    #[must_use]
    pub fn after(link: &Link, entry: Entry) -> Self {
        Self {
            position: link.position + 1,
            hash: next(&link.hash, &entry),
            previous: link.hash,
            entry,
        }
    }

    /// Its own place.
    #[must_use]
    pub fn link(&self) -> Link {
        Link {
            position: self.position,
            hash: self.hash,
        }
    }
}

/// The first entry that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {problem}")]
pub struct Broken {
    /// Where.
    pub position: i64,
    /// What is wrong there.
    pub problem: &'static str,
}

/// Checks that an entry follows a place and is what it was when it was chained; gives its own place, with the hash as it is
/// computed.
///
/// # Errors
/// What does not fit.
pub fn follow(link: &Link, next_one: &Chained) -> Result<Link, Broken> {
    let expected = link.position + 1;
    let broken = |problem| Broken {
        position: expected,
        problem,
    };
    if next_one.position != expected {
        return Err(broken("there is no entry at this position"));
    }
    if next_one.previous != link.hash {
        return Err(broken("it does not follow the entry before it"));
    }
    let hash = next(&link.hash, &next_one.entry);
    if hash != next_one.hash {
        return Err(broken("it is not what it was when it was written"));
    }
    Ok(Link {
        position: expected,
        hash,
    })
}

/// Checks entries one after the other, those after a place.
///
/// # Errors
/// With the last place that fits, and what does not.
pub fn verify<'a>(from: Link, entries: impl IntoIterator<Item = &'a Chained>) -> Result<Link, (Link, Broken)> {
    let mut link = from;
    for entry in entries {
        link = follow(&link, entry).map_err(|broken| (link, broken))?;
    }
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::entry;
    use crate::entry::{Object, Outcome};

    fn chain(length: u128) -> Vec<Chained> {
        let mut link = Link::default();
        let each = (1..=length).map(|number| {
            let chained = Chained::after(&link, entry(number));
            link = chained.link();
            chained
        });
        each.collect()
    }

    fn wrong(entries: &[Chained]) -> i64 {
        verify(Link::default(), entries)
            .expect_err("it does not fit")
            .1
            .position
    }

    #[test]
    fn a_chain_fits_and_its_parts_fit_from_where_they_begin() {
        let entries = chain(5);
        assert_eq!(verify(Link::default(), &entries), Ok(entries[4].link()));
        assert_eq!(verify(entries[1].link(), &entries[2..]), Ok(entries[4].link()));
        assert_eq!(verify(Link::default(), &[]), Ok(Link::default()));
    }

    /// A field of an entry that somebody changes.
    type Tampering = (&'static str, fn(&mut Entry));

    const TAMPERINGS: &[Tampering] = &[
        ("id", |entry| entry.id = uuid::Uuid::from_u128(99)),
        ("time", |entry| entry.at += 1),
        ("namespace", |entry| entry.namespace.push('x')),
        ("actor's kind", |entry| entry.actor.kind = "service".into()),
        ("actor's id", |entry| entry.actor.id = "user:bob".into()),
        ("actor's name", |entry| entry.actor.display_name.clear()),
        ("actor's credential", |entry| entry.actor.credential.push('1')),
        ("method", |entry| entry.method.push('s')),
        ("permission", |entry| entry.permission = "logs.read".into()),
        ("object's kind", |entry| {
            entry.object = Object::new("role", &entry.object.name)
        }),
        ("object's name", |entry| entry.object.name.push('2')),
        ("outcome", |entry| entry.outcome = Outcome::Denied),
        ("reason", |entry| entry.reason.clear()),
        ("address", |entry| entry.address = "192.0.2.8".into()),
        ("request id", |entry| entry.request_id.clear()),
        ("trace id", |entry| entry.trace_id.clear()),
        ("count", |entry| entry.count += 1),
    ];

    #[test]
    fn whoever_changes_any_field_is_found() {
        for (field, tamper) in TAMPERINGS {
            let mut entries = chain(3);
            tamper(&mut entries[1].entry);
            assert_eq!(wrong(&entries), 2, "{field}");
            // With a hash that fits, the next one does not.
            entries[1].hash = next(&entries[1].previous, &entries[1].entry);
            assert_eq!(wrong(&entries), 3, "{field}");
        }
    }

    #[test]
    fn whoever_removes_inserts_or_swaps_is_found() {
        let mut removed = chain(4);
        removed.remove(1);
        assert_eq!(wrong(&removed), 2);
        removed[1].position = 2;
        removed[2].position = 3;
        assert_eq!(wrong(&removed), 2);
        let mut inserted = chain(4);
        let extra = Chained::after(&inserted[0].link(), entry(50));
        inserted.insert(1, extra);
        for (place, chained) in inserted.iter_mut().enumerate().skip(2) {
            chained.position = i64::try_from(place).expect("small") + 1;
        }
        assert_eq!(wrong(&inserted), 3);
        let mut swapped = chain(4);
        let (one, other) = (swapped[1].entry.clone(), swapped[2].entry.clone());
        (swapped[1].entry, swapped[2].entry) = (other, one);
        assert_eq!(wrong(&swapped), 2);
    }

    #[test]
    fn hashes_are_written_as_hex_digits_and_read_back() {
        let hash = next(&Hash::default(), &entry(1));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in ["", "00", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Hash>(), Err(NotAHash), "{wrong}");
        }
    }
}

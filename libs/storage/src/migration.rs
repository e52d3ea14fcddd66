//! Steps of a schema: the same type, the same digests and the same refusals for every adapter.

use crate::Error;

/// One step of a schema, applied once and never changed afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// From 1, without gaps; the same in every adapter.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// Whether programs that do not know of it cannot work with what it leaves behind. One that only adds what they do not
    /// look at breaks nothing: during an upgrade, and after it was undone, they run on a newer database.
    pub breaks: bool,
    /// The statements.
    pub sql: &'static str,
}

impl Migration {
    /// FNV-1a over the text: enough to see that an applied migration was edited.
    pub(crate) fn digest(&self) -> String {
        let hash = self.sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// What a database says was applied to it.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) number: i64,
    pub(crate) digest: String,
    pub(crate) breaks: bool,
}

/// Checks what a database says was applied to it, and tells what is missing. `place` names the database in errors.
pub(crate) fn missing<'a>(
    place: &str,
    applied: &[Applied],
    migrations: &'a [Migration],
) -> Result<&'a [Migration], Error> {
    let known = migrations.last().map_or(0, |migration| migration.number);
    for Applied { number, digest, breaks } in applied {
        let (path, number) = (place.to_owned(), *number);
        match migrations.iter().find(|migration| migration.number == number) {
            None if !breaks => {}
            None => {
                let found = number;
                return Err(Error::Newer { path, found, known });
            }
            Some(migration) if migration.digest() != *digest => return Err(Error::Changed { path, number }),
            Some(_) => {}
        }
    }
    Ok(migrations.get(applied.len()..).unwrap_or_default())
}

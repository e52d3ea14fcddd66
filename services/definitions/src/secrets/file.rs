//! Keys from a file, which is read again when it changed: a key is rotated without a restart.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::keys::{DataKey, KEY, KeyError, KeyRing, Keys, RingError};
use super::random::{NoRandomness, Random};
use crate::store::secrets::Wrapped;

/// Bytes of a file of keys at most: a hundred keys with long ids.
const MAX_FILE: u64 = 64 << 10;

/// A file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has more bytes than keys need.
    #[error("{} has more than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It holds something else than keys.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Which line, and what is wrong.
        source: RingError,
    },
    /// No key can be made.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// What tells one content of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

/// Keys from a file.
pub struct FileKeys {
    path: PathBuf,
    random: Random,
    read: Mutex<(Stamp, Arc<KeyRing>)>,
}

impl std::fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileKeys")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl FileKeys {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or holds something else than keys.
    pub fn open(path: PathBuf, random: Random) -> Result<Self, FileError> {
        let (stamp, ring, mode) = read(&path, &random)?;
        if mode & 0o007 != 0 {
            tracing::warn!(file = %path.display(), "every user of this machine may read or change the keys of secrets");
        }
        let read = Mutex::new((stamp, Arc::new(ring)));
        Ok(Self { path, random, read })
    }

    /// Reads the file, after making it, with a fresh key and for its owner alone, where there is none.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open_or_make(path: PathBuf, random: Random) -> Result<Self, FileError> {
        if !path.exists() {
            make(&path, &random)?;
        }
        Self::open(path, random)
    }

    /// The keys of the file as it is. One that cannot be read, as in the middle of a change, leaves those that were.
    fn ring(&self) -> Arc<KeyRing> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let same = std::fs::metadata(&self.path).is_ok_and(|found| stamp(&found) == known.0);
        if !same {
            match read(&self.path, &self.random) {
                Ok((stamp, ring, _)) => *known = (stamp, Arc::new(ring)),
                Err(error) => tracing::error!(%error, "the keys of secrets cannot be read again; those of before hold"),
            }
        }
        Arc::clone(&known.1)
    }
}

#[async_trait]
impl Keys for FileKeys {
    async fn newest(&self) -> Result<String, KeyError> {
        self.ring().newest_id()
    }

    async fn has(&self, key: &str) -> Result<bool, KeyError> {
        Ok(self.ring().knows(key))
    }

    async fn wrap(&self, data: &DataKey, context: &[u8]) -> Result<Wrapped, KeyError> {
        self.ring().wrap_now(data, context)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &[u8]) -> Result<DataKey, KeyError> {
        self.ring().unwrap_now(wrapped, context)
    }
}

fn stamp(found: &std::fs::Metadata) -> Stamp {
    Stamp {
        inode: found.ino(),
        changed: (found.ctime(), found.ctime_nsec()),
        length: found.len(),
    }
}

fn read(path: &Path, random: &Random) -> Result<(Stamp, KeyRing, u32), FileError> {
    let fail = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let found = std::fs::metadata(path).map_err(fail)?;
    if found.len() > MAX_FILE {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fail)?);
    let ring = KeyRing::parse(&text, Arc::clone(random)).map_err(|source| FileError::Content {
        path: path.to_owned(),
        source,
    })?;
    Ok((stamp(&found), ring, found.mode()))
}

fn make(path: &Path, random: &Random) -> Result<(), FileError> {
    let fail = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut id = [0; 4];
    random(&mut id)?;
    let mut key = Zeroizing::new([0; KEY]);
    random(key.as_mut_slice())?;
    let id = u32::from_be_bytes(id);
    let line = Zeroizing::new(format!("dev-{id:08x} {}\n", STANDARD.encode(key.as_slice())));
    // Complete or not there: a key that was half written would encrypt nothing.
    let begun = path.with_extension("begun");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file: File = options.open(&begun).map_err(fail)?;
    file.write_all(line.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&begun, path))
        .map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::random::system_random;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[tokio::test]
    async fn a_file_is_made_once_and_read_again_when_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.keys");
        assert!(FileKeys::open(path.clone(), system_random()).is_err(), "there is none");
        let keys = FileKeys::open_or_make(path.clone(), system_random()).expect("keys");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let first = keys.newest().await.expect("a key");
        let again = FileKeys::open_or_make(path.clone(), system_random()).expect("keys");
        assert_eq!(again.newest().await.expect("a key"), first);
        let data = DataKey(Zeroizing::new([7; KEY]));
        let wrapped = keys.wrap(&data, b"x").await.expect("wrapped");
        let before = std::fs::read_to_string(&path).expect("the file");
        std::fs::write(&path, format!("new {ONE}\n{before}")).expect("written");
        assert_eq!(keys.newest().await.expect("a key"), "new");
        assert!(keys.unwrap(&wrapped, b"x").await.is_ok(), "the old one is still there");
        std::fs::write(&path, "in the middle of a change").expect("written");
        assert_eq!(keys.newest().await.expect("a key"), "new");
        std::fs::write(&path, format!("new {ONE}")).expect("written");
        assert_eq!(
            keys.unwrap(&wrapped, b"x").await.expect_err("gone"),
            KeyError::Missing(first)
        );
    }
}

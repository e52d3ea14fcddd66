//! The lock of a data directory: two processes on the same files would each believe to be the only writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "nexus.lock";

/// Holds the data directory for this process until it is dropped. The operating system releases the lock when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    path: PathBuf,
    _file: File,
}

/// Why a data directory cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another nexus process uses the data in {} (process {holder}); stop it, or give this one a data directory of its own", directory.display())]
    Held {
        /// The data directory.
        directory: PathBuf,
        /// The process id that the holder wrote down, or `unknown`.
        holder: String,
    },
    /// The lock file cannot be made or written.
    #[error("cannot lock the data directory {}", directory.display())]
    Io {
        /// The data directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl DataLock {
    /// Makes the directory if it is missing and takes its lock at once or not at all.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process (or another lock in this one) holds it, [`LockError::Io`] when the
    /// directory cannot be made or written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            directory: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(io)?;
        let path = directory.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // The number is for people only; the lock itself is the operating system's.
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path, _file: file })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/data");
        let first = DataLock::acquire(&path).unwrap();
        let refused = DataLock::acquire(&path).unwrap_err().to_string();
        assert!(refused.contains("another nexus process uses the data"), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        DataLock::acquire(&path).unwrap();
    }
}

//! One process a data directory: an operating-system lock, held until the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Error;

/// How long the lock is waited for, and how often it is tried: a child that was being started when its parent was killed has
/// the file open until it runs its program.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(20);

/// The right to use a data directory; given back when dropped or when the process dies.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the right to use a directory, creating it (readable by its owner alone) when it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it; [`Error::File`] when it cannot be created or written.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let file = |source| Error::File {
            path: directory.display().to_string(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(file)?;
        restrict(directory).map_err(file)?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(file)?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => sleep(AGAIN),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked {
                        path: directory.display().to_string(),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(file(source)),
            }
        }
        // For people who wonder which process it is; nothing reads it.
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(file)?;
        Ok(Self { _file: lock })
    }
}

#[cfg(unix)]
fn restrict(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_directory: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_refused_until_the_first_lets_go() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("data");
        let first = DirectoryLock::take(&path).expect("first");
        let refused = DirectoryLock::take(&path).expect_err("second");
        assert!(refused.to_string().contains("another nexus process"), "{refused}");
        drop(first);
        DirectoryLock::take(&path).expect("after the first has let go");
    }
}

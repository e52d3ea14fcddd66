//! Directories for the servers' data, removed when dropped, or by a later process when this one was killed.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use crate::{Error, system};

/// A directory without a lock that is younger than this may belong to a process that is about to lock it.
const YOUNG: Duration = Duration::from_secs(60);

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    directory: tempfile::TempDir,
    _lock: File,
}

impl Folder {
    /// A new directory, open to other users' passing through: a server may run as one of them.
    pub(crate) fn new() -> Result<Self, Error> {
        static SWEPT: Once = Once::new();
        let root = root();
        let failed = || format!("creating a directory in {}", root.display());
        std::fs::create_dir_all(&root).map_err(system(failed()))?;
        SWEPT.call_once(|| sweep(&root));
        let directory = tempfile::Builder::new()
            .prefix("s")
            .rand_bytes(8)
            .tempdir_in(&root)
            .map_err(system(failed()))?;
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o711)).map_err(system(failed()))?;
        let lock = File::create(directory.path().join("owner")).map_err(system(failed()))?;
        lock.lock().map_err(system(failed()))?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// One a user, so that nobody meets directories that he may not remove. Short, because sockets' paths have to be.
fn root() -> PathBuf {
    std::env::temp_dir().join(format!("nexus-servers-{}", nix::unistd::geteuid()))
}

/// Removes what processes have left that were killed: their locks are free. Whatever cannot be removed stays for the
/// next time.
fn sweep(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|data| data.modified()).map(|at| at.elapsed());
        if !matches!(age, Ok(Ok(age)) if age > YOUNG) {
            continue;
        }
        let held = File::open(entry.path().join("owner")).is_ok_and(|file| file.try_lock().is_err());
        if !held {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

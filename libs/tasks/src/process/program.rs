//! Finds programs, so that a missing one is named before anything is started.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nexus_attempt::Failure;

/// The program as a path: a name without a slash is looked for on `search`.
fn find(program: &Path, search: &OsStr) -> Option<PathBuf> {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return runs(program).then(|| program.to_path_buf());
    }
    std::env::split_paths(search)
        .map(|folder| folder.join(program))
        .find(|path| runs(path))
}

/// The program, or a failure that says what to install.
pub(crate) fn require(program: &Path, what: &str, option: &str) -> Result<PathBuf, Failure> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    find(program, &search).ok_or_else(|| {
        let message = format!(
            "{what} is needed on the worker and `{}` was not found (PATH is {}); install it or set {option}",
            program.display(),
            search.display(),
        );
        Failure::new("MissingProgram", message).final_()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let failure = require(Path::new("no-such-python"), "Python 3.9 or newer", "--python").expect_err("missing");
        assert_eq!(failure.error_type, "MissingProgram");
        assert!(failure.message.contains("no-such-python") && failure.message.contains("--python"));
        assert!(require(Path::new("sh"), "a shell", "--bash").is_ok());
        assert!(require(Path::new("/bin/sh"), "a shell", "--bash").is_ok());
        assert!(require(Path::new("/etc/passwd"), "a shell", "--bash").is_err());
    }
}

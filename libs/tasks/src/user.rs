//! The user that the processes of tasks run as, where the worker may change it: one that can read neither the worker's
//! memory nor its files, also when the worker is root's.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::supervisor::Supervisor;
use nexus_attempt::Failure;

/// A user for the processes of tasks. They have its own group and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: String,
    pub(crate) home: PathBuf,
}

impl TaskUser {
    /// The user of a name or number.
    ///
    /// # Errors
    /// When there is none, in words.
    pub fn find(text: &str) -> Result<Self, String> {
        let found = match text.parse::<u32>() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(text),
        };
        let user = found
            .map_err(|error| format!("the user `{text}` cannot be looked up: {error}"))?
            .ok_or_else(|| format!("there is no user `{text}` on this machine"))?;
        Ok(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            name: user.name,
            home: user.dir,
        })
    }

    /// Whether this process may run others as that user.
    ///
    /// # Errors
    /// When it may not, in words.
    pub fn check(&self, supervisor: &Supervisor) -> Result<(), String> {
        let tried = Command::new(&supervisor.program)
            .args(&supervisor.args)
            .uid(self.uid)
            .gid(self.gid)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.map(drop).map_err(|error| {
            format!(
                "the worker may not run processes as `{}` ({error}); it must be root, or tasks run as its own user",
                self.name
            )
        })
    }

    /// The failure for a program that the user may not run.
    pub(crate) fn may_not_run(&self, program: &Path) -> Failure {
        let message = format!(
            "the user `{}` (`worker.user`) may not run {}; install it where that user may",
            self.name,
            program.display()
        );
        Failure::new("MissingProgram", message).final_()
    }

    /// Makes a command run as this user.
    pub(crate) fn apply(user: Option<&Self>, command: &mut tokio::process::Command) {
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
    }

    /// Gives a file or folder to the user.
    pub(crate) fn give(user: Option<&Self>, path: &Path) -> std::io::Result<()> {
        user.map_or(Ok(()), |user| {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
        })
    }

    /// Lets the user read what stays the worker's own, and nobody else.
    pub(crate) fn show(user: Option<&Self>, path: &Path, mode: u32) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let Some(user) = user else { return Ok(()) };
        std::os::unix::fs::chown(path, None, Some(user.gid))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = TaskUser::find("root").expect("root");
        assert_eq!(TaskUser::find("0"), Ok(root));
        let missing = TaskUser::find("no-such-user").expect_err("missing");
        assert!(missing.contains("no-such-user"), "{missing}");
    }
}

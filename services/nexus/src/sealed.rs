//! Secrets are kept where the processes of tasks cannot read them. `/proc/PID/environ` shows a process's environment as it
//! was when its program began, to every process of the same user, and `/proc/PID/cmdline` its arguments to everybody. So
//! a server begins twice: the first time it takes the secrets out of both, and begins anew without them, as the same
//! process; the second time it reads them from a file that only it has, in memory, and closes it.
//!
//! Its memory is closed to other processes of its user too (`PR_SET_DUMPABLE`). Root reads everything: where the worker
//! is root's, tasks need a user of their own (`worker.user`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_dumpable;
use serde::{Deserialize, Serialize};

use nexus_tasks::SecretStore;

use crate::config::keys::is_secret;

/// Names the descriptor of the file with what was taken out.
const DESCRIPTOR: &str = "SEALED_BY_NEXUS";
/// What secrets of tasks and addresses of their databases are called.
const PREFIXES: &[&str] = &["NEXUS_SECRET_", "NEXUS_CONNECTION_"];
/// The key of whoever types commands.
const KEY: &str = "NEXUS_API_KEY";

/// What was taken out.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sealed {
    /// Variables.
    variables: BTreeMap<String, String>,
    /// `KEY=VALUE` of `--set`.
    settings: Vec<String>,
}

static SEALED: OnceLock<Sealed> = OnceLock::new();

/// To be called first of all by a process that serves, before any thread exists. Does not come back when it begins the
/// program anew.
///
/// # Errors
/// When secrets were given and cannot be taken out.
pub(crate) fn enter() -> io::Result<()> {
    set_dumpable(false)?;
    if let Some(number) = std::env::var_os(DESCRIPTOR) {
        let sealed = open(&number)?;
        drop(SEALED.set(sealed));
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let (arguments, settings) = without_secrets(arguments.collect());
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_sealed(name))
        .collect();
    let sealed = Sealed { variables, settings };
    if sealed.variables.is_empty() && sealed.settings.is_empty() {
        return Ok(());
    }
    let file = File::from(write(&sealed)?);
    let mut command = Command::new(program());
    command.arg0(name).args(arguments);
    for variable in sealed.variables.keys() {
        command.env_remove(variable);
    }
    // It comes back only when it fails.
    Err(command.env(DESCRIPTOR, file.as_raw_fd().to_string()).exec())
}

/// Whether a variable holds a secret.
fn is_sealed(name: &str) -> bool {
    let of_a_key = |rest: &str| is_secret(&rest.replace("__", ".").to_ascii_lowercase());
    name == KEY
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.strip_prefix("NEXUS_").is_some_and(of_a_key)
}

/// Parts the arguments from those of `--set` that hold a secret.
fn without_secrets(arguments: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let (mut kept, mut settings) = (Vec::new(), Vec::new());
    let secret = |setting: &str| {
        setting
            .split_once('=')
            .is_some_and(|(key, value)| is_secret(key.trim()) && !value.is_empty())
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        if let Some(setting) = text.strip_prefix("--set=").filter(|setting| secret(setting)) {
            settings.push(setting.to_owned());
        } else if text == "--set" {
            match arguments.next() {
                Some(value) if value.to_str().is_some_and(secret) => {
                    settings.push(value.to_string_lossy().into_owned());
                }
                value => kept.extend([Some(argument), value].into_iter().flatten()),
            }
        } else {
            kept.push(argument);
        }
    }
    (kept, settings)
}

/// A file without a name, in memory, which the program begun anew inherits.
fn write(sealed: &Sealed) -> io::Result<OwnedFd> {
    let descriptor = memfd_create("nexus", MFdFlags::empty())?;
    let mut file = File::from(descriptor);
    file.write_all(&serde_json::to_vec(sealed)?)?;
    Ok(file.into())
}

fn open(number: &OsString) -> io::Result<Sealed> {
    let odd = || io::Error::other(format!("the variable {DESCRIPTOR} is not for you to set"));
    let number: RawFd = number.to_str().and_then(|text| text.parse().ok()).ok_or_else(odd)?;
    if number <= 2 {
        return Err(odd());
    }
    let file = File::open(format!("/proc/self/fd/{number}"))?;
    let sealed = serde_json::from_reader(io::BufReader::new(file)).map_err(|_| odd())?;
    // The one that was inherited is closed, so that no task inherits it too.
    nix::unistd::close(number)?;
    Ok(sealed)
}

/// The running program; the link keeps working when the file was replaced, and the path gives the process its name.
fn program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// The environment with what was taken out of it.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    let sealed = SEALED.get().map(|sealed| sealed.variables.clone()).unwrap_or_default();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name != DESCRIPTOR)
        .chain(sealed)
}

/// Settings of the command line that hold secrets.
pub(crate) fn settings() -> &'static [String] {
    SEALED.get().map_or(&[], |sealed| &sealed.settings)
}

/// The secrets of tasks.
pub(crate) fn secrets(file: Option<PathBuf>) -> SecretStore {
    SecretStore::new(variables(), file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_everything_else() {
        for name in [
            "NEXUS_SECRET_X",
            "NEXUS_CONNECTION_DB",
            "NEXUS_API_KEY",
            "NEXUS_DATABASE__URL",
            "NEXUS_REDIS__URL",
        ] {
            assert!(is_sealed(name), "{name}");
        }
        for name in [
            "NEXUS_ROLES",
            "NEXUS_DATABASE__MIGRATE",
            "PATH",
            "NEXUS_REDIS__NAMESPACE",
        ] {
            assert!(!is_sealed(name), "{name}");
        }
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let (kept, settings) = without_secrets(words(
            "serve --set database.url=postgres://u:p@h/d --set listen=x:1 --set=redis.url=redis://:p@h --log info --set",
        ));
        assert_eq!(kept, words("serve --set listen=x:1 --log info --set"));
        assert_eq!(settings, ["database.url=postgres://u:p@h/d", "redis.url=redis://:p@h"]);
    }
}

//! The folder with the two files, `$XDG_CONFIG_HOME/nexus`: contexts, and apart from them the credentials, which only their
//! owner may read. Files are replaced whole, so that a reader finds the old one or the new one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::contexts::{Contexts, Credentials, Versioned};
use crate::error::CliError;

const CONTEXTS: &str = "contexts.yaml";
const CREDENTIALS: &str = "credentials.yaml";
/// Whoever changes the files holds it meanwhile.
const LOCK: &str = ".lock";
/// A larger file is refused.
const MAX_FILE: u64 = 1 << 20;
/// Longest credential.
const MAX_CREDENTIAL: u64 = 8 << 10;
/// So long is waited for another command that changes the files.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the files are; nowhere without a home.
#[derive(Debug, Clone)]
pub struct Folder(Option<PathBuf>);

impl Folder {
    /// The folder that the environment names.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        // What is not absolute is not looked at, as the XDG base directory specification wants it.
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        Self(config.map(|config| config.join("nexus")))
    }

    /// The contexts; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, or is of another version.
    pub fn contexts(&self) -> Result<Contexts, CliError> {
        self.file(CONTEXTS, false)
    }

    /// The credentials; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, or others than its owner can.
    pub fn credentials(&self) -> Result<Credentials, CliError> {
        self.file(CREDENTIALS, true)
    }

    /// Changes contexts and credentials, while nobody else does. What is not changed is not written.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Contexts, &mut Credentials) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let Some(folder) = &self.0 else {
            return Err(CliError::Other(
                "there is no place for contexts; set HOME or XDG_CONFIG_HOME".to_owned(),
            ));
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| failed(folder, &error))?;
        let _held = lock(&folder.join(LOCK))?;
        let (mut contexts, mut credentials) = (self.contexts()?, self.credentials()?);
        let before = (text(&contexts)?, text(&credentials)?);
        let done = change(&mut contexts, &mut credentials)?;
        if let Some(problem) = contexts.problem() {
            return Err(CliError::Usage(problem));
        }
        let after = (text(&contexts)?, text(&credentials)?);
        // Contexts last: one that is new then has its credential already.
        if after.1 != before.1 {
            replace(&folder.join(CREDENTIALS), &after.1)?;
        }
        if after.0 != before.0 {
            replace(&folder.join(CONTEXTS), &after.0)?;
        }
        Ok(done)
    }

    fn file<T: DeserializeOwned + Default + Versioned>(&self, name: &str, secret: bool) -> Result<T, CliError> {
        let Some(path) = self.0.as_ref().map(|folder| folder.join(name)) else {
            return Ok(T::default());
        };
        let forbidden = if secret { 0o077 } else { 0 };
        let Some(text) = read(&path, forbidden, MAX_FILE)? else {
            return Ok(T::default());
        };
        let bad = |problem: String| CliError::File {
            path: path.display().to_string(),
            problem,
        };
        // The parser quotes what it cannot read, which in this file may be a secret.
        let read: T = serde_saphyr::from_str(&text).map_err(|error| match secret {
            true => bad("it cannot be read as YAML with `version` and `credentials`".to_owned()),
            false => bad(error.to_string()),
        })?;
        match read.problem() {
            Some(problem) => Err(bad(problem)),
            None => Ok(read),
        }
    }
}

/// The credential in a file of its own.
pub fn credential(path: &Path) -> Result<SecretString, CliError> {
    let bad = |problem: &str| CliError::File {
        path: path.display().to_string(),
        problem: problem.to_owned(),
    };
    // The group may: that is how a cluster hands secrets to a process that is not root's.
    let text =
        read(path, 0o007, MAX_CREDENTIAL)?.ok_or_else(|| bad("there is no such file; it holds the credential"))?;
    match text.trim() {
        "" => Err(bad("it holds no credential")),
        credential => Ok(SecretString::from(credential.to_owned())),
    }
}

/// Reads a file that is not larger, unless it is open to those who must not read it. None when it is not there.
fn read(path: &Path, forbidden: u32, most: u64) -> Result<Option<String>, CliError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    let about = file.metadata().map_err(|error| failed(path, &error))?;
    let bad = |problem: String| CliError::File {
        path: path.display().to_string(),
        problem,
    };
    let mode = about.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(bad(format!(
            "it holds a credential, and others than its owner can read it (mode {mode:03o}); `chmod 600` it, and revoke the \
             credential if it may have been read"
        )));
    }
    let mut text = String::new();
    let read = file.take(most + 1).read_to_string(&mut text);
    read.map_err(|error| failed(path, &error))?;
    if text.len() as u64 > most {
        return Err(bad(format!("it is larger than {most} bytes")));
    }
    Ok(Some(text))
}

fn text<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_saphyr::to_string(value).map_err(|error| CliError::Other(error.to_string()))
}

/// Puts a new file in the place of another; a crash leaves one of the two.
pub fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = || -> std::io::Result<()> {
        // Of mode 0600 from its beginning.
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| failed(path, &error))
}

/// Holds the lock until it is dropped.
fn lock(path: &Path) -> Result<File, CliError> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    let file = opened.map_err(|error| failed(path, &error))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::File {
                    path: path.display().to_string(),
                    problem: "another command changes contexts; try again".to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::contexts::{Context, Stored};
    use super::*;

    fn folder(home: &Path) -> Folder {
        let home = home.display().to_string();
        Folder::of(&move |name| (name == "XDG_CONFIG_HOME").then(|| home.clone()))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    fn stored() -> Stored {
        Stored {
            servers: vec!["http://h:1".into()],
            token: SecretString::from("hush".to_owned()),
            subject: String::new(),
            expire_time: String::new(),
        }
    }

    #[test]
    fn what_is_changed_is_there_afterwards_and_closed_to_others() {
        let home = tempfile::tempdir().expect("folder");
        let files = folder(home.path());
        assert_eq!(files.contexts().expect("none"), Contexts::default());
        let changed = files.change(|contexts, credentials| {
            contexts.contexts.insert("prod".into(), Context::default());
            credentials.credentials.insert("prod".into(), stored());
            Ok(7)
        });
        assert_eq!(changed.expect("changed"), 7);
        assert!(files.contexts().expect("contexts").contexts.contains_key("prod"));
        let credentials = files.credentials().expect("credentials");
        assert_eq!(credentials.credentials["prod"].token.expose_secret(), "hush");
        let path = home.path().join("nexus");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(
            (mode(&path.join(CONTEXTS)), mode(&path.join(CREDENTIALS))),
            (0o600, 0o600)
        );
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let home = tempfile::tempdir().expect("folder");
        let files = folder(home.path());
        let failed: Result<(), _> = files.change(|contexts, _| {
            contexts.contexts.insert("prod".into(), Context::default());
            Err(CliError::Usage("no".into()))
        });
        assert!(failed.is_err());
        assert!(files.contexts().expect("contexts").contexts.is_empty());
        let wrong = files.change(|contexts, _| {
            contexts.contexts.insert("a b".into(), Context::default());
            Ok(())
        });
        assert!(wrong.expect_err("refused").to_string().contains("a b"));
    }

    #[test]
    fn credentials_that_others_can_read_are_refused() {
        let home = tempfile::tempdir().expect("folder");
        let files = folder(home.path());
        let put = files.change(|_, credentials| {
            credentials.credentials.insert("a".into(), stored());
            Ok(())
        });
        put.expect("put");
        let path = home.path().join("nexus").join(CREDENTIALS);
        for open in [0o604, 0o640, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).expect("mode");
            let error = files.credentials().expect_err("refused").to_string();
            assert!(error.contains("chmod 600") && !error.contains("hush"), "{error}");
        }
        let own = home.path().join("token");
        fs::write(&own, "nxk_a_b\n").expect("write");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).expect("mode");
        assert!(credential(&own).is_err());
        fs::set_permissions(&own, fs::Permissions::from_mode(0o440)).expect("mode");
        assert_eq!(credential(&own).expect("read").expose_secret(), "nxk_a_b");
        assert!(
            credential(&home.path().join("none"))
                .expect_err("none")
                .to_string()
                .contains("no such file")
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_quoted_where_secrets_are() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("nexus");
        fs::create_dir(&path).expect("folder");
        replace(
            &path.join(CREDENTIALS),
            "version: 1\ncredentials: {a: {token: [hush]}}\n",
        )
        .expect("write");
        let error = folder(home.path()).credentials().expect_err("refused").to_string();
        assert!(error.contains(CREDENTIALS) && !error.contains("hush"), "{error}");
        replace(&path.join(CONTEXTS), "version: 1\ncontexts: {a: {sever: x}}\n").expect("write");
        let error = folder(home.path()).contexts().expect_err("refused").to_string();
        assert!(error.contains("sever"), "{error}");
    }

    #[test]
    fn a_home_that_is_not_absolute_is_none() {
        let folder = Folder::of(&|name| (name == "HOME").then(|| "here".to_owned()));
        assert_eq!(folder.contexts().expect("none"), Contexts::default());
        assert!(folder.change(|_, _| Ok(())).is_err());
    }
}

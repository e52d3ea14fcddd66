//! What a task's process sees: a clean environment and a scratch folder of its own.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;
use tempfile::TempDir;

use crate::user::TaskUser;
use nexus_attempt::{Failure, RunContext, text_of};

/// Variables of the worker that a task may see; everything else could be a secret.
const PASSED_ON: &[&str] = &["PATH", "HOME", "USER", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An attempt's scratch folder: `work` is where the task starts, `tmp` is its TMPDIR,
/// `out` has what a script gives back. Removed when the attempt is over.
pub(crate) struct Scratch {
    folder: Option<TempDir>,
}

impl Scratch {
    pub(crate) async fn new(parent: Option<&Path>, user: Option<&TaskUser>) -> Result<Self, Failure> {
        let parent = parent.map(Path::to_path_buf);
        let user = user.cloned();
        let made = tokio::task::spawn_blocking(move || {
            let mut builder = tempfile::Builder::new();
            let builder = builder.prefix("nexus-");
            let folder = match parent {
                Some(parent) => builder.tempdir_in(parent)?,
                None => builder.tempdir()?,
            };
            // The folder itself stays the worker's: the task cannot put another one in its place.
            TaskUser::show(user.as_ref(), folder.path(), 0o710)?;
            for name in ["work", "tmp", "out"] {
                let path = folder.path().join(name);
                std::fs::create_dir(&path)?;
                TaskUser::give(user.as_ref(), &path)?;
            }
            Ok::<_, std::io::Error>(folder)
        });
        match made.await {
            Ok(Ok(folder)) => Ok(Self { folder: Some(folder) }),
            Ok(Err(error)) => Err(Failure::lost(format!(
                "the worker cannot make a scratch folder: {error}"
            ))),
            Err(error) => Err(Failure::lost(format!(
                "the worker cannot make a scratch folder: {error}"
            ))),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().map_or_else(|| Path::new("/"), TempDir::path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        // A task may leave a large tree; removing it must not hold up a runtime thread.
        let remove = move || {
            let path = folder.path().to_path_buf();
            if let Err(error) = folder.close() {
                tracing::warn!(path = %path.display(), error = %error, "cannot remove a scratch folder");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// The environment of an attempt: a few of the worker's variables, the attempt's own, then the task's `env`.
pub(crate) fn variables(
    ctx: &RunContext,
    scratch: &Path,
    user: Option<&TaskUser>,
    extra: &IndexMap<String, Value>,
    worker: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env: BTreeMap<String, String> = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), worker(name)?)))
        .collect();
    if let Some(user) = user {
        env.insert("HOME".to_owned(), user.home.display().to_string());
        env.insert("USER".to_owned(), user.name.clone());
    }
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    env.entry("HOME".to_owned()).or_insert_with(|| "/".to_owned());
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("LANG", "C.UTF-8".to_owned());
    set("TMPDIR", scratch.join("tmp").display().to_string());
    set("NEXUS_EXECUTION", ctx.execution.clone());
    // So that the program `nexus`, called by a task, acts in the task's own namespace.
    set("NEXUS_NAMESPACE", ctx.namespace.to_string());
    set("NEXUS_TASK", ctx.task.clone());
    set("NEXUS_ATTEMPT", ctx.attempt.to_string());
    set("NEXUS_IDEMPOTENCY_KEY", ctx.idempotency_key.clone());
    if !ctx.traceparent.is_empty() {
        set("TRACEPARENT", ctx.traceparent.clone());
    }
    for (name, value) in extra {
        let Some(value) = text_of(value) else { continue };
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Failure::invalid(format!(
                "`env` cannot hold `{name}`: a name without `=` and no NUL is needed"
            )));
        }
        env.insert(name.clone(), value);
    }
    Ok(env)
}

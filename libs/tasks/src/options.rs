//! What an operator can set about running tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexus_attempt::SecretStore;
use nexus_tasks_sql::Databases;

use crate::supervisor::Supervisor;
use crate::user::TaskUser;

/// What an operator can set about running tasks.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Python interpreter: a name on `PATH` or a path.
    pub python: PathBuf,
    /// Where `function: module:name` is looked for, before the interpreter's own path; the current folder when empty.
    pub python_path: Vec<PathBuf>,
    /// The shell: a name on `PATH` or a path.
    pub bash: PathBuf,
    /// What stands between the worker and a bash task.
    pub supervisor: Supervisor,
    /// Address space of a Python task that sets no `memory`, in bytes.
    pub python_memory: u64,
    /// Most warm interpreters, and most processes that wait for the next Python task; the worker's slots are a good
    /// number.
    pub python_interpreters: usize,
    /// Largest output of a task, in bytes of JSON.
    pub max_output_bytes: usize,
    /// Largest log of an attempt, in bytes.
    pub max_log_bytes: usize,
    /// Time between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// True when `http` and `grpc` tasks, and `sql` tasks by their own `url`, may reach loopback and private addresses. It does not
    /// bound what the programs of `bash` and `python` tasks reach, nor connections, which the operator names.
    pub allow_private: bool,
    /// Whom bash and Python tasks run as; the worker's own user when not set.
    pub user: Option<TaskUser>,
    /// How much the processes of `bash` and `python` tasks yield to others, from 0, not at all, to 19; see nice(1).
    pub niceness: u8,
    /// Where scratch folders are made; the system's when not set.
    pub scratch: Option<PathBuf>,
    /// Where connections are looked up by name.
    pub secrets: Arc<SecretStore>,
}

impl Options {
    /// Safe defaults: private addresses refused, 2 GiB for Python and at most 8 warm interpreters, niceness 10, 1 MiB of output, 10 MiB of log, 5 s of grace.
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        Self {
            python: PathBuf::from("python3"),
            python_path: Vec::new(),
            bash: PathBuf::from("bash"),
            supervisor,
            python_memory: 2 << 30,
            python_interpreters: 8,
            max_output_bytes: 1 << 20,
            max_log_bytes: 10 << 20,
            kill_grace: Duration::from_secs(5),
            allow_private: false,
            user: None,
            niceness: 10,
            scratch: None,
            secrets: Arc::new(SecretStore::from_env()),
        }
    }

    /// What of it tells which databases `sql` tasks reach.
    pub(crate) fn databases(&self) -> Databases<'_> {
        Databases {
            secrets: &self.secrets,
            allow_private: self.allow_private,
            max_output_bytes: self.max_output_bytes,
        }
    }
}

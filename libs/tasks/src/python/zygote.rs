//! The warm interpreter: started with the first task that needs it, started again when it died, gone with the worker.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex as SyncMutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::options::Options;
use crate::patience::patiently;
use crate::process::channel::{self, Link};
use crate::process::program;
use crate::user::TaskUser;
use nexus_attempt::Failure;

/// What a task's process does; also the whole of an interpreter that is started for one task.
const TASK: &str = include_str!("task.py");
const SCRIPT: &str = concat!(
    include_str!("task.py"),
    include_str!("keeper.py"),
    include_str!("zygote.py")
);
/// How often a task tries to get a living interpreter.
const TRIES: u32 = 3;
/// Wait before the interpreter is started again; doubles with each try.
const RESTART_DELAY: Duration = Duration::from_millis(50);
/// How long a keeper may take to appear.
const GREETING_LIMIT: Duration = Duration::from_secs(20);
/// Variables that shape the interpreter itself. Tasks do not get them: they get an environment of their own.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
];

/// The warm interpreter.
pub(crate) struct Zygote {
    python: PathBuf,
    module_path: Vec<String>,
    user: Option<TaskUser>,
    niceness: u8,
    running: Mutex<Option<Running>>,
}

struct Running {
    control: UnixStream,
    child: Child,
    last_words: LastWords,
}

/// The last line that the interpreter wrote to its stderr.
type LastWords = Arc<SyncMutex<String>>;

impl Zygote {
    pub(crate) fn new(options: &Options) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let folders = if options.python_path.is_empty() {
            vec![absolute(Path::new("."))]
        } else {
            options.python_path.iter().map(|path| absolute(path)).collect()
        };
        Self {
            python: options.python.clone(),
            module_path: folders.iter().map(|path| path.display().to_string()).collect(),
            user: options.user.clone(),
            niceness: options.niceness,
            running: Mutex::new(None),
        }
    }

    /// Where modules are looked for first.
    pub(crate) fn module_path(&self) -> &[String] {
        &self.module_path
    }

    /// Starts the interpreter if it does not run.
    pub(crate) async fn ensure(&self) -> Result<(), Failure> {
        let mut running = self.running.lock().await;
        self.living(&mut running).await.map(|_| ())
    }

    /// Forks a keeper. An interpreter that died before the keeper was
    /// there is replaced: no code of the user's has run by then.
    pub(crate) async fn fork(&self) -> Result<Link, Failure> {
        let mut delay = RESTART_DELAY;
        let mut problem = String::new();
        for _ in 0..TRIES {
            match self.try_fork().await? {
                Ok(link) => return Ok(link),
                Err((error, last_words)) => {
                    tracing::warn!(error = %error, "the python interpreter is gone; starting it again");
                    // Its last line says more than a broken pipe does; this also gives it a moment to be read.
                    tokio::time::sleep(delay).await;
                    problem = format!("{error}; {}", last_words.lock());
                    delay *= 2;
                }
            }
        }
        Err(Failure::lost(format!(
            "the python interpreter does not stay alive: {problem}"
        )))
    }

    async fn try_fork(&self) -> Result<Result<Link, (io::Error, LastWords)>, Failure> {
        let unopened = |error| Failure::lost(format!("the worker cannot open a socket for the task: {error}"));
        let (mut socket, theirs) = UnixStream::pair().map_err(unopened)?;
        let theirs = theirs.into_std().map_err(unopened)?;
        // The keeper's end blocks, as Python expects.
        theirs.set_nonblocking(false).map_err(unopened)?;
        let (sent, last_words) = {
            let mut running = self.running.lock().await;
            let living = self.living(&mut running).await?;
            let last_words = Arc::clone(&living.last_words);
            let sent = channel::send(&living.control, b'F', &[theirs.as_raw_fd()]).await;
            if sent.is_err() {
                *running = None;
            }
            (sent, last_words)
        };
        drop(theirs);
        let greeting = async {
            sent?;
            let mut byte = [0];
            socket.read_exact(&mut byte).await?;
            Ok::<_, io::Error>(byte[0])
        };
        match patiently(GREETING_LIMIT, greeting).await {
            Some(Ok(b'S')) => Ok(Ok(Link::new(socket))),
            Some(Ok(_)) => {
                let mut rest = Vec::new();
                let _read = socket.read_to_end(&mut rest).await;
                Err(Failure::lost(
                    String::from_utf8_lossy(rest.get(4..).unwrap_or_default()).into_owned(),
                ))
            }
            Some(Err(error)) => Ok(Err((error, last_words))),
            None => Err(Failure::lost("the python interpreter does not answer")),
        }
    }

    async fn living<'a>(&self, running: &'a mut Option<Running>) -> Result<&'a mut Running, Failure> {
        if running
            .as_mut()
            .is_some_and(|running| !matches!(running.child.try_wait(), Ok(None)))
        {
            *running = None;
        }
        match running {
            Some(running) => Ok(running),
            None => Ok(running.insert(self.start()?)),
        }
    }

    fn start(&self) -> Result<Running, Failure> {
        let python = program::require(&self.python, "Python 3.9 or newer", "PATH")?;
        let spawned = || -> io::Result<Running> {
            let (ours, theirs) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut command = Command::new(&python);
            TaskUser::apply(self.user.as_ref(), &mut command);
            command
                .arg("-c")
                .arg(SCRIPT)
                .arg(TASK)
                .arg(self.niceness.to_string())
                .env_clear()
                .envs(
                    PASSED_ON
                        .iter()
                        .filter_map(|name| Some((*name, std::env::var_os(name)?))),
                )
                .env("LANG", "C.UTF-8");
            if let Some(user) = &self.user {
                command.env("HOME", &user.home);
            }
            let mut child = command
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            let last_words = Arc::new(SyncMutex::new(String::new()));
            if let Some(stderr) = child.stderr.take() {
                let words = Arc::clone(&last_words);
                // Ends with the interpreter, whose stderr it reads.
                tokio::spawn(async move {
                    let mut lines = BufReader::new(stderr).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        tracing::warn!(line = %line, "the python interpreter complains");
                        *words.lock() = line;
                    }
                });
            }
            Ok(Running {
                control: UnixStream::from_std(ours)?,
                child,
                last_words,
            })
        };
        spawned().map_err(|error| match &self.user {
            Some(user) if error.kind() == io::ErrorKind::PermissionDenied => user.may_not_run(&python),
            _ => Failure::lost(format!("the worker cannot start {}: {error}", python.display())),
        })
    }
}

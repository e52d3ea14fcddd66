//! A process of the mesh, over all its lives on the same port.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nexus_servers::keeper;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::{Error, READY, Role, STOP, ports, system};

/// Pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a process may take to say whether it is ready.
const ANSWER: Duration = Duration::from_secs(1);
/// How much of a log an error shows.
const SHOWN: usize = 4_000;

/// How a process ended after it was asked to.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// How long it took.
    pub took: Duration,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
}

/// A process of the mesh. It is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    role: Role,
    /// `execution-1`, and the like: from 0 in each role.
    name: String,
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    metrics: u16,
    environment: Vec<(String, String)>,
    lives: u32,
    child: Option<Child>,
    frozen: bool,
}

impl Node {
    pub(crate) fn new(
        role: Role,
        number: usize,
        program: &Path,
        folder: &Path,
        environment: Vec<(String, String)>,
    ) -> Result<Self, Error> {
        Ok(Self {
            role,
            name: format!("{}-{number}", role.name()),
            program: program.to_owned(),
            folder: folder.to_owned(),
            port: ports::free()?,
            metrics: ports::free()?,
            environment,
            lives: 0,
            child: None,
            frozen: false,
        })
    }

    /// What it does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its name, the same over all lives.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What names the current life, or the last one.
    #[must_use]
    pub fn life(&self) -> String {
        format!("{}.{}", self.name, self.lives)
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the other replicas reach it: a proxy's address where there is one.
    #[must_use]
    pub fn advertised(&self) -> String {
        let set = self.environment.iter().find(|(name, _)| name == "NEXUS_ADVERTISE");
        set.map_or_else(|| self.address(), |(_, address)| address.clone())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics)
    }

    /// Its process id while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The log of the current life, or of the last one.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.life()))
    }

    /// What the current life has written.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Adds a variable to the environment of its next lives, or changes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Runs another program in its next lives.
    pub fn run(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Begins a new life, with failpoints where there are any. It need not be ready yet.
    ///
    /// # Errors
    /// When it lives already, or cannot be started.
    pub fn start(&mut self, failpoints: &str) -> Result<(), Error> {
        if self.child.is_some() {
            return Err(self.problem("lives already"));
        }
        self.lives += 1;
        let log = self.log();
        let failed = || format!("creating {}", log.display());
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(system(failed()))?;
        let mut command = keeper::command(&self.program.display().to_string(), None, "KILL");
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.as_encoded_bytes().starts_with(b"NEXUS_")) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--roles", self.role.name(), "--listen"])
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--metrics-listen")
            .arg(format!("127.0.0.1:{}", self.metrics))
            .env_remove("RUST_LOG")
            .env_remove("FAILPOINTS")
            .env("NEXUS_SECRET_LIFE", self.life())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(system(failed()))?)
            .stderr(output);
        if !failpoints.is_empty() {
            command.env("FAILPOINTS", failpoints);
        }
        let child = keeper::spawn(command).map_err(system(format!("starting {}", self.name)))?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).await?;
            let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await?;
            Ok::<bool, std::io::Error>(answer.ends_with(b" 200"))
        };
        matches!(timeout(ANSWER, ask).await, Ok(Ok(true)))
    }

    /// Waits until it is ready; how long that took.
    ///
    /// # Errors
    /// When it ends before, or is not ready in time.
    pub async fn ready(&mut self) -> Result<Duration, Error> {
        let begun = Instant::now();
        loop {
            if self.is_ready().await {
                return Ok(begun.elapsed());
            }
            if let Some(status) = self.ended() {
                return Err(self.problem(format!("ended with {status} before it was ready")));
            }
            if begun.elapsed() > READY {
                return Err(self.problem(format!("is not ready after {READY:?}")));
            }
            sleep(PAUSE).await;
        }
    }

    /// How its life ended, if it has by itself; told once.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        self.frozen = false;
        Some(status)
    }

    /// Kills it without warning and waits until it is dead.
    ///
    /// # Errors
    /// When it was dead already: then somebody else killed it.
    pub fn kill(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else {
            return Err(self.problem("was dead already"));
        };
        drop(child.kill());
        let status = child.wait().map_err(system(format!("waiting for {}", self.name)))?;
        self.frozen = false;
        if status.signal() == Some(9) {
            return Ok(());
        }
        Err(self.problem(format!("ended with {status} before it was killed")))
    }

    /// Sends SIGTERM. [`Node::wait`] waits for the end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not in time; it lives on then.
    pub async fn wait(&mut self) -> Result<Stopped, Error> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(Stopped {
                    took: begun.elapsed(),
                    code: status.code(),
                });
            }
            if self.child.is_none() {
                return Err(self.problem("does not live"));
            }
            if begun.elapsed() > STOP {
                return Err(self.problem(format!("does not end within {STOP:?}")));
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it does not live, or does not end in time.
    pub async fn stop(&mut self) -> Result<Stopped, Error> {
        self.terminate();
        self.wait().await
    }

    /// Freezes it: it keeps its connections and does nothing.
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
        self.frozen = true;
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
        self.frozen = false;
    }

    /// Whether it is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            keeper::signal(child, signal);
        }
    }

    pub(crate) fn problem(&self, problem: impl Into<String>) -> Error {
        let said = self.said();
        let cut = said.len().saturating_sub(SHOWN);
        let from = (cut..said.len()).find(|place| said.is_char_boundary(*place));
        Error::Node {
            node: self.life(),
            problem: problem.into(),
            log: said[from.unwrap_or(said.len())..].to_owned(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

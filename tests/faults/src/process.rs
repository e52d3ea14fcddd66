//! Processes: `nexus dev`, workers outside of it, the witness. All of them are killed when they are dropped.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::DEADLINE;

/// A program of this workspace, built beside the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    // target/<profile>/deps/faults-… → target/<profile>/<name>
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("target directory");
    let path = profile.join(name);
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}

/// Sends a signal to a process.
///
/// # Panics
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    nix::sys::signal::kill(pid, signal).expect("signal");
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Dead already, as a rule.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A running `nexus dev`.
#[derive(Debug)]
pub struct Nexus {
    child: Guarded,
    /// What names this life to the witness.
    pub life: String,
    said: PathBuf,
    started: Instant,
}

impl Nexus {
    /// Starts one. `wrap` is put before the command, to run it in another namespace.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(folder: &Path, data: &Path, port: u16, life: &str, wrap: &[String], failpoints: &str) -> Self {
        let program = binary("nexus").display().to_string();
        let mut words: Vec<String> = wrap.to_vec();
        words.push(program);
        let said = folder.join(format!("{life}.err"));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["dev", "--no-sample", "--slots", "12", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--data")
            .arg(data)
            .env("RUST_LOG", "warn")
            .env("NEXUS_SECRET_LIFE", life)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).expect("a file for its words"));
        if !failpoints.is_empty() {
            command.env("FAILPOINTS", failpoints);
        }
        let started = Instant::now();
        let child = command.spawn().expect("nexus dev");
        Self {
            child: Guarded(child),
            life: life.to_owned(),
            said,
            started,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it serves: the time since its start, or how it ended instead.
    ///
    /// # Errors
    /// When it ended before.
    ///
    /// # Panics
    /// When it does neither in time.
    pub fn wait_ready(&mut self) -> Result<Duration, ExitStatus> {
        loop {
            if self.said().contains("ready in") {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.0.try_wait().expect("wait") {
                return Err(status);
            }
            assert!(
                self.started.elapsed() < DEADLINE,
                "nexus dev is not ready: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.0.try_wait().expect("wait")
    }

    /// Kills it without warning and waits until it is dead.
    ///
    /// # Panics
    /// When it was dead already: then somebody else killed it.
    pub fn kill(&mut self) {
        assert!(self.ended().is_none(), "{} died by itself: {}", self.life, self.said());
        signal(self.pid(), Signal::SIGKILL);
        let status = self.child.0.wait().expect("wait");
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), Signal::SIGTERM);
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The witness's process.
#[derive(Debug)]
pub(crate) struct WitnessProcess {
    _child: Guarded,
    pub(crate) address: SocketAddr,
}

impl WitnessProcess {
    pub(crate) fn spawn(file: &Path) -> Self {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(binary("nexus-witness"))
            .arg("--file")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nexus-witness");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its address");
        let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
        Self {
            _child: Guarded(child),
            address: address.unwrap_or_else(|| panic!("the witness says {line:?}")),
        }
    }
}

/// A worker outside of `nexus dev`.
#[derive(Debug)]
pub struct Outside {
    child: Guarded,
    /// What names it to the witness.
    pub life: String,
}

impl Outside {
    /// Starts one; `mode` is `poll` or `stream`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(life: &str, mode: &str, server: &str, witness: SocketAddr, ledger: &Path, first_op: u64) -> Self {
        let child = Command::new(binary("nexus-outside-worker"))
            .args(["--life", life, "--mode", mode, "--server", server])
            .arg("--witness")
            .arg(witness.to_string())
            .arg("--ledger")
            .arg(ledger)
            .arg("--first-op")
            .arg(first_op.to_string())
            .stdin(Stdio::null())
            .spawn()
            .expect("nexus-outside-worker");
        Self {
            child: Guarded(child),
            life: life.to_owned(),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Kills it without warning and waits until it is dead.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(&mut self) {
        signal(self.pid(), Signal::SIGKILL);
        self.child.0.wait().expect("wait");
    }
}

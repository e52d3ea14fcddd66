//! One run: a folder, a witness, a ledger, and the lives of one `nexus dev` on the same data and port.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nexus_verify::witness::{Record, Said, tell};
use nexus_verify::{Findings, Inputs, Source, verify};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::WitnessProcess;
use crate::{DEADLINE, Load, Nexus, now_ns, signal};

/// One run.
#[derive(Debug)]
pub struct Arena {
    folder: TempDir,
    witness: WitnessProcess,
    port: u16,
    lives: u32,
    wrap: Vec<String>,
    data: PathBuf,
    /// When the last process died, in nanoseconds since the epoch.
    pub died_ns: i64,
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// A run in a fresh folder.
    ///
    /// # Panics
    /// When the folder or a port cannot be had.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("faults-").tempdir().expect("folder");
        let witness = WitnessProcess::spawn(&folder.path().join("witness.log"));
        // A port that is free now and stays the same over all lives, so that clients find their way back.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("port")
            .port();
        Self {
            data: folder.path().join("data"),
            folder,
            witness,
            port,
            lives: 0,
            wrap: Vec::new(),
            died_ns: 0,
        }
    }

    /// Runs NEXUS through another command (in a namespace), with its data elsewhere.
    pub fn within(&mut self, wrap: Vec<String>, data: PathBuf) {
        self.wrap = wrap;
        self.data = data;
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory, as NEXUS names it.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where NEXUS listens.
    #[must_use]
    pub fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the witness listens.
    #[must_use]
    pub fn witness(&self) -> SocketAddr {
        self.witness.address
    }

    /// The witness's file.
    #[must_use]
    pub fn witness_file(&self) -> PathBuf {
        self.folder().join("witness.log")
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger_file(&self) -> PathBuf {
        self.folder().join("ledger.log")
    }

    /// Clients of this run.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::new(&self.server(), self.witness().to_string(), &self.ledger_file())
    }

    /// Further clients of this run; those of each number have keys and calls of their own.
    #[must_use]
    pub fn load_numbered(&self, number: u64) -> Load {
        Load::numbered(&self.server(), self.witness().to_string(), &self.ledger_file(), number)
    }

    /// Tells the witness what is done to a process.
    ///
    /// # Panics
    /// When the witness is away.
    pub fn mark(&self, what: &str, life: &str, note: &str) {
        tell(self.witness(), &format!("mark {what} {life} {note}")).expect("the witness is there");
    }

    /// Begins a new life. It need not be ready yet.
    pub fn spawn(&mut self, failpoints: &str) -> Nexus {
        self.lives += 1;
        let life = format!("life-{:04}", self.lives);
        self.mark("life", &life, failpoints);
        Nexus::spawn(self.folder.path(), &self.data, self.port, &life, &self.wrap, failpoints)
    }

    /// Begins a new life and waits until it serves.
    ///
    /// # Panics
    /// When it dies instead.
    pub fn start(&mut self) -> Nexus {
        let mut nexus = self.spawn("");
        nexus
            .wait_ready()
            .unwrap_or_else(|status| panic!("nexus dev ended with {status}: {}", nexus.said()));
        self.mark("ready", &nexus.life, "");
        nexus
    }

    /// Kills a life without warning.
    pub fn kill(&mut self, nexus: &mut Nexus) {
        nexus.kill();
        self.died(nexus, "kill -9");
    }

    /// Notes that a life is over.
    pub fn died(&mut self, nexus: &Nexus, how: &str) {
        self.died_ns = now_ns();
        self.mark("killed", &nexus.life, how);
    }

    /// Waits until a life ends by the signal of a failpoint.
    ///
    /// # Panics
    /// When it does not die, or dies in another way: then the point was not hit, and the run does not count.
    pub async fn wait_for_death(&mut self, nexus: &mut Nexus, why: &str) {
        let deadline = Instant::now() + DEADLINE / 2;
        loop {
            if let Some(status) = nexus.ended() {
                assert_eq!(status.signal(), Some(9), "{why}: {status}\n{}", nexus.said());
                return self.died(nexus, why);
            }
            assert!(Instant::now() < deadline, "{why} was not hit\n{}", nexus.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Freezes a process for a while.
    pub async fn freeze(&self, pid: u32, life: &str, length: Duration) {
        signal(pid, Signal::SIGSTOP);
        self.mark("stopped", life, "");
        tokio::time::sleep(length).await;
        // Said before it is true: what wakes may speak at once.
        self.mark("continued", life, "");
        signal(pid, Signal::SIGCONT);
    }

    /// The witness's lines so far.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn witnessed(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(self.witness_file()).expect("witness");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().map(serde_json::from_str);
        records.collect::<Result<_, _>>().expect("the witness's lines")
    }

    /// When tasks began, in nanoseconds since the epoch, of those that `wanted` names by (run, time).
    #[must_use]
    pub fn begins(&self, wanted: impl Fn(&nexus_verify::witness::Run) -> bool) -> Vec<i64> {
        let records = self.witnessed().into_iter();
        records
            .filter_map(|record| match record.said {
                Said::Begin { run } if wanted(&run) => Some(record.at_ns),
                _ => None,
            })
            .collect()
    }

    /// Waits until a task has begun in a life: the time since the last death.
    pub async fn first_task_after_death(&self, life: &str) -> Duration {
        let deadline = Instant::now() + DEADLINE / 2;
        loop {
            if let Some(first) = self.begins(|run| run.life == life).first() {
                return Duration::from_nanos(u64::try_from(first - self.died_ns).unwrap_or(0));
            }
            assert!(Instant::now() < deadline, "no task begins in {life}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What nexus-verify says of everything, now that everything should have ended.
    ///
    /// # Panics
    /// When something cannot be read.
    pub async fn judge(&self) -> Findings {
        self.judge_data(&self.data, Some(now_ns())).await
    }

    /// What nexus-verify says of a data directory.
    ///
    /// # Panics
    /// When something cannot be read.
    pub async fn judge_data(&self, data: &Path, quiet_since: Option<i64>) -> Findings {
        let inputs = Inputs {
            source: Source::Directory(data.to_owned()),
            shards: None,
            witness: Some(self.witness_file()),
            ledger: Some(self.ledger_file()),
            quiet_since,
            lazy_ms: None,
            wrong_clocks: false,
        };
        verify(&inputs).await.expect("verify")
    }

    /// Fails when something was broken, keeping the folder for whoever looks for the cause.
    ///
    /// # Panics
    /// When something was broken.
    pub fn require_no_breach(self, findings: &Findings) {
        if !findings.breaches().is_empty() {
            let folder = self.folder.keep();
            panic!(
                "{}\n{}\nkept in {}",
                findings.report(),
                findings.summary(),
                folder.display()
            );
        }
    }
}

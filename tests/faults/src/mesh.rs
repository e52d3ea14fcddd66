//! One run of a mesh: the fleet, a witness, a ledger, an eye on the shards, a page for tasks to fetch, and the verdict.

mod seen;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::transport::{ClientOptions, connect_balanced};
use nexus_verify::witness::tell;
use nexus_verify::{Findings, Inputs, Source, shards, verify};
use sqlx::Row;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::process::WitnessProcess;
use crate::{Load, Outside, eventually, now_ns};

/// Meshes at a time: most of a run is waiting, but its bounds are of seconds and the machine may be small.
static FEW: Semaphore = Semaphore::const_new(3);
/// Longest wait for the end of everything once the load has ended.
const QUIET: Duration = Duration::from_secs(90);

/// Waits for the turn of a run.
///
/// # Panics
/// Never: nobody closes the semaphore.
pub async fn one_of_few() -> SemaphorePermit<'static> {
    FEW.acquire().await.expect("open")
}

/// Whether the whole set is wanted: `NEXUS_CHAOS_ALL`.
#[must_use]
pub fn whole_set() -> bool {
    std::env::var_os("NEXUS_CHAOS_ALL").is_some()
}

/// How long everything is killed in turn: `NEXUS_CHAOS_SECONDS`, or the short set's.
///
/// # Panics
/// When the variable holds no number.
#[must_use]
pub fn chaos_seconds() -> u64 {
    std::env::var("NEXUS_CHAOS_SECONDS").map_or(40, |text| text.parse().expect("NEXUS_CHAOS_SECONDS is a number"))
}

/// One run of a mesh.
#[derive(Debug)]
pub struct MeshArena {
    /// The processes.
    pub mesh: Mesh,
    /// The clocks of the processes are wrong.
    pub wrong_clocks: bool,
    witness: WitnessProcess,
    helpers: Vec<JoinHandle<()>>,
    web: SocketAddr,
    _turn: SemaphorePermit<'static>,
}

impl Drop for MeshArena {
    fn drop(&mut self) {
        self.helpers.iter().for_each(JoinHandle::abort);
        if std::thread::panicking() {
            eprintln!("logs, witness and ledger are kept in {}", self.mesh.keep().display());
        }
    }
}

impl MeshArena {
    /// A mesh that is ready, when its turn has come.
    ///
    /// # Panics
    /// When it cannot be had.
    pub async fn start(shape: Shape) -> Self {
        Self::start_with(shape, |_| ()).await
    }

    /// The same; `prepare` sees the mesh before any of its nodes is started.
    ///
    /// # Panics
    /// When it cannot be had.
    pub async fn start_with(shape: Shape, prepare: impl FnOnce(&mut Mesh)) -> Self {
        let turn = one_of_few().await;
        let mut mesh = Mesh::prepare(shape).await.expect("a mesh");
        prepare(&mut mesh);
        let witness = WitnessProcess::spawn(&mesh.folder().join("witness.log"));
        let (url, seen) = (mesh.database().to_owned(), mesh.folder().join("shards.log"));
        std::fs::write(&seen, "").expect("a file for the shards");
        let eye = tokio::spawn(async move { shards::watch(&url, &seen).await.expect("shards.log") });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let web = listener.local_addr().expect("address");
        let page = tokio::spawn(serve_page(listener));
        for node in mesh.nodes() {
            tell(witness.address, &format!("mark life {}.1 ", node.name())).expect("the witness is there");
            node.start("").expect("a node");
        }
        mesh.ready().await.expect("a mesh that is ready");
        let arena = Self {
            mesh,
            wrong_clocks: false,
            witness,
            helpers: vec![eye, page],
            web,
            _turn: turn,
        };
        arena.settled().await;
        arena
    }

    /// Waits until every shard has an owner that lives and each replica has its share.
    pub async fn settled(&self) {
        eventually("every shard has an owner", Duration::from_secs(30), async || {
            let rows = self.ask("SELECT count(*), count(DISTINCT owner) FROM execution.shards s JOIN execution.replicas r USING (owner)").await;
            let replicas = self.ask("SELECT count(*) FROM execution.replicas").await;
            rows.first().is_some_and(|row| {
                let (owned, owners): (i64, i64) = (row.get(0), row.get(1));
                owned == 64 && replicas.first().is_some_and(|row| row.get::<i64, _>(0) == owners)
            })
        })
        .await;
    }

    /// Clients of this run.
    #[must_use]
    pub fn load(&self) -> Load {
        self.load_numbered(0)
    }

    /// Further clients, with keys and calls of their own.
    ///
    /// # Panics
    /// When the mesh has no addresses.
    #[must_use]
    pub fn load_numbered(&self, number: u64) -> Load {
        let way = |address: &str| connect_balanced(address, &ClientOptions::default()).expect("addresses");
        let mut load = Load::over(
            way(&self.mesh.execution()),
            way(&self.mesh.definitions()),
            self.witness.address.to_string(),
            &self.ledger_file(),
            number,
        );
        load.web = format!("http://{}/", self.web);
        load
    }

    /// Clients of one replica alone.
    #[must_use]
    pub fn load_at(&self, server: &str, number: u64) -> Load {
        Load::numbered(server, self.witness.address.to_string(), &self.ledger_file(), number)
    }

    /// A worker outside of the mesh, which speaks the protocol by hand.
    #[must_use]
    pub fn outside(&self, number: u64, mode: &str) -> Outside {
        let life = format!("outside-{number}");
        let server = self.mesh.execution();
        let ledger = self.ledger_file();
        Outside::spawn(
            &life,
            mode,
            &server,
            self.witness.address,
            &ledger,
            (900 + number) * 1_000_000_000,
        )
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger_file(&self) -> PathBuf {
        self.mesh.folder().join("ledger.log")
    }

    /// Tells the witness what is done to a process.
    ///
    /// # Panics
    /// When the witness is away.
    pub fn mark(&self, what: &str, life: &str, note: &str) {
        tell(self.witness.address, &format!("mark {what} {life} {note}")).expect("the witness is there");
    }

    /// Kills a node without warning; when, in nanoseconds since the epoch.
    ///
    /// # Panics
    /// When it was dead already.
    pub fn kill(&mut self, role: Role, number: usize) -> i64 {
        let node = self.mesh.node(role, number);
        let life = node.life();
        node.kill().unwrap_or_else(|error| panic!("{error}"));
        let at = now_ns();
        self.mark("killed", &life, "kill -9");
        at
    }

    /// Begins a new life of a node. It need not be ready yet.
    ///
    /// # Panics
    /// When it lives.
    pub fn revive(&mut self, role: Role, number: usize, failpoints: &str) {
        let node = self.mesh.node(role, number);
        node.start(failpoints).unwrap_or_else(|error| panic!("{error}"));
        let life = node.life();
        self.mark("life", &life, failpoints);
    }

    /// Stops a node in order.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn stop(&mut self, role: Role, number: usize) {
        let node = self.mesh.node(role, number);
        let life = node.life();
        node.stop().await.unwrap_or_else(|error| panic!("{error}"));
        self.mark("ended", &life, "SIGTERM");
    }

    /// Stops a node in order, with its exit code and the time that it took, and begins a new life that is ready.
    ///
    /// # Panics
    /// When it does not end in time or the new one does not become ready.
    pub async fn roll(&mut self, role: Role, number: usize) -> nexus_fleet::Stopped {
        let node = self.mesh.node(role, number);
        let life = node.life();
        let stopped = node.stop().await.unwrap_or_else(|error| panic!("{error}"));
        self.mark("ended", &life, "SIGTERM");
        self.revive(role, number, "");
        let ready = self.mesh.node(role, number).ready().await;
        ready.unwrap_or_else(|error| panic!("{error}"));
        stopped
    }

    /// Freezes a node.
    pub fn freeze(&mut self, role: Role, number: usize) {
        let node = self.mesh.node(role, number);
        node.freeze();
        let life = node.life();
        self.mark("stopped", &life, "SIGSTOP");
    }

    /// Lets a frozen node go on.
    pub fn thaw(&mut self, role: Role, number: usize) {
        let life = self.mesh.node(role, number).life();
        // Said before it is true: what wakes may speak at once.
        self.mark("continued", &life, "SIGCONT");
        self.mesh.node(role, number).thaw();
    }

    /// What nexus-verify says of everything, now that everything should have ended.
    ///
    /// # Panics
    /// When something cannot be read, or does not end.
    pub async fn judge(&self) -> Findings {
        eventually("everything ends", QUIET, async || {
            let open = self
                .ask("SELECT count(*) FROM execution.executions WHERE finished_at IS NULL")
                .await;
            open.first().is_some_and(|row| row.get::<i64, _>(0) == 0)
        })
        .await;
        self.settled().await;
        verify(&self.inputs()).await.expect("verify")
    }

    /// What is compared.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        Inputs {
            source: Source::Postgres(self.mesh.database().to_owned()),
            witness: Some(self.mesh.folder().join("witness.log")),
            ledger: Some(self.ledger_file()),
            shards: Some(self.mesh.folder().join("shards.log")),
            quiet_since: Some(now_ns()),
            // In a mesh every lease is stored before its worker hears of it.
            lazy_ms: Some(0),
            wrong_clocks: self.wrong_clocks,
        }
    }

    /// Fails when a lease of a worker that lives was lost, saying which and by whose word, and keeping the folder.
    ///
    /// # Panics
    /// When one was lost.
    pub fn require_no_lost_lease(&mut self, findings: &Findings) {
        let lost = findings.counter("infra_losses");
        if lost > 0 {
            let said: Vec<String> = self.mesh.nodes().map(|node| node.said()).collect();
            let lines = said.iter().flat_map(|log| log.lines());
            let reasons: Vec<&str> = lines.filter(|line| line.contains("an attempt was lost")).collect();
            let folder = self.mesh.keep();
            panic!("{lost} leases were lost: {reasons:#?}\nkept in {}", folder.display());
        }
    }

    /// Fails when something was broken, keeping the folder for whoever looks for the cause.
    ///
    /// # Panics
    /// When something was broken.
    pub fn require_no_breach(&mut self, findings: &Findings) {
        if !findings.breaches().is_empty() {
            let folder = self.mesh.keep();
            panic!(
                "{}\n{}\nkept in {}",
                findings.report(),
                findings.summary(),
                folder.display()
            );
        }
    }
}

/// Answers every request with a page.
async fn serve_page(listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let mut request = vec![0; 4_096];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let page = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                drop(stream.write_all(page).await);
            }
        });
    }
}

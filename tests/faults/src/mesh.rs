//! One run of a mesh: the fleet, a witness, a ledger, an eye on the shards, a page for tasks to fetch, and the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::transport::{ClientOptions, connect_balanced};
use nexus_verify::witness::{Record, Run, Said, tell};
use nexus_verify::{Findings, Inputs, Source, shards, verify};
use sqlx::{Connection, PgConnection, Row};
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
        let turn = one_of_few().await;
        let mut mesh = Mesh::prepare(shape).await.expect("a mesh");
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

    /// Rows of a question to the database itself; none while it is away.
    pub async fn ask(&self, statement: &'static str) -> Vec<sqlx::postgres::PgRow> {
        let asked = async {
            let mut connection = PgConnection::connect(self.mesh.database()).await?;
            sqlx::query(statement).fetch_all(&mut connection).await
        };
        let limit = Duration::from_secs(5);
        tokio::time::timeout(limit, asked)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default()
    }

    /// The shards that an execution replica owns.
    pub async fn shards_of(&mut self, number: usize) -> Vec<i16> {
        let address = self.mesh.node(Role::Execution, number).advertised();
        let rows = self
            .ask("SELECT s.id::smallint, r.address FROM execution.shards s JOIN execution.replicas r USING (owner)")
            .await;
        let mine = rows.iter().filter(|row| row.get::<String, _>(1) == address);
        mine.map(|row| row.get(0)).collect()
    }

    /// For every execution of some shards that was open at a moment: how long after it something was stored of it.
    /// Executions of which nothing was stored since are left out.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn went_on(&self, shards: &[i16], since_ns: i64) -> Vec<Duration> {
        let mut connection = PgConnection::connect(self.mesh.database()).await.expect("database");
        let rows = sqlx::query(
            "SELECT min(h.at) - $2 FROM execution.executions e JOIN execution.history h ON h.execution = e.id
             WHERE e.shard = ANY($1) AND e.created_at < $2 AND coalesce(e.finished_at, $2 + 1) > $2 AND h.at > $2
             GROUP BY e.id",
        )
        .bind(shards)
        .bind(since_ns / 1_000)
        .fetch_all(&mut connection)
        .await
        .expect("history");
        let took = |row: &sqlx::postgres::PgRow| Duration::from_micros(row.get::<i64, _>(0).unsigned_abs());
        rows.iter().map(took).collect()
    }

    /// The time from a moment to the first thing that is stored of some shards after it.
    ///
    /// # Panics
    /// When nothing is within a minute.
    pub async fn first_decision(&self, shards: &[i16], since_ns: i64) -> Duration {
        let since = since_ns / 1_000;
        let mut found = None;
        eventually("work of the shards goes on", Duration::from_secs(60), async || {
            let Ok(mut connection) = PgConnection::connect(self.mesh.database()).await else {
                return false;
            };
            let asked = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT min(h.at) FROM execution.history h JOIN execution.executions e ON e.id = h.execution
                 WHERE e.shard = ANY($1) AND h.at > $2",
            );
            found = asked
                .bind(shards)
                .bind(since)
                .fetch_one(&mut connection)
                .await
                .ok()
                .flatten();
            found.is_some()
        })
        .await;
        Duration::from_micros((found.unwrap_or(since) - since).unsigned_abs())
    }

    /// The witness's lines so far.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn witnessed(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(self.mesh.folder().join("witness.log")).expect("witness");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().map(serde_json::from_str);
        records.collect::<Result<_, _>>().expect("the witness's lines")
    }

    /// What began so far, with its time in nanoseconds since the epoch.
    #[must_use]
    pub fn begins(&self) -> Vec<(i64, Run)> {
        let begin = |record: Record| match record.said {
            Said::Begin { run } => Some((record.at_ns, run)),
            _ => None,
        };
        self.witnessed().into_iter().filter_map(begin).collect()
    }

    /// What had begun in a life and has not ended by its own word.
    #[must_use]
    pub fn open_runs(&self, life: &str) -> Vec<Run> {
        let mut open: Vec<Run> = Vec::new();
        for record in self.witnessed() {
            match record.said {
                Said::Begin { run } if run.life == life => open.push(run),
                Said::End { run, .. } => open.retain(|known| *known != run),
                _ => {}
            }
        }
        open
    }

    /// Runs that were made again although their worker went on and they had not failed.
    #[must_use]
    pub fn needless_repeats(&self) -> Vec<String> {
        let (mut last, mut failed, mut gone) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut repeats = Vec::new();
        for record in self.witnessed() {
            match record.said {
                Said::Begin { run } => {
                    let before: Option<Run> = last.insert((run.execution.clone(), run.task.clone()), run.clone());
                    let needless = before.filter(|run| !failed.contains(run) && !gone.contains(&run.life));
                    repeats.extend(needless.map(|before| format!("{before:?} and again {run:?}")));
                }
                Said::End { run, ok: false, .. } => drop(failed.insert(run)),
                Said::Mark { mark, life, .. } if mark != "life" => drop(gone.insert(life)),
                Said::End { .. } | Said::Mark { .. } => {}
            }
        }
        repeats
    }

    /// Waits until so many more tasks have begun.
    pub async fn some_begin(&self, more: usize) {
        let before = self.begins().len();
        eventually("tasks begin", Duration::from_secs(90), async || {
            self.begins().len() >= before + more
        })
        .await;
    }

    /// The time from a moment to the first task that begins after it.
    pub async fn first_begin(&self, since_ns: i64) -> Duration {
        let first = || self.begins().into_iter().map(|(at, _)| at).find(|at| *at > since_ns);
        eventually("a task begins", Duration::from_secs(60), async || first().is_some()).await;
        Duration::from_nanos((first().unwrap_or(since_ns) - since_ns).unsigned_abs())
    }

    /// The longest time without any begin between two moments.
    #[must_use]
    pub fn longest_pause(&self, from_ns: i64, until_ns: i64) -> Duration {
        let begins = self.begins().into_iter().map(|(at, _)| at);
        let inside = begins.filter(|at| (from_ns..until_ns).contains(at));
        let mut last = from_ns;
        let mut longest = 0;
        for at in inside.chain([until_ns]) {
            longest = longest.max(at - last);
            last = at;
        }
        Duration::from_nanos(longest.unsigned_abs())
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

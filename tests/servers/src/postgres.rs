//! A private Postgres.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::folder::Folder;
use crate::{DEADLINE, Error, PAUSE, TRIES, free_port, keeper, system};

/// The superuser of every private server; nobody needs a password.
pub(crate) const USER: &str = "nexus";

/// How a Postgres is run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether commits wait for the disk. Tests of crashes and benchmarks want it, others do not.
    pub fsync: bool,
    /// Connections at most.
    pub max_connections: u32,
    /// Further settings, `name=value`.
    pub settings: Vec<String>,
    /// A port instead of a free one.
    pub port: Option<u16>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            fsync: false,
            // Connections that a test let vanish stay open here until the server ends: some ten for each time.
            max_connections: 600,
            settings: Vec::new(),
            port: None,
        }
    }
}

/// A running Postgres; it is stopped when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: Folder,
    programs: PathBuf,
    options: PostgresOptions,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one and waits until it takes connections.
    ///
    /// # Errors
    /// When Postgres is not installed, or does not start.
    pub fn start(options: PostgresOptions) -> Result<Self, Error> {
        let folder = Folder::new()?;
        copy(&template(&programs()?)?, &folder.path().join("data"))?;
        if let Some((uid, gid)) = user()? {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).map_err(system("giving a directory away"))?;
        }
        Self::over(folder, options)
    }

    /// Starts one over the data in a folder.
    pub(crate) fn over(folder: Folder, options: PostgresOptions) -> Result<Self, Error> {
        let mut server = Self {
            folder,
            programs: programs()?,
            options,
            port: 0,
            child: None,
        };
        for tried in 1.. {
            server.port = server.options.port.map_or_else(free_port, Ok)?;
            match server.launch() {
                Err(Error::Failed { .. }) if tried < TRIES && server.options.port.is_none() => {}
                done => return done.map(|()| server),
            }
        }
        unreachable!("the last try returns")
    }

    /// The one server of this process for tests that only need some database, started by the first who asks. Commits do
    /// not wait for its disk.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = SHARED.get() {
            return Ok(server);
        }
        let server = Self::start(PostgresOptions::default())?;
        Ok(SHARED.get_or_init(|| server))
    }

    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// The address of the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The address of a database.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The directory of its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Creates a database and tells its address.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String, Error> {
        let create = async {
            let mut connection = PgConnection::connect(&self.url()).await?;
            // `template0` is never connected to, so creations do not disturb each other.
            let statement = format!("CREATE DATABASE \"{}\" TEMPLATE template0", name.replace('"', "\"\""));
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            connection.close().await
        };
        create.await.map_err(|source| Error::Database {
            name: name.to_owned(),
            source,
        })?;
        Ok(self.url_of(name))
    }

    /// Creates a database with a name that nobody else has and tells its address.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn fresh_database(&self) -> Result<String, Error> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name).await
    }

    /// Stops it: transactions that are open are rolled back. Its data stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            keeper::end(&mut child, Signal::SIGINT, DEADLINE);
        }
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is dead. Its data stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again with the same data on the same port. Does nothing when it runs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Ok(());
        }
        // The processes of a killed server notice within moments that it is gone; until then the data is in use.
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.launch() {
                Err(Error::Failed { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100))
                }
                done => return done,
            }
        }
    }

    fn launch(&mut self) -> Result<(), Error> {
        let log = self.folder.path().join("log");
        let data = self.folder.path().join("data");
        let output = std::fs::File::create(&log).map_err(system("creating the log of postgres"))?;
        let program = self.programs.join("postgres").display().to_string();
        // Asked with SIGQUIT a server ends at once and leaves no shared memory behind, which it would after SIGKILL.
        let mut command = keeper::command(&program, user()?, "QUIT");
        let on = if self.options.fsync { "on" } else { "off" };
        command
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(self.folder.path())
            .args(["-h", "127.0.0.1", "-p"])
            .arg(self.port.to_string());
        let settings = [
            format!("fsync={on}"),
            format!("full_page_writes={on}"),
            format!("max_connections={}", self.options.max_connections),
            "shared_buffers=64MB".to_owned(),
            "unix_socket_permissions=0777".to_owned(),
        ];
        for setting in settings.iter().chain(&self.options.settings) {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        command.current_dir(self.folder.path());
        let mut child = keeper::spawn(command).map_err(system("starting postgres"))?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let ended = !matches!(child.try_wait(), Ok(None));
            if !ended && is_ready(&data, child.id()) {
                self.child = Some(child);
                return Ok(());
            }
            if ended || Instant::now() >= deadline {
                keeper::end(&mut child, Signal::SIGQUIT, Duration::from_secs(5));
                return Err(Error::Failed {
                    what: "postgres".to_owned(),
                    said: std::fs::read_to_string(&log).unwrap_or_default(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The data goes with it, so nothing needs to be written out.
            keeper::end(&mut child, Signal::SIGQUIT, Duration::from_secs(10));
        }
    }
}

/// Whether the server says in its lock file that it takes connections; a former life's file names another process.
fn is_ready(data: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().is_some_and(|first| first.trim() == pid.to_string())
        && lines
            .nth(6)
            .is_some_and(|status| ["ready", "standby"].contains(&status.trim()))
}

/// The directory of Postgres's programs: that of PATH, or Debian's newest.
pub(crate) fn programs() -> Result<PathBuf, Error> {
    let needed = ["initdb", "postgres", "pg_basebackup"];
    let complete = |directory: &PathBuf| needed.iter().all(|name| directory.join(name).is_file());
    // What is on the PATH may be a link to where all of them are.
    let found = keeper::find("initdb").and_then(|path| path.canonicalize().ok());
    if let Some(directory) = found.as_deref().and_then(Path::parent).map(PathBuf::from)
        && complete(&directory)
    {
        return Ok(directory);
    }
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort_by_key(number);
    let newest = versions.iter().rev().map(|version| version.join("bin")).find(complete);
    newest.ok_or(Error::Missing { program: "postgres" })
}

/// Whom Postgres runs as: it refuses root.
pub(crate) fn user() -> Result<Option<(u32, u32)>, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let found = nix::unistd::User::from_name("postgres").map_err(|error| system("looking up a user")(error.into()))?;
    let user = found.ok_or(Error::Missing {
        program: "the user `postgres`, as which a server of root's runs,",
    })?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

/// What `initdb` makes, made once a process: copying it takes a fraction of the time.
fn template(programs: &Path) -> Result<PathBuf, Error> {
    static TEMPLATE: Mutex<Option<Folder>> = Mutex::new(None);
    let mut made = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*made {
        return Ok(folder.path().join("data"));
    }
    let folder = Folder::new()?;
    let data = folder.path().join("data");
    let user = user()?;
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).map_err(system("giving a directory away"))?;
    }
    let mut command = keeper::command(&programs.join("initdb").display().to_string(), user, "KILL");
    command
        .args(["-U", USER, "-A", "trust", "-N", "--locale=C", "--encoding=UTF8", "-D"])
        .arg(&data)
        .current_dir(folder.path());
    run("initdb", command)?;
    *made = Some(folder);
    Ok(data)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run("cp", command)
}

/// Runs a command to its end. It ends before this thread does, so any thread may start it.
pub(crate) fn run(what: &str, mut command: Command) -> Result<(), Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(system(format!("running {what}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        what: what.to_owned(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

//! A private MariaDB, for the tests of SQL tasks.

use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::folder::Folder;
use crate::{DEADLINE, Error, PAUSE, TRIES, free_port, keeper, system};

/// A running MariaDB; it is killed when it is dropped.
#[derive(Debug)]
pub struct MariaDb {
    folder: Folder,
    port: u16,
    child: Option<Child>,
}

impl MariaDb {
    /// Starts one and waits until it takes connections.
    ///
    /// # Errors
    /// When MariaDB is not installed, or does not start.
    pub fn start() -> Result<Self, Error> {
        let folder = Folder::new()?;
        let mut server = Self {
            folder,
            port: 0,
            child: None,
        };
        server.install()?;
        for tried in 1.. {
            server.port = free_port()?;
            match server.launch() {
                Err(Error::Failed { .. }) if tried < TRIES => {}
                done => return done.map(|()| server),
            }
        }
        unreachable!("the last try returns")
    }

    /// The one server of this process for tests that only need some database, started by the first who asks.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = SHARED.get() {
            return Ok(server);
        }
        let server = Self::start()?;
        Ok(SHARED.get_or_init(|| server))
    }

    /// The address of its database `test`, of which everybody who reaches it is the master.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/test", self.port)
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it without warning and waits until it is dead.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Makes its data directory.
    fn install(&self) -> Result<(), Error> {
        let program = program("mariadb-install-db")?;
        if let Some((uid, gid)) = user() {
            std::os::unix::fs::chown(self.folder.path(), Some(uid), Some(gid))
                .map_err(system("giving a directory away"))?;
        }
        let mut command = keeper::command(&program, user(), "KILL");
        command.arg("--no-defaults").arg(self.data()).arg(self.tmp()).args([
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-log-bin",
        ]);
        command.current_dir(self.folder.path());
        crate::postgres::run("mariadb-install-db", command)?;
        let test = self.folder.path().join("data/test");
        std::fs::create_dir_all(&test).map_err(system("creating a database"))?;
        if let Some((uid, gid)) = user() {
            std::os::unix::fs::chown(&test, Some(uid), Some(gid)).map_err(system("giving a directory away"))?;
        }
        Ok(())
    }

    fn data(&self) -> String {
        format!("--datadir={}", self.folder.path().join("data").display())
    }

    fn tmp(&self) -> String {
        format!("--tmpdir={}", self.folder.path().display())
    }

    fn launch(&mut self) -> Result<(), Error> {
        let log = self.folder.path().join("log");
        let output = std::fs::File::create(&log).map_err(system("creating the log of mariadbd"))?;
        let mut command: Command = keeper::command(&program("mariadbd")?, user(), "KILL");
        command.arg("--no-defaults").arg(self.data()).arg(self.tmp());
        for (name, file) in [("socket", "s"), ("pid-file", "pid")] {
            command.arg(format!("--{name}={}", self.folder.path().join(file).display()));
        }
        if nix::unistd::geteuid().is_root() && user().is_none() {
            command.arg("--user=root");
        }
        command
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            .args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .current_dir(self.folder.path());
        let mut child = keeper::spawn(command).map_err(system("starting mariadbd"))?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let ended = !matches!(child.try_wait(), Ok(None));
            if !ended && greets(self.port) {
                self.child = Some(child);
                return Ok(());
            }
            if ended || Instant::now() >= deadline {
                keeper::end(&mut child, Signal::SIGKILL, Duration::from_secs(5));
                return Err(Error::Failed {
                    what: "mariadbd".to_owned(),
                    said: std::fs::read_to_string(&log).unwrap_or_default(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program on PATH, or where Debian has those of administrators.
fn program(name: &'static str) -> Result<String, Error> {
    let sbin = || Some(std::path::Path::new("/usr/sbin").join(name)).filter(|path| path.is_file());
    let found = keeper::find(name).or_else(sbin);
    found
        .map(|path| path.display().to_string())
        .ok_or(Error::Missing { program: name })
}

/// Whom it runs as: root's does not run as root where the user of Debian's package is there.
fn user() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = nix::unistd::User::from_name("mysql").ok()??;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// Whether a server says its version there, as MariaDB does first of all.
fn greets(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        // The version of the protocol; 255 begins a refusal.
        Ok(head[4] == 10)
    };
    ask().unwrap_or(false)
}

//! A private Redis without persistence.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::folder::Folder;
use crate::{DEADLINE, Error, PAUSE, TRIES, free_port, keeper, system};

/// How a Redis is run.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Further words of its command line, e.g. `--maxmemory 8mb`; they win over the usual ones.
    pub arguments: Vec<String>,
    /// A port instead of a free one.
    pub port: Option<u16>,
}

/// A running Redis; it is killed when it is dropped.
#[derive(Debug)]
pub struct Redis {
    folder: Folder,
    options: RedisOptions,
    port: u16,
    child: Option<Child>,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not start.
    pub fn start(options: RedisOptions) -> Result<Self, Error> {
        let folder = Folder::new()?;
        let mut redis = Self {
            folder,
            port: 0,
            options,
            child: None,
        };
        for tried in 1.. {
            redis.port = redis.options.port.map_or_else(free_port, Ok)?;
            match redis.resume() {
                Err(Error::Failed { .. }) if tried < TRIES && redis.options.port.is_none() => {}
                done => return done.map(|()| redis),
            }
        }
        unreachable!("the last try returns")
    }

    /// Its address: `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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

    /// A replica of this one, which has what this one has and follows it.
    ///
    /// # Errors
    /// When it does not start, or does not catch up.
    pub fn replica(&self) -> Result<Self, Error> {
        let mut options = RedisOptions {
            port: None,
            ..self.options.clone()
        };
        options
            .arguments
            .extend(["--repl-diskless-sync-delay".into(), "0".into()]);
        let replica = Self::start(options)?;
        replica.say(&format!("REPLICAOF 127.0.0.1 {}", self.port))?;
        let deadline = Instant::now() + DEADLINE;
        while !replica.say("INFO replication")?.contains("master_link_status:up") {
            if Instant::now() >= deadline {
                return Err(Error::Failed {
                    what: "redis-server".to_owned(),
                    said: "the replica does not catch up".to_owned(),
                });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(replica)
    }

    /// Lets a replica take over: it follows nobody any more and takes writes.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn promote(&self) -> Result<(), Error> {
        self.say("REPLICAOF NO ONE").map(drop)
    }

    /// Its answer to a command without arguments that hold spaces; the first 16 KiB.
    ///
    /// # Errors
    /// When it does not answer within a second.
    pub fn say(&self, command: &str) -> Result<String, Error> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(format!("{command}\r\n").as_bytes())?;
            let mut answer = vec![0; 16 << 10];
            let length = stream.read(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        ask().map_err(system(format!("asking redis-server to {command}")))
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            keeper::end(&mut child, Signal::SIGTERM, DEADLINE);
        }
    }

    /// Kills it without warning and waits until it is dead.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Freezes it: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        if let Some(child) = &self.child {
            keeper::signal(child, Signal::SIGSTOP);
        }
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) {
        if let Some(child) = &self.child {
            keeper::signal(child, Signal::SIGCONT);
        }
    }

    /// Starts it again on the same port, empty. Does nothing when it runs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Ok(());
        }
        let program = keeper::find("redis-server").ok_or(Error::Missing {
            program: "redis-server",
        })?;
        let log = self.folder.path().join("log");
        let output = || std::fs::File::create(&log).map_err(system("creating the log of redis-server"));
        let mut command = keeper::command(&program.display().to_string(), None, "KILL");
        command
            .args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .args(["--maxmemory-policy", "noeviction", "--port"])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.options.arguments)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(Stdio::null());
        let mut child = keeper::spawn(command).map_err(system("starting redis-server"))?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let ended = !matches!(child.try_wait(), Ok(None));
            // Somebody else may answer on the port; then this one has ended, or is about to.
            if !ended && answers(self.port) {
                self.child = Some(child);
                return Ok(());
            }
            if ended || Instant::now() >= deadline {
                drop(child.kill());
                drop(child.wait());
                return Err(Error::Failed {
                    what: "redis-server".to_owned(),
                    said: std::fs::read_to_string(&log).unwrap_or_default(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        // One that wants a password first answers as well.
        Ok([b"+PONG", b"-NOAU"].contains(&&answer))
    };
    ask().unwrap_or(false)
}

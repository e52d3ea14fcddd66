//! A `nexus dev`: a process of its own on a folder of its own; and where the program and the folders are.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nexus_api::feed::v1::RegisterReaderRequest;
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use tempfile::TempDir;

use crate::error::{BenchError, broken};
use crate::options::Options;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where to find the program and where to put its data.
#[derive(Debug)]
pub(crate) struct Place {
    binary: PathBuf,
    folder: PathBuf,
    has_metrics: bool,
    reader: bool,
}

impl Place {
    pub(crate) fn find(options: &Options) -> Result<Self, BenchError> {
        let own = std::env::current_exe()?;
        let beside = parent(&own);
        let binary = options.binary.clone().unwrap_or_else(|| beside.join("nexus"));
        if !binary.is_file() {
            return Err(broken(format!(
                "{} is missing: build it (`cargo build --release -p nexus`) or name one with --binary",
                binary.display()
            )));
        }
        // The system's folder for temporary files may be in memory, where a commit costs nothing.
        let folder = options.folder.clone().unwrap_or_else(|| parent(&beside).join("bench"));
        std::fs::create_dir_all(&folder)?;
        let help = Command::new(&binary).args(["dev", "--help"]).output()?;
        Ok(Self {
            binary: binary.canonicalize()?,
            folder: folder.canonicalize()?,
            has_metrics: String::from_utf8_lossy(&help.stdout).contains("--metrics"),
            reader: options.reader,
        })
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A fresh folder on the file system that is measured; removed when dropped.
    pub(crate) fn fresh(&self) -> Result<TempDir, BenchError> {
        Ok(tempfile::Builder::new().prefix("run-").tempdir_in(&self.folder)?)
    }
}

/// Registers a reader of the feed. On a thread and with a runtime of its own: whoever starts a process has none, or is in one.
fn register(address: &str) -> Result<(), BenchError> {
    let address = address.to_owned();
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let transport = nexus_mesh::transport::connect(&address).map_err(|error| broken(error.to_string()))?;
            let request = RegisterReaderRequest {
                reader: "bench".into(),
                ..RegisterReaderRequest::default()
            };
            let registered = FeedServiceClient::new(transport).register_reader(request).await;
            registered.map(drop).map_err(|status| broken(status.to_string()))
        })
    });
    asking
        .join()
        .map_err(|_| broken("the reader could not be registered"))?
}

/// A running `nexus dev`; killed when dropped.
pub(crate) struct Dev {
    child: Child,
    address: String,
    metrics: Option<String>,
    folder: Option<TempDir>,
    /// From before the start of the process to its line that it is ready.
    pub(crate) ready_ms: f64,
    /// The seconds that this line names.
    pub(crate) printed_ready_ms: f64,
}

impl Dev {
    /// Starts one on a folder.
    pub(crate) fn start_on(place: &Place, folder: TempDir) -> Result<Self, BenchError> {
        Self::start_with(place, folder, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(place: &Place, folder: TempDir, args: &[&str]) -> Result<Self, BenchError> {
        let metrics = place.has_metrics.then(free_address).transpose()?;
        let begun = Instant::now();
        let mut command = Command::new(&place.binary);
        command
            .args(["dev", "--no-sample", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .args(args)
            .current_dir(folder.path())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(address) = &metrics {
            command.args(["--metrics", address]);
        }
        let mut child = command.spawn()?;
        let lines = child.stderr.take().map(read_lines);
        let mut server = Self {
            child,
            address: String::new(),
            metrics,
            folder: Some(folder),
            ready_ms: 0.0,
            printed_ready_ms: 0.0,
        };
        let ready = lines.map_or(Err(String::new()), |lines| wait_for_ready(&lines));
        let ready = ready.map_err(|said| broken(format!("nexus dev did not get ready; it said:\n{said}")))?;
        server.ready_ms = begun.elapsed().as_secs_f64() * 1e3;
        let word_after = |mark: &str| ready.split(mark).nth(1)?.split_whitespace().next();
        server.printed_ready_ms = word_after("ready in ")
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
            * 1e3;
        let port = word_after("http://").ok_or_else(|| broken(format!("no address in {ready:?}")))?;
        server.address = format!("http://{port}");
        if place.reader {
            register(&server.address)?;
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn metrics(&self) -> Option<&str> {
        self.metrics.as_deref()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and gives its folder back.
    pub(crate) fn stop(mut self) -> Result<TempDir, BenchError> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(broken("nexus dev did not stop"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.folder.take().ok_or_else(|| broken("the folder is gone"))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Gone already after a stop.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A free port of this machine. Somebody else may take it before the server does; then the start fails and says so.
fn free_address() -> Result<String, BenchError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Reads to the end, so that the server never waits for a reader.
fn read_lines(stderr: std::process::ChildStderr) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _nobody_listens_any_more = sender.send(line);
        }
    });
    lines
}

fn wait_for_ready(lines: &mpsc::Receiver<String>) -> Result<String, String> {
    let mut said = String::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if line.contains("ready in") => return Ok(line),
            Ok(line) => {
                said.push_str(&line);
                said.push('\n');
            }
            Err(_) => return Err(said),
        }
    }
}

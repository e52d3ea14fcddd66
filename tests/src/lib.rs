//! What the end-to-end tests share: a `nexus dev` of their own on a free port, reached over real sockets.

pub mod http;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nexus_api::definitions::v1::ApplyWorkflowRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Execution, ListTasksRequest, StartExecutionRequest, Task, WaitExecutionRequest};
use nexus_api::feed::v1::feed_service_client::FeedServiceClient;
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_mesh::{Transport, transport};
use tempfile::TempDir;
use tonic::Status;

/// Longest wait for anything; reached only by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The binary under test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NEXUS_BINARY") {
        return PathBuf::from(path);
    }
    // target/<profile>/deps/e2e-… → target/<profile>/nexus
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("target directory");
    let path = profile.join("nexus");
    assert!(path.exists(), "{} is missing: run `cargo build` first", path.display());
    path
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("root")
}

/// A running `nexus dev`; killed when dropped.
pub struct Dev {
    child: Child,
    address: String,
    /// Lines that it has written to standard error so far and will write.
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    folder: Option<TempDir>,
}

/// How to start a `nexus dev`.
#[derive(Default)]
pub struct DevOptions {
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Its folder; a fresh one when not said.
    pub folder: Option<TempDir>,
}

impl Dev {
    /// Starts one without the sample in a fresh folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(DevOptions {
            args: vec!["--no-sample".into()],
            ..DevOptions::default()
        })
    }

    /// Starts one.
    #[must_use]
    pub fn start_with(options: DevOptions) -> Self {
        let folder = options.folder.unwrap_or_else(|| tempfile::tempdir().expect("folder"));
        let mut child = Command::new(binary())
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(&options.args)
            .envs(options.env)
            .env("RUST_LOG", "warn")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nexus dev");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut dev = Self {
            child,
            address: String::new(),
            lines,
            seen: Vec::new(),
            folder: Some(folder),
        };
        let ready = dev.wait_for_line("ready in");
        let from = ready.find("http://").expect("the ready line has the address");
        dev.address = ready[from..].split_whitespace().next().expect("address").to_owned();
        dev
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the end").path()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it writes a line that contains a text, also when it has written it already.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| {
                panic!("nexus dev did not write {text:?}; it wrote:\n{}", self.seen.join("\n"));
            });
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Kills it without warning and starts it again on the same data.
    #[must_use]
    pub fn kill_and_restart(mut self, options: DevOptions) -> Self {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        let folder = self.folder.take();
        Self::start_with(DevOptions { folder, ..options })
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "nexus dev did not stop; it wrote:\n{}",
                self.seen.join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn transport(&self) -> Transport {
        transport::connect(&self.address).expect("address")
    }

    /// A way to it for calls about a namespace.
    #[must_use]
    pub fn way(&self, namespace: &str) -> Transport {
        let namespace = namespace.parse().expect("a namespace");
        transport::in_namespace(self.transport(), &namespace)
    }

    /// A client of the definitions service.
    #[must_use]
    pub fn definitions(&self) -> DefinitionsServiceClient<Transport> {
        DefinitionsServiceClient::new(self.transport())
    }

    /// A client of the execution service.
    #[must_use]
    pub fn executions(&self) -> ExecutionServiceClient<Transport> {
        ExecutionServiceClient::new(self.transport()).max_decoding_message_size(64 << 20)
    }

    /// A client of the feed.
    #[must_use]
    pub fn feed(&self) -> FeedServiceClient<Transport> {
        FeedServiceClient::new(self.transport()).max_decoding_message_size(64 << 20)
    }

    /// A client of the worker service.
    #[must_use]
    pub fn workers(&self) -> WorkerServiceClient<Transport> {
        WorkerServiceClient::new(self.transport())
    }

    /// Applies a workflow file.
    pub async fn apply(&self, source: &str) -> Result<String, Status> {
        let request = ApplyWorkflowRequest {
            source: source.into(),
            ..ApplyWorkflowRequest::default()
        };
        let answer = self.definitions().apply_workflow(request).await?.into_inner();
        Ok(answer.workflow.unwrap_or_default().name)
    }

    /// Applies a workflow file and starts it; the execution's id.
    pub async fn launch(&self, source: &str, params: &str) -> String {
        let workflow = self.apply(source).await.expect("apply");
        let request = StartExecutionRequest {
            workflow,
            params: params.into(),
            ..StartExecutionRequest::default()
        };
        let answer = self
            .executions()
            .start_execution(request)
            .await
            .expect("start")
            .into_inner();
        answer.execution.expect("execution").id
    }

    /// Waits until an execution is terminal.
    pub async fn wait(&self, execution: &str) -> Execution {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let request = WaitExecutionRequest {
                execution: execution.into(),
                timeout: None,
            };
            let answer = self
                .executions()
                .wait_execution(request)
                .await
                .expect("wait")
                .into_inner();
            let execution = answer.execution.expect("execution");
            if answer.done {
                return execution;
            }
            assert!(Instant::now() < deadline, "the execution did not end: {execution:?}");
        }
    }

    /// Applies, starts and waits.
    pub async fn run(&self, source: &str, params: &str) -> Execution {
        let id = self.launch(source, params).await;
        self.wait(&id).await
    }

    /// An execution's tasks.
    pub async fn tasks(&self, execution: &str) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut request = ListTasksRequest {
            execution: execution.into(),
            page_size: 1_000,
            ..ListTasksRequest::default()
        };
        loop {
            let page = self
                .executions()
                .list_tasks(request.clone())
                .await
                .expect("tasks")
                .into_inner();
            tasks.extend(page.tasks);
            if page.next_page_token.is_empty() {
                return tasks;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// One of an execution's tasks.
    pub async fn task(&self, execution: &str, id: &str) -> Task {
        self.tasks(execution)
            .await
            .into_iter()
            .find(|task| task.id == id)
            .expect("task")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Killed already when the test has stopped it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something holds.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

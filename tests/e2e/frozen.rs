//! A worker that was frozen with tasks in its socket: what it was leased before is somebody else's when it wakes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexus_api::execution::v1::execution::State;
use nexus_tests::{Dev, binary, eventually};

/// A `nexus serve` with the role worker; killed when dropped.
struct Worker(Child);

impl Worker {
    async fn start(server: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let listen = listener.local_addr().expect("address").to_string();
        drop(listener);
        let child = Command::new(binary())
            .args(["serve", "--roles", "worker", "--listen", &listen])
            .args(["--metrics-listen", "127.0.0.1:0", "--log", "warn"])
            .args(["--set", "worker.queues=far", "--set", "worker.slots=4"])
            .env("NEXUS_EXECUTION__ADDRESS", server)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nexus serve");
        let worker = Self(child);
        let address = format!("http://{listen}");
        eventually("the worker is ready", async || {
            let health = Command::new(binary()).args(["health", "--address", &address]).output();
            health.expect("nexus health").status.success()
        })
        .await;
        worker
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        Command::new("kill").args([name, &pid]).status().expect("kill");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the tasks have witnessed: `begin N` and `end N` with the attempt.
fn witnessed(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Freezes a worker with two tasks in its socket, lets another one take them, and wakes it while they run.
async fn frozen_for(freeze: Duration) {
    let dev = Dev::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("witness");
    let asleep = Worker::start(dev.address()).await;
    asleep.signal("-STOP");
    let stopped = Instant::now();
    // Long enough to run when the other one wakes.
    let work = freeze.as_secs() + 25;
    let tasks: Vec<String> = ["bash", "python"]
        .into_iter()
        .map(|kind| {
            let path = file.display();
            let body = if kind == "bash" {
                format!("bash: {{run: 'echo begin bash $NEXUS_ATTEMPT >> {path}; sleep {work}; echo end bash $NEXUS_ATTEMPT >> {path}'}}")
            } else {
                format!("python: {{code: \"import os, time\\ndef say(word):\\n    with open('{path}', 'a') as f:\\n        f.write('%s python %s\\\\n' % (word, os.environ['NEXUS_ATTEMPT']))\\ndef main():\\n    say('begin')\\n    time.sleep({work})\\n    say('end')\"}}")
            };
            format!("name: {kind}_far\ntasks:\n  a: {{queue: far, {body}}}\n")
        })
        .collect();
    let mut ids = Vec::new();
    for task in &tasks {
        dev.apply(task).await.expect("apply");
        ids.push(dev.launch(task, "{}").await);
    }
    // They are leased to the one that waits, and lie in its socket.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _awake = Worker::start(dev.address()).await;
    eventually("the other worker begins both", async || witnessed(&file).len() == 2).await;
    tokio::time::sleep_until((stopped + freeze).into()).await;
    assert_eq!(witnessed(&file).len(), 2, "both still run");
    asleep.signal("-CONT");
    // Whatever it makes of what it finds, it makes soon.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(
        witnessed(&file).len(),
        2,
        "nobody begins beside another: {:?}",
        witnessed(&file)
    );
    for id in ids {
        dev.executions()
            .cancel_execution(nexus_api::execution::v1::CancelExecutionRequest {
                execution: id.clone(),
                ..nexus_api::execution::v1::CancelExecutionRequest::default()
            })
            .await
            .expect("cancel");
        assert_eq!(dev.wait(&id).await.state(), State::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_for_little_more_than_a_lease_begins_nothing_stale() {
    // A lease of 20 s, and the patrol that looks for it.
    frozen_for(Duration::from_secs(26)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_for_three_leases_begins_nothing_stale() {
    frozen_for(Duration::from_secs(60)).await;
}

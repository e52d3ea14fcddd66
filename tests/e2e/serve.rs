//! `nexus serve` with the role worker, against a `nexus dev`: it takes work, survives its server, says whether it is
//! ready, and ends in order.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nexus_api::execution::v1::execution::State;
use nexus_tests::{DEADLINE, Dev, DevOptions, binary, eventually};

/// A `nexus serve`; killed when dropped.
struct Serve {
    child: Child,
    listen: SocketAddr,
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    listener.local_addr().expect("address")
}

impl Serve {
    fn worker(server: &str) -> Self {
        let listen = free_port();
        let child = Command::new(binary())
            .args(["serve", "--roles", "worker", "--listen", &listen.to_string()])
            .args(["--metrics-listen", "127.0.0.1:0", "--log", "warn"])
            .args(["--set", "worker.queues=far", "--set", "worker.slots=2"])
            .env("NEXUS_EXECUTION__ADDRESS", server)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nexus serve");
        Self { child, listen }
    }

    /// The exit code and the output of `nexus health`.
    fn health(&self) -> (Option<i32>, String) {
        let address = format!("http://{}", self.listen);
        let output = Command::new(binary()).args(["health", "--address", &address]).output();
        let output = output.expect("nexus health");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    }

    async fn ready(&self) {
        eventually("the worker is ready", async || {
            self.health() == (Some(0), "SERVING".into())
        })
        .await;
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < deadline, "nexus serve did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn far(script: &str) -> String {
    format!("name: far\ntasks: {{a: {{queue: far, bash: {{run: '{script}'}}}}}}\n")
}

#[tokio::test]
async fn a_worker_of_its_own_takes_work_and_finds_a_server_that_was_killed() {
    let dev = Dev::start();
    let address = dev.address().to_owned();
    let worker = Serve::worker(&address);
    worker.ready().await;
    assert_eq!(dev.run(&far("true"), "{}").await.state(), State::Succeeded);
    // A server at the same address, which is all that the worker knows.
    drop(dev);
    eventually("the worker says that it is alone", async || {
        worker.health().0 == Some(1)
    })
    .await;
    let port = address.trim_start_matches("http://").to_owned();
    let folder = tempfile::tempdir().expect("folder");
    let mut again = Command::new(binary())
        .args(["dev", "--no-sample", "--listen", &port])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .expect("nexus dev");
    worker.ready().await;
    again.kill().expect("kill");
    again.wait().expect("wait");
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_finishes_what_runs() {
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    });
    let mut worker = Serve::worker(dev.address());
    worker.ready().await;
    let execution = dev.launch(&far("sleep 1"), "{}").await;
    eventually("the task runs", async || {
        dev.task(&execution, "a").await.state() == nexus_api::execution::v1::task::State::Running
    })
    .await;
    worker.terminate();
    assert_eq!(worker.ended().code(), Some(0));
    assert_eq!(dev.wait(&execution).await.state(), State::Succeeded);
    assert_eq!(dev.task(&execution, "a").await.attempts, 1, "nothing ran twice");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_task_runs_elsewhere() {
    let dev = Dev::start();
    let mut worker = Serve::worker(dev.address());
    worker.ready().await;
    let execution = dev.launch(&far("sleep 3"), "{}").await;
    eventually("the task runs", async || {
        dev.task(&execution, "a").await.state() == nexus_api::execution::v1::task::State::Running
    })
    .await;
    worker.terminate();
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.terminate();
    assert_eq!(worker.ended().code(), Some(130));
    let _other = Serve::worker(dev.address());
    assert_eq!(dev.wait(&execution).await.state(), State::Succeeded);
}

#[test]
fn what_is_missing_or_wrong_is_said_and_nothing_starts() {
    let said = |args: &[&str]| {
        let output = Command::new(binary()).args(args).output().expect("nexus");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["serve", "--roles", "worker"]).contains("execution.address"));
    assert!(said(&["serve", "--roles", "wroker"]).contains("`roles` (flag --roles)"));
    assert!(said(&["config", "--set", "worker.slot=1"]).contains("did you mean `worker.slots`?"));
    assert!(said(&["migrate"]).contains("NEXUS_DATABASE__URL"));
}

//! `nexus events` against a running `nexus dev`: nothing is missed and nothing told twice, whatever happens on the way.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use nexus_api::feed::v1::{DeleteReaderRequest, ListReadersRequest};
use nexus_tests::{DEADLINE, Dev, DevOptions, binary, eventually};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CHAIN: &str = "name: chain\ntasks:\n  a: {noop: {}}\n  b: {needs: [a], noop: {}}\n";
const OTHER: &str = "name: other\ntasks:\n  a: {noop: {}}\n";

fn events(address: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("events").args(args).current_dir(folder);
    command.env("NEXUS_ADDRESS", address).env("XDG_CONFIG_HOME", folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What ends by itself.
fn ended(dev: &Dev, args: &[&str]) -> Output {
    let output = events(dev.address(), dev.folder(), args).output().expect("nexus");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
    output
}

fn entries(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// Which event of which execution, of everything that an entry tells.
fn told(entry: &Value) -> Vec<(String, String)> {
    let id = entry["execution"]["id"].as_str().expect("an execution").to_owned();
    let events = entry["events"].as_array().expect("events").iter();
    events
        .map(|event| (id.clone(), event["sequence"].to_string()))
        .collect()
}

/// A command that follows.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<Value>,
}

impl Following {
    async fn start(dev: &Dev, address: &str, args: &[&str]) -> Self {
        let known = readers(dev).await.len();
        let mut child = events(address, dev.folder(), args)
            .stderr(Stdio::null())
            .spawn()
            .expect("nexus");
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        eventually("the reader is known", async || readers(dev).await.len() > known).await;
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits until so many executions are told to have ended.
    fn ends(&mut self, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        let ends = |seen: &[Value]| {
            let events = seen
                .iter()
                .flat_map(|entry| entry["events"].as_array().expect("events"));
            events.filter(|event| event["type"] == "EXECUTION_FINISHED").count()
        };
        while ends(&self.seen) < count {
            let line = self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("{} of {count} ends are told", ends(&self.seen)));
            self.seen
                .push(serde_json::from_str(&line).expect("a JSON text per line"));
        }
    }

    /// Ends it as somebody at a terminal does, and gives the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .expect("kill")
                .success()
        );
        self.child.wait().expect("ended").code()
    }

    /// Every event that was told; each of them once.
    fn told(&self) -> BTreeSet<(String, String)> {
        let all: Vec<_> = self.seen.iter().flat_map(told).collect();
        let once: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!(once.len(), all.len(), "an event is told twice");
        once
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Ended already when the test has ended it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn readers(dev: &Dev) -> Vec<String> {
    let list = dev
        .feed()
        .list_readers(ListReadersRequest::default())
        .await
        .expect("readers");
    list.into_inner()
        .readers
        .into_iter()
        .map(|reader| reader.name)
        .collect()
}

/// Every event of executions, as their histories have them.
fn histories(dev: &Dev, ids: &[String]) -> BTreeSet<(String, String)> {
    let of = |id: &String| {
        let output = Command::new(binary())
            .args(["executions", "history", id, "-o", "json"])
            .env("NEXUS_ADDRESS", dev.address())
            .env("XDG_CONFIG_HOME", dev.folder())
            .output()
            .expect("nexus");
        let history: Value = serde_json::from_slice(&output.stdout).expect("history");
        let events = history["events"].as_array().expect("events").clone();
        events
            .into_iter()
            .map(|event| (id.clone(), event["sequence"].to_string()))
            .collect::<Vec<_>>()
    };
    ids.iter().flat_map(of).collect()
}

/// A way to a server that moves.
struct Detour {
    address: String,
    to: Arc<Mutex<String>>,
    _task: JoinSet<()>,
}

impl Detour {
    async fn to(dev: &Dev) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let to = Arc::new(Mutex::new(dev.address().to_owned()));
        let target = Arc::clone(&to);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let address = target.lock().expect("address").trim_start_matches("http://").to_owned();
                ways.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(address).await {
                        // It ends with either side.
                        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                    }
                });
            }
        });
        Self {
            address,
            to,
            _task: task,
        }
    }

    fn moves(&self, dev: &Dev) {
        dev.address().clone_into(&mut self.to.lock().expect("address"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_followed_is_told_once_also_when_the_server_dies() {
    let mut dev = Dev::start();
    let detour = Detour::to(&dev).await;
    let mut following = Following::start(&dev, &detour.address, &["--follow", "-o", "json"]).await;
    let mut ids = Vec::new();
    for round in 0..12 {
        ids.push(dev.run(CHAIN, "").await.id);
        if round == 5 {
            dev = dev.kill_and_restart(DevOptions {
                args: vec!["--no-sample".into()],
                ..DevOptions::default()
            });
            detour.moves(&dev);
        }
    }
    following.ends(12);
    assert_eq!(following.told(), histories(&dev, &ids));
    assert_eq!(following.interrupt(), Some(130));
    assert_eq!(
        readers(&dev).await,
        Vec::<String>::new(),
        "the reader is forgotten at the end"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_and_what_follows_make_one_story() {
    let dev = Dev::start();
    let mut ids = Vec::new();
    dev.run(OTHER, "").await;
    // They go on while their past is read, and the feed tells of them too.
    for _ in 0..4 {
        ids.push(dev.launch(CHAIN, "").await);
    }
    let args = ["--since", "1h", "--follow", "--workflow", "chain", "-o", "json"];
    let mut following = Following::start(&dev, dev.address(), &args).await;
    for _ in 0..4 {
        ids.push(dev.run(CHAIN, "").await.id);
        dev.run(OTHER, "").await;
    }
    following.ends(8);
    assert_eq!(following.told(), histories(&dev, &ids));
    assert_eq!(following.interrupt(), Some(130));

    let args = [
        "--since",
        "1h",
        "--type",
        "execution_finished",
        "--workflow",
        "chain",
        "-o",
        "json",
    ];
    let ends = entries(&ended(&dev, &args));
    let times: Vec<&str> = ends
        .iter()
        .map(|end| end["events"][0]["time"].as_str().expect("time"))
        .collect();
    assert_eq!(ends.len(), 8);
    assert!(times.is_sorted(), "{times:?}");
    let lines = ended(
        &dev,
        &["--since", "1h", "--type", "TASK_FINISHED", "--workflow", "other"],
    );
    let lines = String::from_utf8(lines.stdout).expect("text");
    assert_eq!(
        lines.lines().filter(|line| line.contains(" a SUCCEEDED")).count(),
        5,
        "{lines}"
    );
    assert!(ended(&dev, &["--since", "2999-01-01T00:00:00Z"]).stdout.is_empty());
    let elsewhere = ended(&dev, &["--since", "1h", "--namespace", "team-b"]);
    assert!(elsewhere.stdout.is_empty(), "what is another namespace's is not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_file_goes_on_where_the_last_run_ended() {
    let mut dev = Dev::start();
    let args = ["--resume-file", "position", "-o", "json"];
    dev.run(CHAIN, "").await;
    assert!(ended(&dev, &args).stdout.is_empty(), "it begins with what comes");
    let reader = readers(&dev).await;
    assert_eq!(reader.len(), 1, "it stays known");
    let ids = [dev.run(CHAIN, "").await.id, dev.run(CHAIN, "").await.id];
    dev = dev.kill_and_restart(DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    });
    let first: BTreeSet<_> = entries(&ended(&dev, &args)).iter().flat_map(told).collect();
    assert_eq!(first, histories(&dev, &ids));
    assert!(ended(&dev, &args).stdout.is_empty(), "what was told is not told again");

    // Also when it was ended in the middle of following.
    let follow = [&args[..], &["--follow"]].concat();
    let mut child = events(dev.address(), dev.folder(), &follow)
        .stderr(Stdio::null())
        .spawn()
        .expect("nexus");
    let next = dev.run(CHAIN, "").await.id;
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let is_end = |line: &String| line.contains("EXECUTION_FINISHED");
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        let line = line.expect("a line");
        seen.push(line.clone());
        if is_end(&line) {
            break;
        }
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    let seen: Vec<Value> = seen
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        seen.iter().flat_map(told).collect::<BTreeSet<_>>(),
        histories(&dev, &[next])
    );
    assert!(ended(&dev, &args).stdout.is_empty());
    assert_eq!(readers(&dev).await, reader);

    std::fs::write(dev.folder().join("position"), "{}").expect("write");
    let refused = events(dev.address(), dev.folder(), &args).output().expect("nexus");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--resume-file"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_deleted_makes_itself_known_again() {
    let dev = Dev::start();
    let mut following = Following::start(&dev, dev.address(), &["-o", "json"]).await;
    let reader = readers(&dev).await.remove(0);
    let delete = DeleteReaderRequest { reader: reader.clone() };
    dev.feed().delete_reader(delete).await.expect("delete");
    // What happens before it has noticed is lost to it.
    eventually("it is told again", async || {
        dev.run(CHAIN, "").await;
        following.lines.try_recv().is_ok()
    })
    .await;
    assert_eq!(readers(&dev).await, [reader], "by the same name");
    assert_eq!(following.interrupt(), Some(130));
    assert_eq!(readers(&dev).await, Vec::<String>::new());
}

//! What the tests of all kinds share: a runner, a context, and a bound on everything.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use nexus_tasks::{
    Failure, LogLine, LogSink, LogStream, Options, Outcome, Redactor, RunContext, Supervisor, TaskInput, TaskRunner,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub fn options() -> Options {
    let mut options = Options::new(Supervisor::program(env!("CARGO_BIN_EXE_nexus-supervise")));
    options.allow_private = true;
    options.kill_grace = Duration::from_millis(300);
    options
}

pub struct Run {
    pub runner: TaskRunner,
    pub timeout: Duration,
    pub cancel: CancellationToken,
    pub secrets: Vec<String>,
    /// Of Python tasks.
    pub isolation: &'static str,
}

pub struct Ended {
    pub outcome: Outcome,
    pub lines: Vec<LogLine>,
}

impl Default for Run {
    fn default() -> Self {
        Self::with(options())
    }
}

impl Run {
    pub fn with(options: Options) -> Self {
        Self {
            runner: TaskRunner::new(options),
            timeout: Duration::from_secs(30),
            cancel: CancellationToken::new(),
            secrets: Vec::new(),
            isolation: "fork",
        }
    }

    pub fn isolated(isolation: &'static str) -> Self {
        Self {
            isolation,
            ..Self::default()
        }
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub async fn run(&self, kind: &str, input: Value) -> Ended {
        let (logs, mut receiver) = LogSink::new(64);
        let ctx = RunContext {
            execution: "0198-execution".into(),
            task: "probe".into(),
            attempt: 1,
            idempotency_key: "0198/probe".into(),
            namespace: "team-a".into(),
            traceparent: "00-11111111111111111111111111111111-2222222222222222-01".into(),
            timeout: self.timeout,
            cancel: self.cancel.clone(),
            gate: nexus_tasks::Gate::default(),
            logs,
            redactor: Arc::new(Redactor::new(&self.secrets)),
        };
        let collect = async {
            let mut lines = Vec::new();
            while let Some(line) = receiver.recv().await {
                lines.push(line);
            }
            lines
        };
        let task = TaskInput {
            kind: kind.into(),
            input,
        };
        // No test may hang, whatever the task does.
        let both = async { tokio::join!(self.runner.run(task, ctx), collect) };
        let (outcome, lines) = tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .expect("the attempt hangs");
        Ended { outcome, lines }
    }

    pub async fn python(&self, code: &str) -> Ended {
        self.python_with(json!({"code": code})).await
    }

    /// A Python task with the isolation of this run.
    pub async fn python_with(&self, mut input: Value) -> Ended {
        input["isolation"] = json!(self.isolation);
        self.run("python", input).await
    }

    pub async fn bash(&self, script: &str) -> Ended {
        self.run("bash", json!({"run": script})).await
    }
}

impl Ended {
    #[track_caller]
    pub fn output(&self) -> Value {
        match &self.outcome {
            Outcome::Succeeded(text) => serde_json::from_str(text).expect("json"),
            other => panic!("{other:?}\n{:#?}", self.lines),
        }
    }

    #[track_caller]
    pub fn failure(&self) -> &Failure {
        match &self.outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub fn text(&self, stream: LogStream) -> Vec<&str> {
        self.lines
            .iter()
            .filter(|line| line.stream == stream)
            .map(|line| line.text.as_str())
            .collect()
    }
}

/// True when a process still runs (a zombie does not).
pub fn alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Waits until a task has written a file, and gives what it holds.
pub async fn appears(path: &std::path::Path) -> String {
    let wait = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("the task gets as far as that")
}

//! Secrets that NEXUS keeps: they reach the tasks that name them, in their namespace and while the lease holds, and nothing
//! else.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::definitions::v1::{ListSecretUsesRequest, SetSecretRequest};
use nexus_api::error::reason_of;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{StartExecutionRequest, execution};
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::{
    LeasedTask, PollTasksRequest, RegisterWorkerRequest, ReportTasksRequest, ResolveTaskSecretsRequest, Succeeded,
    TaskReport, task_report,
};
use nexus_mesh::Transport;
use nexus_tests::{Dev, DevOptions, binary};
use serde_json::Value;
use tonic::{Code, Status};

const VALUE: &str = "k3pt-Zq9!by-nexus";

async fn set(way: &Transport, name: &str, value: &str) {
    let request = SetSecretRequest {
        secret: name.to_owned(),
        value: value.to_owned(),
        ..SetSecretRequest::default()
    };
    let mut secrets = SecretsServiceClient::new(way.clone());
    secrets.set_secret(request).await.expect("set");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn a_task_gets_what_it_names_and_nobody_else_sees_it() {
    let mut dev = Dev::start();
    set(&dev.way("default"), "kept", VALUE).await;
    let source = r#"
name: keeps
tasks:
  use:
    bash:
      env: {TOKEN: "Bearer {{ secrets.Kept }}"}
      run: |
        echo "the token is $TOKEN"
        echo "length=${#TOKEN}" >> "$NEXUS_OUTPUT"
        echo "leak=$TOKEN" >> "$NEXUS_OUTPUT"
"#;
    let done = dev.run(source, "").await;
    assert_eq!(done.state(), execution::State::Succeeded, "{done:?}");
    let told: Value = serde_json::from_str(&dev.task(&done.id, "use").await.output).expect("an output");
    assert_eq!(
        told["length"].to_string().trim_matches('"'),
        (VALUE.len() + 7).to_string()
    );
    assert_eq!(told["leak"], "Bearer ***", "what leaves the task is redacted");
    let uses = ListSecretUsesRequest {
        secret: "kept".into(),
        ..ListSecretUsesRequest::default()
    };
    let uses = SecretsServiceClient::new(dev.way("default"))
        .list_secret_uses(uses)
        .await;
    let uses = uses.expect("uses").into_inner().uses;
    assert_eq!(
        (uses.len(), uses[0].workflow.as_str(), &uses[0].tasks[..]),
        (1, "keeps", &["use".to_owned()][..])
    );

    set(&dev.way("default"), "kept", "another-value").await;
    let again = dev.run(source, "").await;
    let told: Value = serde_json::from_str(&dev.task(&again.id, "use").await.output).expect("an output");
    assert_eq!(
        told["length"].to_string().trim_matches('"'),
        "20",
        "the next attempt has the new version"
    );

    let missing = dev.run(&source.replace("Kept", "nowhere"), "").await;
    assert_eq!(missing.state(), execution::State::Failed);
    let error = dev.task(&missing.id, "use").await.error.expect("an error");
    assert_eq!(error.r#type, "SecretMissing");
    assert!(
        error.message.contains("NEXUS_SECRET_NOWHERE") && error.message.contains("nexus secrets set"),
        "{error:?}"
    );
    dev.stop();
    let folder = dev.folder().join(".nexus");
    let all = files(&folder);
    assert!(all.len() > 3, "the databases were found");
    for file in all {
        let bytes = std::fs::read(&file).expect("a file");
        let found = bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes());
        assert!(!found, "{} holds the value", file.display());
    }
    let keys = std::fs::metadata(folder.join("secrets.keys")).expect("the key file");
    assert_eq!(keys.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_kept_outlives_a_restart_and_its_own_of_the_worker_wins() {
    let dev = Dev::start();
    for name in ["kept", "both"] {
        set(&dev.way("default"), name, VALUE).await;
    }
    let dev = dev.kill_and_restart(DevOptions {
        args: vec!["--no-sample".into()],
        env: vec![("NEXUS_SECRET_BOTH".into(), "ours".into())],
        folder: None,
    });
    let source = r#"
name: keeps
tasks:
  use:
    bash:
      env: {KEPT: "{{ secrets.kept }}", BOTH: "{{ secrets.both }}"}
      run: 'echo "lengths=${#KEPT} ${#BOTH}" >> "$NEXUS_OUTPUT"'
output: "{{ tasks.use.output.lengths }}"
"#;
    let done = dev.run(source, "").await;
    assert_eq!(done.output, format!("\"{} 4\"", VALUE.len()), "{done:?}");
}

/// A worker from outside, in a namespace.
struct Outside {
    way: Transport,
    session: String,
}

impl Outside {
    async fn new(dev: &Dev, namespace: &str, queue: &str) -> Self {
        let way = dev.way(namespace);
        let request = RegisterWorkerRequest {
            name: "outside".into(),
            queues: vec![queue.into()],
            slots: 1,
            ..RegisterWorkerRequest::default()
        };
        let session = WorkerServiceClient::new(way.clone()).register_worker(request).await;
        Self {
            way,
            session: session.expect("a session").into_inner().session,
        }
    }

    fn client(&self) -> WorkerServiceClient<Transport> {
        WorkerServiceClient::new(self.way.clone())
    }

    async fn lease(&self, source: &str) -> LeasedTask {
        let apply = nexus_api::definitions::v1::ApplyWorkflowRequest {
            source: source.to_owned(),
            ..Default::default()
        };
        nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient::new(self.way.clone())
            .apply_workflow(apply)
            .await
            .expect("applied");
        let start = StartExecutionRequest {
            workflow: "outside".into(),
            ..StartExecutionRequest::default()
        };
        let started = ExecutionServiceClient::new(self.way.clone())
            .start_execution(start)
            .await;
        started.expect("started");
        let poll = PollTasksRequest {
            session: self.session.clone(),
            max_tasks: 1,
            wait: Some(nexus_api::time::duration(20_000_000)),
        };
        let mut tasks = self.client().poll_tasks(poll).await.expect("a poll").into_inner().tasks;
        tasks.pop().expect("a task")
    }

    async fn resolve(&self, token: &str, names: &[&str]) -> Result<Vec<(String, String)>, Status> {
        let request = ResolveTaskSecretsRequest {
            session: self.session.clone(),
            token: token.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let answer = self.client().resolve_task_secrets(request).await?.into_inner();
        let secrets = answer.secrets.into_iter();
        Ok(secrets.map(|secret| (secret.name, secret.value)).collect())
    }

    async fn succeed(&self, token: &str) {
        let report = TaskReport {
            token: token.to_owned(),
            outcome: Some(task_report::Outcome::Succeeded(Succeeded { output: "1".into() })),
        };
        let request = ReportTasksRequest {
            session: self.session.clone(),
            reports: vec![report],
            free_slots: 0,
        };
        self.client().report_tasks(request).await.expect("reported");
    }
}

const OUTSIDE: &str = r#"
name: outside
tasks:
  use: {queue: far, bash: {env: {A: "{{ secrets.kept }}", B: "{{ secrets.nowhere }}"}, run: "true"}}
  other: {needs: [use], queue: nobody, bash: {env: {A: "{{ secrets.others }}"}, run: "true"}}
"#;

#[tokio::test]
async fn only_the_holder_of_the_lease_gets_only_what_the_task_names() {
    let dev = Dev::start();
    for (namespace, value) in [("team-a", VALUE), ("team-b", "theirs")] {
        for name in ["kept", "others"] {
            set(&dev.way(namespace), name, value).await;
        }
    }
    let holder = Outside::new(&dev, "team-a", "far").await;
    let task = holder.lease(OUTSIDE).await;
    let given = holder
        .resolve(&task.token, &["kept", "nowhere"])
        .await
        .expect("the lease holds");
    assert_eq!(given, [("kept".to_owned(), VALUE.to_owned())]);

    let other = holder
        .resolve(&task.token, &["others"])
        .await
        .expect_err("another task's");
    assert_eq!(other.code(), Code::InvalidArgument);
    let reason = |refused: Result<Vec<(String, String)>, Status>| reason_of(&refused.expect_err("not its lease"));
    let neighbour = Outside::new(&dev, "team-a", "far").await;
    assert_eq!(
        reason(neighbour.resolve(&task.token, &["kept"]).await),
        Some(ErrorReason::StaleAttempt)
    );
    let stranger = Outside::new(&dev, "team-b", "far").await;
    assert_eq!(
        reason(stranger.resolve(&task.token, &["kept"]).await),
        Some(ErrorReason::StaleAttempt)
    );
    let disguised = Outside {
        way: dev.way("team-b"),
        session: holder.session.clone(),
    };
    assert_eq!(
        reason(disguised.resolve(&task.token, &["kept"]).await),
        Some(ErrorReason::WorkerUnknown)
    );
    for token in ["", "no-token", &"0".repeat(40)] {
        assert_eq!(
            reason(holder.resolve(token, &["kept"]).await),
            Some(ErrorReason::StaleAttempt)
        );
    }

    holder.succeed(&task.token).await;
    let late = holder.resolve(&task.token, &["kept"]).await;
    assert_eq!(reason(late), Some(ErrorReason::StaleAttempt), "the attempt has ended");
}

/// Runs a command with something on its stdin.
fn nexus(dev: &Dev, args: &[&str], stdin: &str) -> std::process::Output {
    let mut child = Command::new(binary())
        .args(args)
        .env("NEXUS_ADDRESS", dev.address())
        .env("XDG_CONFIG_HOME", dev.folder())
        .env("NO_COLOR", "1")
        .current_dir(dev.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nexus");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(stdin.as_bytes()).expect("written");
    drop(pipe);
    child.wait_with_output().expect("ended")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_secrets_and_never_shows_one() {
    let dev = Dev::start();
    let run = |line: &str, stdin: &str| {
        let args: Vec<&str> = line.split(' ').collect();
        let output = nexus(&dev, &args, stdin);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(!out.contains(VALUE) && !err.contains(VALUE), "{line}: {out} {err}");
        (output.status.code(), out.into_owned(), err.into_owned())
    };
    let (code, out, err) = run("secrets set api --description words", &format!("{VALUE}\n"));
    assert_eq!((code, out.as_str()), (Some(0), "api: version 1\n"), "{err}");
    std::fs::write(dev.folder().join("value"), format!("{VALUE}\n")).expect("written");
    let (code, out, err) = run("secret set api --from-file value -o json", "");
    assert_eq!(code, Some(0), "{err}");
    let known: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&known["version"], &known["description"]), (&2.into(), &"words".into()));
    let source = "name: long\ntasks:\n  use:\n    bash: {env: {A: '{{ secrets.api }}'}, run: 'echo \"n=${#A}\" >> $NEXUS_OUTPUT'}\n\
                  output: '{{ tasks.use.output.n }}'\n";
    let done = dev.run(source, "").await;
    assert_eq!(
        done.output,
        format!("\"{}\"", VALUE.len() + 1),
        "a file is taken byte by byte"
    );
    assert_eq!(run("secrets set api --restore 1", "").1, "api: version 3\n");
    let done = dev.run(source, "").await;
    assert_eq!(
        done.output,
        format!("\"{}\"", VALUE.len()),
        "a line's end on stdin is not part of it"
    );

    let (_, list, _) = run("secrets list", "");
    assert!(list.contains("api") && list.contains("words"), "{list}");
    let (_, uses, _) = run("secrets uses api", "");
    assert!(uses.contains("long") && uses.contains("use"), "{uses}");
    let (code, keys, err) = run("secrets rotate-keys --all-namespaces", "");
    assert!(code == Some(0) && keys.contains("newest"), "{keys} {err}");
    assert_eq!(run("secrets set api", "").0, Some(1), "there is nothing on stdin");
    assert_eq!(run("secrets set no-name", "x").0, Some(1));
    assert_eq!(run("secrets delete api", "").0, Some(0));
    let (code, _, err) = run("secrets get api", "");
    assert!(code == Some(1) && err.contains("nexus secrets list"), "{err}");
}

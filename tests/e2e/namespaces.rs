//! Namespaces, over real sockets: each is as if it were alone, for callers, for workers and on the command line.

mod methods;

use std::process::{Command, Output};

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::definitions::v1::{ApplyWorkflowRequest, SetSecretRequest};
use nexus_api::error::reason_of;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{
    Execution, GetExecutionRequest, GetTaskRequest, ListExecutionsRequest, StartExecutionRequest, WaitExecutionRequest,
};
use nexus_api::scheduling::v1::scheduling_service_client::SchedulingServiceClient;
use nexus_api::scheduling::v1::{CreateScheduleRequest, Schedule, ScheduleSpec};
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::{
    LeasedTask, PollTasksRequest, RegisterWorkerRequest, ReportTasksRequest, Succeeded, TaskReport, task_report,
};
use nexus_mesh::Transport;
use nexus_tests::{Dev, DevOptions, binary};

const ONE: &str = "team-a";
const OTHER: &str = "team-b";

/// What is done in one namespace.
struct Within {
    way: Transport,
}

impl Within {
    fn of(dev: &Dev, namespace: &str) -> Self {
        Self {
            way: dev.way(namespace),
        }
    }

    fn executions(&self) -> ExecutionServiceClient<Transport> {
        ExecutionServiceClient::new(self.way.clone())
    }

    fn workers(&self) -> WorkerServiceClient<Transport> {
        WorkerServiceClient::new(self.way.clone())
    }

    async fn apply(&self, source: &str) {
        let request = ApplyWorkflowRequest {
            source: source.into(),
            ..ApplyWorkflowRequest::default()
        };
        let mut definitions = DefinitionsServiceClient::new(self.way.clone());
        let applied = definitions.apply_workflow(request).await.expect("apply").into_inner();
        assert_eq!(
            applied.workflow.expect("workflow").latest_revision,
            1,
            "it knows of no other"
        );
    }

    async fn start(&self, workflow: &str, request_id: &str) -> Execution {
        let request = StartExecutionRequest {
            workflow: workflow.into(),
            request_id: request_id.into(),
            ..StartExecutionRequest::default()
        };
        let answer = self
            .executions()
            .start_execution(request)
            .await
            .expect("start")
            .into_inner();
        assert!(!answer.existing);
        answer.execution.expect("execution")
    }

    async fn wait(&self, execution: &str) -> Execution {
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
        answer.execution.expect("execution")
    }

    async fn listed(&self, filter: &str) -> Vec<String> {
        let request = ListExecutionsRequest {
            filter: filter.into(),
            ..ListExecutionsRequest::default()
        };
        let list = self
            .executions()
            .list_executions(request)
            .await
            .expect("list")
            .into_inner();
        list.executions.into_iter().map(|execution| execution.id).collect()
    }

    async fn register(&self, queue: &str) -> String {
        let request = RegisterWorkerRequest {
            name: "outside".into(),
            queues: vec![queue.into()],
            slots: 4,
            ..RegisterWorkerRequest::default()
        };
        let session = self.workers().register_worker(request).await.expect("register");
        session.into_inner().session
    }

    async fn poll(&self, session: &str) -> Vec<LeasedTask> {
        let request = PollTasksRequest {
            session: session.into(),
            max_tasks: 4,
            wait: Some(nexus_api::time::duration(2_000_000)),
        };
        self.workers()
            .poll_tasks(request)
            .await
            .expect("poll")
            .into_inner()
            .tasks
    }

    async fn keep(&self, secret: &str) {
        let request = SetSecretRequest {
            secret: secret.into(),
            value: "value".into(),
            ..SetSecretRequest::default()
        };
        let mut secrets = SecretsServiceClient::new(self.way.clone());
        secrets.set_secret(request).await.expect("set");
    }

    async fn schedule(&self, schedule: &str, workflow: &str) {
        let schedule = Schedule {
            name: schedule.into(),
            workflow: workflow.into(),
            spec: Some(ScheduleSpec {
                crons: vec!["@yearly".into()],
                ..ScheduleSpec::default()
            }),
            ..Schedule::default()
        };
        let request = CreateScheduleRequest {
            schedule: Some(schedule),
            ..CreateScheduleRequest::default()
        };
        let mut schedules = SchedulingServiceClient::new(self.way.clone());
        schedules.create_schedule(request).await.expect("created");
    }

    async fn succeed(&self, session: &str, task: &LeasedTask) {
        let report = TaskReport {
            token: task.token.clone(),
            outcome: Some(task_report::Outcome::Succeeded(Succeeded { output: "1".into() })),
        };
        let request = ReportTasksRequest {
            session: session.into(),
            reports: vec![report],
            free_slots: 0,
        };
        self.workers().report_tasks(request).await.expect("report");
    }
}

/// The same name, and another queue's worth of work in each.
fn source(words: &str) -> String {
    format!("name: same\ndescription: {words}\ntasks:\n  a: {{queue: gpu, noop: {{output: {words}}}}}\n")
}

#[tokio::test]
async fn workers_of_two_namespaces_share_a_queues_name_and_nothing_else() {
    let dev = Dev::start();
    let (one, other) = (Within::of(&dev, ONE), Within::of(&dev, OTHER));
    for (within, words) in [(&one, "one"), (&other, "other")] {
        within.apply(&source(words)).await;
    }
    let sessions = [one.register("gpu").await, other.register("gpu").await];
    // A worker of `default` waits for the same name all the while, and one that spells another namespace's out is refused.
    let plain = Within::of(&dev, "default");
    let idle = plain.register("gpu").await;
    let spelled = RegisterWorkerRequest {
        queues: vec![format!("{ONE}/gpu")],
        slots: 1,
        ..RegisterWorkerRequest::default()
    };
    let refused = plain
        .workers()
        .register_worker(spelled)
        .await
        .expect_err("no name of a queue");
    assert_eq!(reason_of(&refused), Some(ErrorReason::InvalidField));

    // The same workflow, the same request id, one execution each.
    let started = [one.start("same", "r").await, other.start("same", "r").await];
    assert_ne!(started[0].id, started[1].id);
    assert_eq!(
        (started[0].namespace.as_str(), started[1].namespace.as_str()),
        (ONE, OTHER)
    );
    for (within, session, execution, words) in [
        (&one, &sessions[0], &started[0], "one"),
        (&other, &sessions[1], &started[1], "other"),
    ] {
        let tasks = within.poll(session).await;
        assert_eq!(tasks.len(), 1, "its own");
        assert_eq!(tasks[0].execution, execution.id);
        assert_eq!(tasks[0].input, format!("{{\"output\":\"{words}\"}}"));
        within.succeed(session, &tasks[0]).await;
        assert_eq!(within.wait(&execution.id).await.state().as_str_name(), "SUCCEEDED");
        assert_eq!(within.listed("").await, std::slice::from_ref(&execution.id));
        assert_eq!(
            within.listed("workflow = same").await,
            std::slice::from_ref(&execution.id)
        );
    }
    assert!(plain.poll(&idle).await.is_empty());
    assert!(plain.listed("").await.is_empty());
    let filter = format!("workflow = \"{ONE}/same\"");
    assert!(
        plain.listed(&filter).await.is_empty(),
        "nobody spells another namespace out"
    );
    let wanted = GetTaskRequest {
        execution: started[0].id.clone(),
        task: "a".into(),
    };
    let task = one.executions().get_task(wanted).await.expect("task").into_inner();
    let task = task.task.expect("task");
    assert_eq!(task.queue, "gpu", "as the file has it");
}

#[tokio::test]
async fn a_call_that_names_no_namespace_rightly_is_refused() {
    let dev = Dev::start();
    for wrong in ["Team", "a_b", "-a", "a/b", &"x".repeat(64)] {
        let mut request = tonic::Request::new(GetExecutionRequest {
            execution: "0198abcd".into(),
            ..GetExecutionRequest::default()
        });
        let value = wrong.parse().expect("a header");
        request.metadata_mut().insert(nexus_api::namespace::METADATA, value);
        let refused = dev.executions().get_execution(request).await.expect_err(wrong);
        assert_eq!(reason_of(&refused), Some(ErrorReason::InvalidField), "{wrong}");
    }
}

fn nexus(dev: &Dev, namespace: &str, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .env("NEXUS_ADDRESS", dev.address())
        .env("XDG_CONFIG_HOME", dev.folder())
        .env("NEXUS_NAMESPACE", namespace)
        .current_dir(dev.folder())
        .output()
        .expect("nexus")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a task and an expression know of where they are.
const WHERE: &str = "name: told\ntasks:\n  a:\n    bash: {run: 'echo n=$NEXUS_NAMESPACE >> $NEXUS_OUTPUT'}\n\
                     output: '{{ tasks.a.output.n }} {{ execution.namespace }}'\n";

#[test]
fn dev_serves_the_namespaces_that_it_is_told_of_and_commands_act_in_theirs() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("workflows")).expect("folder");
    std::fs::write(folder.path().join("workflows/told.yaml"), WHERE).expect("file");
    let args = ["--no-sample", "--namespace", ONE, "--namespace", OTHER];
    let mut dev = Dev::start_with(DevOptions {
        args: args.map(String::from).to_vec(),
        folder: Some(folder),
        ..DevOptions::default()
    });
    dev.wait_for_line("1 workflow loaded");
    let ran = stdout(&nexus(&dev, ONE, &["run", "told", "--wait", "-o", "json"]));
    let ran: serde_json::Value = serde_json::from_str(&ran).expect("JSON");
    assert_eq!(ran["namespace"], ONE);
    assert_eq!(ran["output"], format!("{ONE} {ONE}"));
    // The folder is of the first; the worker serves the second too.
    let unknown = nexus(&dev, OTHER, &["run", "told"]);
    assert_eq!(
        unknown.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&unknown.stderr)
    );
    let ran = stdout(&nexus(
        &dev,
        OTHER,
        &["run", "-f", "workflows/told.yaml", "--wait", "-o", "json"],
    ));
    let ran: serde_json::Value = serde_json::from_str(&ran).expect("JSON");
    assert_eq!(ran["output"], format!("{OTHER} {OTHER}"));
    let lines = |namespace: &str, args: &[&str]| stdout(&nexus(&dev, namespace, args)).lines().count();
    assert_eq!(lines(ONE, &["executions", "list"]), 2, "a heading and its own");
    // The flag is stronger than the variable.
    assert_eq!(lines(ONE, &["--namespace", OTHER, "executions", "list"]), 2);
    let nothing = stdout(&nexus(&dev, "", &["executions", "list", "-o", "json"]));
    let nothing: serde_json::Value = serde_json::from_str(&nothing).expect("JSON");
    assert_eq!(
        nothing["executions"],
        serde_json::json!([]),
        "an empty variable says nothing"
    );
    for (wrong, code) in [
        (&["--namespace", "Team", "executions", "list"][..], 2),
        (&["--namespace", "a", "--namespace", "b", "executions", "list"], 1),
    ] {
        assert_eq!(nexus(&dev, "", wrong).status.code(), Some(code), "{wrong:?}");
    }
}

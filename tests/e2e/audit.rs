//! The audit log, as a security officer reads it: who did what, from where, and that nothing of a payload is in it.

use std::process::Command;
use std::time::Instant;

use nexus_api::access::v1::authentication_service_client::AuthenticationServiceClient;
use nexus_api::access::v1::{ClaimAdministratorRequest, LoginRequest};
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::definitions::v1::{ApplyWorkflowRequest, DeleteSecretRequest, SetSecretRequest};
use nexus_api::execution::v1::{CancelExecutionRequest, GetExecutionRequest, StartExecutionRequest};
use nexus_tests::{DEADLINE, Dev, DevOptions, binary};
use serde_json::Value;
use tonic::{Code, Request};

const PASSWORD: &str = "purple lamp 9 herring";
const WRONG: &str = "a-password-that-is-wrong";
const PAYLOAD: &str = "the-payload-of-this-test";
const SOURCE: &str = "\
name: slow
description: the-payload-of-this-test
params:
  type: object
  properties:
    text: {type: string}
tasks:
  a:
    bash: {run: sleep 60}
";

fn options() -> DevOptions {
    DevOptions {
        args: vec!["--no-sample".into(), "--credentials".into()],
        ..DevOptions::default()
    }
}

fn shown<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("ascii");
    request.metadata_mut().insert("authorization", value);
    request
}

/// The first administrator's session.
async fn administrator(dev: &mut Dev) -> String {
    let line = dev.wait_for_line("nxc_");
    let claim = &line[line.find("nxc_").expect("the token")..];
    let claim = claim
        .split(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-')))
        .next();
    let request = ClaimAdministratorRequest {
        claim_token: claim.expect("the token").to_owned(),
        user: "anna".to_owned(),
        password: PASSWORD.to_owned(),
        client: "a test".to_owned(),
    };
    let mut door = AuthenticationServiceClient::new(dev.way("default"));
    let answer = door.claim_administrator(request).await.expect("claimed");
    answer.into_inner().token
}

fn nexus(dev: &Dev, token: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(binary())
        .args(["--address", dev.address()])
        .args(args)
        .env("NEXUS_API_KEY", token)
        .env("HOME", dev.folder())
        .output()
        .expect("nexus");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// The log once it has entries of all these methods, each with one of these outcomes.
fn log(dev: &Dev, token: &str, wanted: &[(&str, &str)]) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (done, text) = nexus(dev, token, &["audit", "-o", "json", "--limit", "1000"]);
        assert!(done, "{text}");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let entries = answer["entries"].as_array().cloned().unwrap_or_default();
        let missing = wanted.iter().find(|wanted| find(&entries, wanted).is_none());
        let Some(missing) = missing else { return entries };
        assert!(Instant::now() < deadline, "{missing:?} is not in {text}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn find<'a>(entries: &'a [Value], (method, outcome): &(&str, &str)) -> Option<&'a Value> {
    let fits = |entry: &&Value| {
        let path = entry["method"].as_str().unwrap_or_default();
        path.ends_with(&format!("/{method}")) && entry["outcome"] == *outcome
    };
    entries.iter().find(fits)
}

/// Does what the log is asked about afterwards; gives the execution's id.
async fn work(dev: &Dev, token: &str) -> String {
    let apply = ApplyWorkflowRequest {
        source: SOURCE.to_owned(),
        ..ApplyWorkflowRequest::default()
    };
    let applied = dev.definitions().apply_workflow(shown(token, apply.clone())).await;
    applied.expect("applied");
    let again = dev.definitions().apply_workflow(shown(token, apply)).await;
    again.expect("unchanged");
    let mut secrets = SecretsServiceClient::new(dev.way("default"));
    let set = SetSecretRequest {
        secret: "the_secret".to_owned(),
        value: PAYLOAD.to_owned(),
        ..SetSecretRequest::default()
    };
    secrets.set_secret(shown(token, set)).await.expect("set");
    let delete = DeleteSecretRequest {
        secret: "the_secret".to_owned(),
    };
    secrets.delete_secret(shown(token, delete)).await.expect("deleted");
    let start = StartExecutionRequest {
        workflow: "slow".to_owned(),
        params: format!("{{\"text\": \"{PAYLOAD}\"}}"),
        request_id: "the-request".to_owned(),
        ..StartExecutionRequest::default()
    };
    let started = dev.executions().start_execution(shown(token, start.clone())).await;
    let id = started.expect("started").into_inner().execution.expect("one").id;
    let repeated = dev.executions().start_execution(shown(token, start)).await;
    assert!(repeated.expect("the same").into_inner().existing);
    for _ in 0..2 {
        let cancel = CancelExecutionRequest {
            execution: id.clone(),
            reason: PAYLOAD.to_owned(),
        };
        let cancelled = dev.executions().cancel_execution(shown(token, cancel)).await;
        cancelled.expect("cancelled");
    }
    let get = GetExecutionRequest {
        execution: id.clone(),
        ..GetExecutionRequest::default()
    };
    let refused = dev.executions().get_execution(shown("nxk_forged", get)).await;
    assert_eq!(refused.expect_err("forged").code(), Code::Unauthenticated);
    for user in ["anna", WRONG] {
        let login = LoginRequest {
            user: user.to_owned(),
            password: WRONG.to_owned(),
            client: "a test".to_owned(),
        };
        let mut door = AuthenticationServiceClient::new(dev.way("default"));
        let refused = door.login(login).await.expect_err("a wrong password");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    id
}

#[tokio::test]
async fn who_did_what_from_where_is_told_and_no_payload() {
    let mut dev = Dev::start_with(options());
    let token = administrator(&mut dev).await;
    let id = work(&dev, &token).await;
    let wanted = [
        ("ClaimAdministrator", "OUTCOME_ALLOWED"),
        ("ApplyWorkflow", "OUTCOME_ALLOWED"),
        ("StartExecution", "OUTCOME_ALLOWED"),
        ("CancelExecution", "OUTCOME_ALLOWED"),
        ("SetSecret", "OUTCOME_ALLOWED"),
        ("DeleteSecret", "OUTCOME_ALLOWED"),
        ("GetExecution", "OUTCOME_DENIED"),
        ("Login", "OUTCOME_DENIED"),
    ];
    let entries = log(&dev, &token, &wanted);
    for (number, (method, outcome)) in wanted.iter().enumerate() {
        let entry = find(&entries, &(method, outcome)).expect("there");
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        let actor = if number < 6 { "user:anna" } else { "" };
        assert_eq!(entry["actor"]["id"].as_str().unwrap_or_default(), actor, "{entry}");
        let times = entries
            .iter()
            .filter(|other| other["method"] == entry["method"])
            .count();
        // The second wrong login may be on its way.
        assert!(times == 1 || *method == "Login", "{method}: {times}");
    }
    let of = |method| find(&entries, &(method, "OUTCOME_ALLOWED")).expect("there");
    assert_eq!(of("ApplyWorkflow")["object"]["name"], "slow");
    assert_eq!(of("SetSecret")["object"]["name"], "the_secret");
    assert_eq!(of("StartExecution")["object"]["name"], id.as_str());
    assert_eq!(of("StartExecution")["request_id"], "the-request");
    assert_eq!(of("StartExecution")["namespace"], "default");
    let text = serde_json::to_string(&entries).expect("JSON");
    for secret in [PASSWORD, WRONG, PAYLOAD, &token, "sleep 60", "nxc_"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }

    let (done, told) = nexus(&dev, &token, &["audit", "verify"]);
    assert!(done, "{told}");
    let file = dev.folder().join("audit.ndjson");
    let path = file.to_str().expect("a path");
    let (done, told) = nexus(&dev, &token, &["audit", "export", "--file", path]);
    assert!(done, "{told}");
    let (done, told) = nexus(&dev, &token, &["audit", "verify", path]);
    assert!(done && told.contains("the server has the same"), "{told}");
    let exported = std::fs::read_to_string(&file).expect("the export");
    std::fs::write(&file, exported.replacen("user:anna", "user:otto", 1)).expect("written");
    let (done, told) = nexus(&dev, &token, &["audit", "verify", path, "--offline"]);
    assert!(!done && told.contains("does not fit"), "{told}");
}

#[tokio::test]
async fn a_process_that_is_killed_before_it_ships_loses_nothing_and_doubles_nothing() {
    let mut dev = Dev::start_with(options());
    let token = administrator(&mut dev).await;
    let names = ["w0", "w1", "w2", "w3", "w4"];
    for name in names {
        let apply = ApplyWorkflowRequest {
            source: format!("name: {name}\ntasks:\n  a:\n    noop: {{}}\n"),
            ..ApplyWorkflowRequest::default()
        };
        let applied = dev.definitions().apply_workflow(shown(&token, apply)).await;
        applied.expect("applied");
    }
    let dev = dev.kill_and_restart(options());
    let deadline = Instant::now() + DEADLINE;
    loop {
        let entries = log(&dev, &token, &[("ClaimAdministrator", "OUTCOME_ALLOWED")]);
        let times = |name: &str| entries.iter().filter(|entry| entry["object"]["name"] == name).count();
        let found: Vec<usize> = names.iter().map(|name| times(name)).collect();
        assert!(found.iter().all(|times| *times <= 1), "{found:?}");
        if found.iter().all(|times| *times == 1) {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (done, told) = nexus(&dev, &token, &["audit", "verify"]);
    assert!(done, "{told}");
}

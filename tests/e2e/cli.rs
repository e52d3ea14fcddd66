//! The command line against a running `nexus dev`: what it prints where, and how it ends.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use nexus_tests::{Dev, binary};
use serde_json::{Value, json};

fn nexus(dev: &Dev, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .env("NEXUS_ADDRESS", dev.address())
        .env("XDG_CONFIG_HOME", dev.folder())
        .env("NO_COLOR", "1")
        .current_dir(dev.folder())
        .stdin(Stdio::null())
        .output()
        .expect("nexus")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn as_json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", stdout(output), stderr(output)))
}

fn write(dev: &Dev, name: &str, text: &str) {
    std::fs::write(dev.folder().join(name), text).expect("write");
}

const GOOD: &str = "name: good\nparams: {type: object, properties: {n: {type: integer, default: 1}, s: {type: string}}}\n\
                    tasks:\n  a: {noop: {output: {n: '{{ params.n }}', s: '{{ params.s | default(none) }}'}}}\n\
                    output: '{{ tasks.a.output }}'\n";

/// A pipeline whose `load` fails with what the task `react` is.
fn pipeline(react: &str) -> String {
    format!(
        "name: nightly\ntasks:\n  load: {{bash: {{run: 'echo no table >&2; exit 7'}}}}\n  react: {{{react}, bash: {{run: 'true'}}}}\n"
    )
}

#[test]
fn an_alarm_leaves_a_failure_a_failure_and_a_repair_does_not() {
    let dev = Dev::start();
    let run = |react: &str| {
        write(&dev, "nightly.yaml", &pipeline(react));
        nexus(&dev, &["run", "-f", "nightly.yaml", "--wait", "-o", "json"])
    };
    let alarms = [
        "needs: [load], trigger_rule: one_failed",
        "needs: [load], trigger_rule: one_failed, handles: []",
        "needs: [load], trigger_rule: all_failed",
        "needs: [load], trigger_rule: all_done",
    ];
    for react in alarms {
        let ended = run(react);
        assert_eq!(code(&ended), 3, "{react}: {}", stderr(&ended));
        let execution = as_json(&ended);
        assert_eq!(execution["state"], "FAILED");
        let message = execution["error"]["message"].as_str().expect("message");
        assert!(
            message.starts_with("task load failed") && message.contains("no table"),
            "{message}"
        );
        let states = &execution["task_counts"];
        assert_eq!(states["SUCCEEDED"], 1, "{react}: the alarm was sent: {execution}");
    }
    let repaired = run("handles: [load]");
    assert_eq!(code(&repaired), 0, "{}", stderr(&repaired));
    assert_eq!(as_json(&repaired)["state"], "SUCCEEDED");

    write(&dev, "nightly.yaml", &pipeline(alarms[0]));
    for command in [&["validate", "nightly.yaml"][..], &["apply", "-f", "nightly.yaml"]] {
        let checked = nexus(&dev, command);
        assert_eq!(code(&checked), 0, "a warning keeps no file from being applied");
        let said = stdout(&checked) + &stderr(&checked);
        assert!(
            said.contains("NX1208") && said.contains("handles: [load]"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn run_ends_with_the_state_of_the_execution() {
    let dev = Dev::start();
    write(&dev, "good.yaml", GOOD);
    write(
        &dev,
        "bad.yaml",
        "name: bad\ntasks: {a: {bash: {run: 'echo oh no >&2; exit 9'}}}\n",
    );
    write(&dev, "slow.yaml", "name: slow\ntasks: {a: {bash: {run: sleep 60}}}\n");

    let good = nexus(
        &dev,
        &[
            "run",
            "-f",
            "good.yaml",
            "-p",
            "n=2",
            "-p",
            "s=7",
            "--wait",
            "-o",
            "json",
        ],
    );
    assert_eq!(code(&good), 0, "{}", stderr(&good));
    let execution = as_json(&good);
    assert_eq!(execution["state"], "SUCCEEDED");
    assert_eq!(
        execution["output"],
        json!({"n": 2, "s": "7"}),
        "the schema decides what a value is"
    );
    assert!(execution["error"].is_null());

    let bad = nexus(&dev, &["run", "-f", "bad.yaml", "--wait", "-o", "json"]);
    assert_eq!(code(&bad), 3);
    assert!(
        as_json(&bad)["error"]["message"]
            .as_str()
            .expect("message")
            .contains("oh no")
    );

    let watched = nexus(&dev, &["run", "good", "--watch"]);
    assert_eq!(code(&watched), 0);
    assert!(stderr(&watched).contains("a SUCCEEDED"), "{}", stderr(&watched));

    let late = nexus(&dev, &["run", "-f", "slow.yaml", "--wait", "--timeout", "300ms"]);
    assert_eq!(code(&late), 6, "{}", stderr(&late));
    let list = as_json(&nexus(&dev, &["executions", "list", "-o", "json"]));
    let slow = list["executions"][0]["id"].as_str().expect("id").to_owned();
    assert_eq!(code(&nexus(&dev, &["executions", "cancel", &slow])), 0);
    assert_eq!(code(&nexus(&dev, &["executions", "wait", &slow])), 5);
}

#[test]
fn mistakes_have_their_own_exit_codes() {
    let dev = Dev::start();
    write(&dev, "good.yaml", GOOD);
    write(
        &dev,
        "invalid.yaml",
        "name: invalid\ntasks: {a: {needs: [zzz], noop: {}}}\n",
    );
    assert_eq!(code(&nexus(&dev, &["frobnicate"])), 2);
    assert_eq!(code(&nexus(&dev, &["validate", "good.yaml"])), 0);
    let invalid = nexus(&dev, &["validate", "good.yaml", "invalid.yaml"]);
    assert_eq!(code(&invalid), 8);
    let said = stdout(&invalid) + &stderr(&invalid);
    assert!(said.contains("invalid.yaml:2:") && said.contains("zzz"), "{said}");
    assert_eq!(code(&nexus(&dev, &["run", "-f", "invalid.yaml"])), 8);
    assert_eq!(code(&nexus(&dev, &["apply", "-f", "good.yaml"])), 0);
    let params = nexus(&dev, &["run", "good", "-p", "n=many"]);
    assert_eq!(code(&params), 8, "{}", stderr(&params));
    let unknown = nexus(&dev, &["run", "goo"]);
    assert_eq!(code(&unknown), 1);
    assert!(stderr(&unknown).contains("did you mean good"), "{}", stderr(&unknown));
    let nowhere = nexus(&dev, &["--address", "http://127.0.0.1:1", "workflows", "list"]);
    assert_eq!(code(&nowhere), 7);
    assert!(nowhere.stdout.is_empty() && !nowhere.stderr.is_empty());
}

#[test]
fn every_look_at_an_execution_works() {
    let dev = Dev::start();
    write(
        &dev,
        "talk.yaml",
        "name: talk\ntasks: {a: {bash: {run: 'echo hello from a'}}, b: {needs: [a], noop: {}}}\n",
    );
    let started = nexus(&dev, &["run", "-f", "talk.yaml", "--wait", "-o", "json"]);
    let id = as_json(&started)["id"].as_str().expect("id").to_owned();
    let got = as_json(&nexus(&dev, &["executions", "get", &id, "-o", "json"]));
    let tasks = got["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        for key in ["id", "state", "attempts", "output", "error"] {
            assert!(task.get(key).is_some(), "{key} is missing in {task}");
        }
        assert_eq!((&task["state"], &task["attempts"]), (&json!("SUCCEEDED"), &json!(1)));
    }
    let yaml = nexus(&dev, &["executions", "get", "@last", "-o", "yaml"]);
    assert!(stdout(&yaml).contains("state: SUCCEEDED"), "{}", stdout(&yaml));
    let table = nexus(&dev, &["executions", "get", &id[..13]]);
    assert!(stdout(&table).contains("SUCCEEDED"), "{}", stdout(&table));
    let history = as_json(&nexus(&dev, &["executions", "history", &id, "-o", "json"]));
    assert_eq!(history["events"][0]["type"], "EXECUTION_CREATED");
    let logs = nexus(&dev, &["logs", &id, "a", "-f"]);
    assert!(stdout(&logs).contains("hello from a"), "{}", stdout(&logs));
    let watch = nexus(&dev, &["executions", "watch", &id]);
    assert_eq!(code(&watch), 0);
    let list = nexus(&dev, &["executions", "list"]);
    assert!(stdout(&list).contains(&id));
}

#[test]
fn every_look_at_a_workflow_works() {
    let dev = Dev::start();
    write(&dev, "good.yaml", GOOD);
    assert_eq!(code(&nexus(&dev, &["apply", "-f", "good.yaml"])), 0);
    write(
        &dev,
        "good.yaml",
        &GOOD.replace("a: {noop", "b: {noop").replace("tasks.a", "tasks.b"),
    );
    let applied = nexus(&dev, &["apply", "-f", "good.yaml", "-o", "json"]);
    assert_eq!(code(&applied), 0, "{}", stderr(&applied));
    let revisions = as_json(&nexus(&dev, &["workflows", "revisions", "good", "-o", "json"]));
    assert_eq!(revisions["revisions"].as_array().expect("revisions").len(), 2);
    let diff = nexus(&dev, &["workflows", "diff", "good"]);
    assert!(stdout(&diff).contains("+  b: {noop"), "{}", stdout(&diff));
    let changes = as_json(&nexus(&dev, &["workflows", "diff", "good", "-o", "json"]));
    assert!(changes["changes"].to_string().contains("/tasks/b"), "{changes}");
    for (format, part) in [
        ("mermaid", "flowchart"),
        ("dot", "digraph"),
        ("svg", "<svg"),
        ("json", "critical_path"),
    ] {
        let graph = nexus(&dev, &["workflows", "graph", "good", "--format", format]);
        assert!(
            stdout(&graph).contains(part),
            "{format}: {}{}",
            stdout(&graph),
            stderr(&graph)
        );
    }
    let export = nexus(&dev, &["workflows", "export", "good"]);
    assert!(stdout(&export).contains("name: good"));
    assert_eq!(
        as_json(&nexus(&dev, &["workflows", "get", "good", "-o", "json"]))["latest_revision"],
        2
    );
    assert_eq!(code(&nexus(&dev, &["workflows", "delete", "good"])), 0);
    assert_eq!(code(&nexus(&dev, &["workflows", "get", "good"])), 1);
}

#[test]
fn standard_input_is_read_where_a_dash_stands() {
    let dev = Dev::start();
    let mut apply = Command::new(binary())
        .args(["apply", "-f", "-"])
        .env("NEXUS_ADDRESS", dev.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nexus");
    apply
        .stdin
        .take()
        .expect("stdin")
        .write_all(GOOD.as_bytes())
        .expect("write");
    assert!(apply.wait().expect("wait").success());
    let list = as_json(&nexus(&dev, &["workflows", "list", "-o", "json"]));
    assert_eq!(list["workflows"][0]["name"], "good");
}

#[test]
fn the_earlier_systems_files_are_imported() {
    let dev = Dev::start();
    let old = r#"{"name": "legacy", "tasks": {"a": {"task_key": "a", "name": "A", "task_type": "bash",
        "config": {"command": "exit 0"}, "depends_on": [], "retry_config": {"max_retries": 3, "retry_delay": 5}}}}"#;
    write(&dev, "old.json", old);
    let imported = nexus(&dev, &["import", "old.json"]);
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    assert!(stdout(&imported).contains("name: legacy"), "{}", stdout(&imported));
    assert!(
        stderr(&imported).contains("NX17"),
        "the report tells what changed meaning: {}",
        stderr(&imported)
    );
    let applied = nexus(&dev, &["import", "old.json", "--apply"]);
    assert_eq!(code(&applied), 0, "{}", stderr(&applied));
    assert_eq!(code(&nexus(&dev, &["run", "legacy", "--wait"])), 0);
}

#[test]
fn completions_and_version_need_no_server() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(binary())
            .args(["completion", shell])
            .output()
            .expect("nexus");
        assert!(output.status.success() && stdout(&output).contains("nexus"), "{shell}");
    }
    let version = Command::new(binary()).arg("version").output().expect("nexus");
    assert!(stdout(&version).starts_with("nexus 0.1.0"));
}

#[test]
fn a_file_with_ten_mistakes_gets_ten_helpful_findings() {
    let file = nexus_tests::root().join("tests/fixtures/broken_etl.yaml");
    let output = Command::new(binary())
        .arg("validate")
        .arg(&file)
        .output()
        .expect("nexus");
    assert_eq!(code(&output), 8);
    let said = stdout(&output) + &stderr(&output);
    for (place, code, part) in [
        ("2:7", "NX1110", "etl_broken"),
        ("9:17", "NX1401", "strng"),
        ("10:10", "NX1111", "10m"),
        ("14:16", "NX1303", "did you mean \"base_url\"?"),
        ("15:7", "NX1101", "did you mean \"method\"?"),
        ("18:24", "NX1203", "did you mean \"fetch\"?"),
        ("21:53", "NX1301", "through args"),
        ("23:13", "NX1203", "did you mean \"clean\"?"),
        ("24:27", "NX1113", "1 to 1000"),
        ("30:19", "NX1105", "did you mean all_success?"),
        ("31:5", "NX1101", "did you mean \"bash\"?"),
    ] {
        let found = said.contains(&format!(":{place}: error[{code}]"));
        assert!(
            found && said.contains(part),
            "{place} {code} {part} is missing in:\n{said}"
        );
    }
}

//! Bash tasks: outputs, failures, strays and stops.

mod common;

use std::time::{Duration, Instant};

use common::{Run, alive, appears, options};
use nexus_tasks::{FailureKind, LogStream, Outcome};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_environment_and_logs() {
    let run = Run::default();
    let script = "echo \"hi $DAY\"; echo warn >&2; echo 'models=12' >> \"$NEXUS_OUTPUT\"; echo \"dir=$(ls | wc -l)\" >> $NEXUS_OUTPUT";
    let ended = run
        .run(
            "bash",
            json!({"run": script, "env": {"DAY": "monday", "OBJ": {"a": 1}}}),
        )
        .await;
    assert_eq!(ended.output(), json!({"models": "12", "dir": "0"}));
    assert_eq!(ended.text(LogStream::Stdout), ["hi monday"]);
    assert_eq!(ended.text(LogStream::Stderr), ["warn"]);
    assert_eq!(run.bash("true").await.output(), json!({}));
    assert_eq!(
        run.bash("echo '{\"n\": 1}' > $NEXUS_OUTPUT").await.output(),
        json!({"n": 1})
    );
    let env = run
        .bash("env | grep -c CARGO > $NEXUS_OUTPUT || true; echo \"n=$(env | grep -c CARGO || true)\" > $NEXUS_OUTPUT")
        .await;
    assert_eq!(env.output(), json!({"n": "0"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_code_line_and_signal() {
    let run = Run::default();
    let ended = run.bash("echo first >&2; echo 'the disk is full' >&2; exit 7").await;
    let failure = ended.failure();
    assert_eq!(failure.error_type, "ExitCode");
    assert_eq!(failure.details, Some(json!({"exit_code": 7})));
    assert!(failure.message.contains("the disk is full"), "{}", failure.message);
    assert!(failure.stack_trace.contains("first"));
    assert_eq!(
        run.bash("false; echo unreachable").await.failure().details,
        Some(json!({"exit_code": 1})),
        "-e"
    );
    assert_eq!(
        run.bash("false | true; echo unreachable").await.failure().error_type,
        "ExitCode",
        "pipefail"
    );
    let killed = run.bash("kill -9 $$").await;
    assert_eq!(killed.failure().error_type, "Signal");
    assert_eq!(
        run.bash("echo nonsense > $NEXUS_OUTPUT").await.failure().error_type,
        "InvalidOutput"
    );
    let large = run.bash("head -c 2000000 /dev/zero | tr '\\0' x > $NEXUS_OUTPUT").await;
    assert_eq!(large.failure().error_type, "OutputTooLarge");
    let link = run.bash("ln -sf /etc/passwd $NEXUS_OUTPUT").await;
    assert_eq!(link.failure().error_type, "InvalidOutput");
}

#[tokio::test(flavor = "multi_thread")]
async fn strays_die_even_without_group_and_environment() {
    let run = Run::default();
    let script = "sleep 600 & echo a=$! >> $NEXUS_OUTPUT\n(setsid env -i sleep 600 & echo b=$! >> $NEXUS_OUTPUT)\nsetsid -f sleep 601\necho c=$(pgrep -n -f 'sleep 601') >> $NEXUS_OUTPUT";
    let started = Instant::now();
    let output = run.bash(script).await.output();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    for key in ["a", "b", "c"] {
        let pid: i64 = output[key].as_str().expect(key).parse().expect(key);
        assert!(!alive(pid), "{key}={pid} is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_script_is_stopped_by_time_and_by_hand() {
    let run = Run::default().timeout(Duration::from_millis(300));
    let started = Instant::now();
    let ended = run.bash("trap '' TERM; (trap '' TERM; sleep 600) & sleep 600").await;
    assert_eq!(ended.failure().kind, FailureKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    let run = Run::default();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ready");
    let script = format!("trap 'echo bye; exit 0' TERM; echo ready > {file:?}; sleep 600 & wait");
    let stop = async {
        appears(&file).await;
        run.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(run.bash(&script), stop);
    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert_eq!(ended.text(LogStream::Stdout), ["bye"]);
    let already = run.bash("true").await;
    assert_eq!(already.outcome, Outcome::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_drained_with_one_marker() {
    let run = Run::default();
    let ended = run
        .bash("head -c 209715200 /dev/zero | tr '\\0' '\\n'; echo done=1 >> $NEXUS_OUTPUT")
        .await;
    assert_eq!(ended.output(), json!({"done": "1"}));
    assert_eq!(ended.text(LogStream::System).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_when_asked_for() {
    let run = Run::default();
    let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let ended = run.run("bash", json!({"run": script, "memory": "64MiB"})).await;
    assert!(
        matches!(ended.failure().error_type.as_str(), "ExitCode" | "Signal"),
        "{:?}",
        ended.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_and_its_children_yield_the_processor() {
    let own = std::process::Command::new("nice").output().expect("coreutils");
    let own: i64 = String::from_utf8_lossy(&own.stdout).trim().parse().expect("a number");
    let mut options = options();
    options.niceness = 5;
    let run = Run::with(options);
    let ended = run
        .bash("echo n=$(nice) >> $NEXUS_OUTPUT; (echo c=$(nice) >> $NEXUS_OUTPUT) & wait")
        .await;
    let nice = (own + 5).to_string();
    assert_eq!(ended.output(), json!({"n": nice, "c": nice}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_the_supervisor_is_nobodys_fault() {
    let run = Run::default();
    let ended = run.bash("kill -9 $PPID; sleep 1").await;
    assert_eq!(ended.failure().error_type, "WorkerLost");
    assert_eq!(ended.failure().kind, FailureKind::Infrastructure);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_bash_and_unknown_kinds_are_final() {
    let mut options = options();
    options.bash = "no-such-bash".into();
    let run = Run::with(options);
    assert_eq!(run.bash("true").await.failure().error_type, "MissingProgram");
    assert!(run.run("cobol", json!({})).await.failure().non_retryable);
    assert_eq!(
        run.run("noop", json!({"output": {"a": [1, null]}})).await.output(),
        json!({"a": [1, null]})
    );
    assert_eq!(run.run("noop", json!({})).await.output(), json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scripts_own_pipes_still_write_is_kept() {
    let run = Run::default();
    let script = "exec > >(tee log.txt)\nseq 1 20000\necho 'the last word'";
    for _ in 0..5 {
        let ended = run.bash(script).await;
        let lines = ended.text(LogStream::Stdout);
        assert_eq!((lines.len(), lines.last().copied()), (20_001, Some("the last word")));
    }
    let slow = run
        .bash("(sleep 0.7; echo out) & (sleep 0.7; echo err >&2) & true")
        .await;
    assert_eq!(
        (slow.text(LogStream::Stdout), slow.text(LogStream::Stderr)),
        (vec!["out"], vec!["err"])
    );
    // What does not hold the output is not waited for.
    let started = Instant::now();
    let quiet = run.bash("sleep 600 >/dev/null 2>&1 & true").await;
    assert!(quiet.text(LogStream::System).is_empty());
    assert!(
        started.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_left_behind_holds_the_task_for_the_grace_and_no_longer() {
    let run = Run::default();
    let started = Instant::now();
    let ended = run
        .bash("(while sleep 0.1; do echo tick; done) & echo n=1 >> $NEXUS_OUTPUT; exit 0")
        .await;
    assert_eq!(ended.output(), json!({"n": "1"}));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(ended.text(LogStream::Stdout).len() > 10);
    let told = ended.text(LogStream::System);
    assert!(told.len() == 1 && told[0].contains("still held its output"), "{told:?}");
    let failed = run.bash("sleep 600 & exit 3").await;
    assert_eq!(failed.failure().details, Some(json!({"exit_code": 3})));
}

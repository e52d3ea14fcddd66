//! Kills in the middle, really done.

use nexus_api::execution::v1::{ListAttemptsRequest, attempt, execution, task};
use nexus_tests::{Dev, DevOptions, eventually};

fn options() -> DevOptions {
    DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    }
}

/// Each run of a task appends a line to a file: a witness outside of NEXUS.
fn source(witness: &std::path::Path) -> String {
    let task = |needs: &str, name: &str, then: &str| {
        format!(
            "  {name}: {{{needs}bash: {{run: \"echo {name} >> {}; {then}\"}}}}\n",
            witness.display()
        )
    };
    let mut source = "name: survivor\ntasks:\n".to_owned();
    source += &task("", "first", "true");
    source += &task("needs: [first], ", "second", "true");
    source += &task("needs: [second], ", "slow", "sleep 1.5");
    source += &task("needs: [slow], ", "last", "true");
    source
}

#[tokio::test]
async fn a_killed_process_goes_on_from_the_last_finished_task() {
    let dev = Dev::start();
    let witness = dev.folder().join("witness");
    let id = dev.launch(&source(&witness), "").await;
    eventually("the slow task runs", async || {
        std::fs::read_to_string(&witness).is_ok_and(|text| text.ends_with("slow\n"))
            && dev.task(&id, "slow").await.state() == task::State::Running
    })
    .await;
    let mut dev = dev.kill_and_restart(options());
    let line = dev.wait_for_line("after the restart");
    assert!(
        line.contains("1 execution goes on") && line.contains("2 tasks had ended"),
        "{line}"
    );
    assert!(line.contains("1 attempt was interrupted"), "{line}");
    let execution = dev.wait(&id).await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let runs = std::fs::read_to_string(&witness).expect("witness");
    assert_eq!(
        runs, "first\nsecond\nslow\nslow\nlast\n",
        "what had succeeded did not run again"
    );
    let slow = dev.task(&id, "slow").await;
    assert_eq!(
        (slow.attempts, slow.infra_losses),
        (1, 0),
        "a restart spends no attempt"
    );
    let request = ListAttemptsRequest {
        execution: id,
        task: "slow".into(),
        ..Default::default()
    };
    let attempts = dev
        .executions()
        .list_attempts(request)
        .await
        .expect("attempts")
        .into_inner()
        .attempts;
    let states: Vec<_> = attempts.iter().map(nexus_api::execution::v1::Attempt::state).collect();
    assert_eq!(states, [attempt::State::Lost, attempt::State::Succeeded]);
}

#[tokio::test]
async fn a_kill_leaves_no_process_of_a_task_behind() {
    let dev = Dev::start();
    let pids = dev.folder().join("pids");
    let source = format!(
        "name: orphans\ntasks:\n  bash: {{bash: {{run: \"echo $$ >> {0}; setsid sleep 300 & echo $! >> {0}; sleep 300\"}}}}\n  \
         python: {{python: {{args: {{file: {0}}}, code: \"import os, time\\ndef main(file):\\n    open(file, 'a').write(str(os.getpid()) + chr(10))\\n    time.sleep(300)\\n\"}}}}\n",
        pids.display()
    );
    let _id = dev.launch(&source, "").await;
    let read = || std::fs::read_to_string(&pids).unwrap_or_default();
    eventually("three processes run", async || read().lines().count() == 3).await;
    let running: Vec<String> = read().lines().map(str::to_owned).collect();
    let dev = dev.kill_and_restart(DevOptions {
        args: vec!["--no-sample".into(), "--slots=1".into()],
        ..options()
    });
    for pid in running {
        let process = std::path::Path::new("/proc").join(&pid);
        eventually("the task's process is gone", async || {
            // A process that is dead but not waited for yet counts as gone.
            let status = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        })
        .await;
    }
    drop(dev);
}

#[tokio::test]
async fn many_kills_lose_nothing() {
    let mut dev = Dev::start();
    let witness = dev.folder().join("witness");
    let source = format!(
        "name: steps\nparams: {{type: object}}\ntasks:\n{}",
        (0..8)
            .map(|n| {
                let needs = if n == 0 { String::new() } else { format!("needs: [t{}], ", n - 1) };
                format!("  t{n}: {{{needs}bash: {{env: {{N: '{{{{ params.n }}}}'}}, run: \"sleep 0.05; echo $N-{n} >> {}\"}}}}\n", witness.display())
            })
            .collect::<String>()
    );
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(dev.launch(&source, &format!("{{\"n\":{n}}}")).await);
        if n % 2 == 1 {
            dev = dev.kill_and_restart(options());
        }
    }
    for id in &ids {
        let execution = dev.wait(id).await;
        assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    }
    let runs = std::fs::read_to_string(&witness).expect("witness");
    for n in 0..6 {
        let own: Vec<&str> = runs
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{n}-")))
            .collect();
        let mut order: Vec<&str> = own.clone();
        order.dedup();
        assert_eq!(
            order,
            ["0", "1", "2", "3", "4", "5", "6", "7"],
            "every task ran, in order, repeats only of the interrupted one"
        );
    }
}

#[tokio::test]
async fn at_most_once_is_not_repeated_after_a_kill() {
    let dev = Dev::start();
    let witness = dev.folder().join("witness");
    let source = format!(
        "name: once\ntasks: {{pay: {{delivery: at_most_once, bash: {{run: \"echo paid >> {}; sleep 300\"}}}}}}",
        witness.display()
    );
    let id = dev.launch(&source, "").await;
    eventually("it has paid", async || {
        std::fs::read_to_string(&witness).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let dev = dev.kill_and_restart(options());
    let execution = dev.wait(&id).await;
    assert_eq!(execution.state(), execution::State::Failed);
    let pay = dev.task(&id, "pay").await;
    assert_eq!(pay.state(), task::State::Unknown);
    assert!(pay.error.expect("error").message.contains("find out"));
    assert_eq!(std::fs::read_to_string(&witness).expect("witness"), "paid\n");
}

#[tokio::test]
async fn a_stop_lets_running_tasks_finish() {
    let mut dev = Dev::start();
    let id = dev
        .launch(
            "name: short\ntasks: {a: {bash: {run: sleep 1}}, b: {needs: [a], noop: {}}}",
            "",
        )
        .await;
    eventually("it runs", async || {
        dev.task(&id, "a").await.state() == task::State::Running
    })
    .await;
    assert!(dev.stop().success());
    let dev = dev.kill_and_restart(options());
    let execution = dev.wait(&id).await;
    assert_eq!(execution.state(), execution::State::Succeeded);
    let a = dev.task(&id, "a").await;
    assert_eq!((a.state(), a.attempts, a.infra_losses), (task::State::Succeeded, 1, 0));
}

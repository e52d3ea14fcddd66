//! Python tasks: results, failures, limits, and everything that a task can do to its process.

mod common;

use std::time::{Duration, Instant};

use common::{Run, alive, appears, options};
use nexus_tasks::{FailureKind, LogStream, Outcome, TaskRunner};
use serde_json::json;

/// Makes a test of each function for each isolation: what the user sees is the same.
macro_rules! in_each_isolation {
    ($($name:ident)*) => {
        in_each_isolation!(@ fork: $($name)*);
        in_each_isolation!(@ warm: $($name)*);
        in_each_isolation!(@ process: $($name)*);
    };
    (@ $isolation:ident: $($name:ident)*) => {
        mod $isolation {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(Run::isolated(stringify!($isolation))).await;
                }
            )*
        }
    };
}

in_each_isolation! {
    arguments_and_results_are_exact_json
    a_function_of_a_module_is_found_on_the_python_path
    an_exception_shows_the_users_lines_and_no_others
    what_is_no_json_is_said_so
    every_way_to_die_has_its_failure
    memory_is_limited
    strays_die_with_their_attempt
    a_task_that_ignores_sigterm_is_killed
    cancel_stops_at_once_and_cleanup_code_runs
    a_dropped_attempt_leaves_nothing
    odd_output_becomes_clean_lines
    a_flood_of_output_is_cut_and_the_task_ends_well
    the_environment_is_clean_and_the_folder_is_gone_afterwards
    secrets_do_not_leave
    forty_at_a_time_all_end_well
    it_and_its_children_yield_the_processor
}

async fn arguments_and_results_are_exact_json(run: Run) {
    let code = "def main(a, b=2):\n    print('hello')\n    return {'a': a, 'b': b, 'big': 2**80, 't': (1, None, True, 1.5, 'ä')}";
    let ended = run
        .python_with(json!({"code": code, "args": {"a": [1, 9007199254740993_i64]}}))
        .await;
    let Outcome::Succeeded(text) = &ended.outcome else {
        panic!("{:?}", ended.outcome)
    };
    assert_eq!(
        text,
        r#"{"a":[1,9007199254740993],"b":2,"big":1208925819614629174706176,"t":[1,null,true,1.5,"\u00e4"]}"#
    );
    assert_eq!(ended.text(LogStream::Stdout), ["hello"]);
    let ended = run
        .python("async def main():\n    import asyncio\n    await asyncio.sleep(0.01)\n    return 7")
        .await;
    assert_eq!(ended.output(), 7);
}

async fn a_function_of_a_module_is_found_on_the_python_path(mut run: Run) {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(
        folder.path().join("probe_mod.py"),
        "class Jobs:\n    @staticmethod\n    def double(x):\n        return x * 2\n",
    )
    .expect("write");
    let mut options = options();
    options.python_path = vec![folder.path().to_path_buf()];
    run.runner = TaskRunner::new(options);
    let ended = run
        .python_with(json!({"function": "probe_mod:Jobs.double", "args": {"x": 21}}))
        .await;
    assert_eq!(ended.output(), 42);
    let ended = run.python_with(json!({"function": "no_such_module:f"})).await;
    assert_eq!(ended.failure().error_type, "ModuleNotFoundError");
    let ended = run.python_with(json!({"function": "json:loads", "code": "x"})).await;
    assert_eq!(ended.failure().error_type, "InvalidTask");
}

async fn an_exception_shows_the_users_lines_and_no_others(run: Run) {
    let ended = run.python("def helper(x):\n    return 1 / x\n\ndef main():\n    try:\n        helper(0)\n    except ZeroDivisionError as e:\n        raise ValueError('bad rows') from e").await;
    let failure = ended.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.message.as_str()),
        ("ValueError", "bad rows")
    );
    assert!(
        failure
            .stack_trace
            .contains("File \"<task probe>\", line 2, in helper\n    return 1 / x"),
        "{}",
        failure.stack_trace
    );
    assert!(!failure.stack_trace.contains("<string>"), "{}", failure.stack_trace);
    assert_eq!(failure.kind, FailureKind::User);

    let failure = run.python("def main(:\n  pass").await.failure().clone();
    assert_eq!(failure.error_type, "SyntaxError");
    assert!(
        failure.stack_trace.contains("<task probe>\", line 1"),
        "{}",
        failure.stack_trace
    );
    assert!(
        run.python("x = 1")
            .await
            .failure()
            .message
            .contains("no function `main`")
    );
    assert_eq!(run.python("def main(x): pass").await.failure().error_type, "TypeError");
    let deep = run
        .python("def main():\n    def f(n): return f(n + 1)\n    return f(0)")
        .await;
    assert_eq!(deep.failure().error_type, "RecursionError");
}

async fn what_is_no_json_is_said_so(run: Run) {
    for code in [
        "def main(): return float('nan')",
        "def main(): return {1, 2}",
        "def main():\n    a = []\n    a.append(a)\n    return a",
        "def main():\n    a = []\n    for _ in range(5000): a = [a]\n    return a",
        "def main(): return '\\ud800'",
    ] {
        assert_eq!(run.python(code).await.failure().error_type, "ResultNotJson", "{code}");
    }
    let large = run.python("def main(): return 'x' * (2 << 20)").await;
    assert_eq!(large.failure().error_type, "OutputTooLarge");
}

async fn every_way_to_die_has_its_failure(run: Run) {
    let ended = run
        .python("import os\ndef main():\n    print('last words')\n    os._exit(7)")
        .await;
    assert_eq!(ended.failure().error_type, "ExitCode");
    assert_eq!(ended.failure().details, Some(json!({"exit_code": 7})));
    assert_eq!(ended.text(LogStream::Stdout), ["last words"]);
    assert_eq!(
        run.python("import os\ndef main(): os._exit(0)")
            .await
            .failure()
            .error_type,
        "ExitCode"
    );
    assert_eq!(
        run.python("import sys\ndef main(): sys.exit(3)")
            .await
            .failure()
            .details,
        Some(json!({"exit_code": 3}))
    );
    assert!(
        run.python("import sys\ndef main(): sys.exit('no data')")
            .await
            .failure()
            .message
            .contains("no data")
    );
    let crash = run.python("import ctypes\ndef main(): ctypes.string_at(0)").await;
    assert_eq!(crash.failure().error_type, "Signal");
    assert_eq!(
        crash.failure().details.as_ref().expect("details")["signal_name"],
        "SIGSEGV"
    );
    assert!(
        crash.failure().stack_trace.contains("in main"),
        "faulthandler tells where: {}",
        crash.failure().stack_trace
    );
    let killed = run.python("import os\ndef main(): os.kill(os.getpid(), 9)").await;
    assert_eq!(killed.failure().error_type, "Signal");
}

async fn memory_is_limited(run: Run) {
    let code = "def main():\n    x = bytearray(300 << 20)\n    return len(x)";
    let ended = run.python_with(json!({"code": code, "memory": "128MiB"})).await;
    assert_eq!(ended.failure().error_type, "OutOfMemory");
    assert_eq!(run.python(code).await.output(), 300 << 20);
    let bad = run.python_with(json!({"code": code, "memory": "lots"})).await;
    assert_eq!(bad.failure().error_type, "InvalidTask");
}

async fn strays_die_with_their_attempt(run: Run) {
    // Double fork, a session of its own, an empty environment, and stdout kept open.
    let code = r"
import os, sys, time
def main():
    r, w = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(w, str(os.getpid()).encode())
            os.execve('/bin/sleep', ['sleep', '600'], {})
        os._exit(0)
    os.wait()
    return int(os.read(r, 20))
";
    let started = Instant::now();
    let pid = run.python(code).await.output().as_i64().expect("pid");
    assert!(!alive(pid), "{pid} is still there");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

async fn a_task_that_ignores_sigterm_is_killed(run: Run) {
    // Long enough for an interpreter to start, also on a busy machine.
    let run = run.timeout(Duration::from_secs(5));
    let code = "import signal, time, os\ndef main():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print(os.getpid())\n    time.sleep(600)";
    let started = Instant::now();
    let ended = run.python(code).await;
    assert_eq!(ended.failure().error_type, "Timeout");
    assert_eq!(ended.failure().kind, FailureKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let pid = ended.text(LogStream::Stdout)[0].parse().expect("pid");
    assert!(!alive(pid));
}

async fn cancel_stops_at_once_and_cleanup_code_runs(run: Run) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ready");
    let code = format!(
        "import signal, sys, time\ndef stop(*_):\n    print('cleaned up')\n    sys.exit(0)\ndef main():\n    signal.signal(signal.SIGTERM, stop)\n    open({file:?}, 'w').write('ready\\n')\n    time.sleep(600)"
    );
    let stop = async {
        appears(&file).await;
        run.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(run.python(&code), stop);
    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert_eq!(ended.text(LogStream::Stdout), ["cleaned up"]);
}

async fn a_dropped_attempt_leaves_nothing(run: Run) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("pid");
    let code = format!(
        "import os, time\ndef main():\n    open({file:?}, 'w').write('%d\\n' % os.getpid())\n    time.sleep(600)"
    );
    let pid: i64 = tokio::select! {
        ended = run.python(&code) => panic!("{:?}", ended.outcome),
        text = appears(&file) => text.parse().expect("number"),
    };
    let until = Instant::now() + Duration::from_secs(15);
    while alive(pid) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!alive(pid));
}

async fn odd_output_becomes_clean_lines(run: Run) {
    let code = r"
import os, sys
def main():
    os.write(1, b'bad \xff nul \0 end\n')
    os.write(1, b'x' * 100000 + b'\n')
    print('to stderr', file=sys.stderr)
    os.write(1, b'no newline')
    sys.stdout.close()
    return 1
";
    let ended = run.python(code).await;
    assert_eq!(ended.output(), 1);
    let out = ended.text(LogStream::Stdout);
    assert_eq!(out[0], "bad \u{fffd} nul  end");
    assert!(out[1].len() <= 16 * 1024 && out[1].ends_with("[line cut]"));
    assert_eq!(out[2], "no newline");
    assert_eq!(ended.text(LogStream::Stderr), ["to stderr"]);
}

async fn a_flood_of_output_is_cut_and_the_task_ends_well(run: Run) {
    let code = "import sys\ndef main():\n    line = 'y' * 1023 + '\\n'\n    for _ in range(200):\n        sys.stdout.write(line * 1024)\n    return 'done'";
    let ended = run.python(code).await;
    assert_eq!(ended.output(), "done");
    let bytes: usize = ended.text(LogStream::Stdout).iter().map(|line| line.len() + 1).sum();
    assert!(bytes <= 10 << 20, "{bytes}");
    assert_eq!(ended.text(LogStream::System).len(), 1, "one marker");
}

async fn the_environment_is_clean_and_the_folder_is_gone_afterwards(run: Run) {
    let code = "import os\ndef main():\n    open('scratch.txt', 'w').write('x')\n    return {'env': dict(os.environ), 'cwd': os.getcwd()}";
    let ended = run
        .python_with(json!({"code": code, "env": {"DAY": "2026-01-01", "N": 3}}))
        .await;
    let output = ended.output();
    let env = output["env"].as_object().expect("env");
    assert_eq!(
        (env["DAY"].as_str(), env["N"].as_str()),
        (Some("2026-01-01"), Some("3"))
    );
    assert_eq!(env["NEXUS_TASK"], "probe");
    assert!(!env.keys().any(|key| key.starts_with("CARGO")), "{env:?}");
    let cwd = output["cwd"].as_str().expect("cwd").to_owned();
    let until = Instant::now() + Duration::from_secs(5);
    while std::path::Path::new(&cwd).exists() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!std::path::Path::new(&cwd).exists());
}

async fn secrets_do_not_leave(mut run: Run) {
    run.secrets = vec!["hunter2secret".into()];
    let code = "import base64, sys, os\ndef main(key):\n    os.write(1, key[:5].encode()); os.write(1, key[5:].encode() + b'\\n')\n    print(base64.b64encode(('user:' + key).encode()).decode())\n    return {'k': key, key: 1}";
    let ended = run
        .python_with(json!({"code": code, "args": {"key": "hunter2secret"}}))
        .await;
    assert_eq!(ended.output(), json!({"k": "***", "***": 1}));
    let out = ended.text(LogStream::Stdout);
    assert_eq!(out[0], "***");
    assert!(out[1].contains("***"), "{}", out[1]);
    let ended = run
        .python_with(json!({"code": "def main(key): raise KeyError(key)", "args": {"key": "hunter2secret"}}))
        .await;
    let failure = format!("{:?}", ended.failure());
    assert!(!failure.contains("hunter2"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_interpreter_is_started_again() {
    let run = Run::default();
    // The keeper's parent is the interpreter.
    let code = "import os\ndef main():\n    with open('/proc/%d/stat' % os.getppid()) as f:\n        return int(f.read().rsplit(') ', 1)[1].split()[1])";
    let pid = run.python(code).await.output().as_i64().expect("pid");
    let lost = run
        .python("import os, signal, time\ndef main():\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)")
        .await;
    assert_eq!(lost.failure().error_type, "WorkerLost");
    assert_eq!(lost.failure().kind, FailureKind::Infrastructure);
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .expect("kill")
            .success()
    );
    let next = run.python(code).await.output().as_i64().expect("pid");
    assert_ne!(pid, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_python_the_failure_says_what_is_missing() {
    let mut options = options();
    options.python = "no-such-python3".into();
    let ended = Run::with(options).python("def main(): pass").await;
    assert_eq!(ended.failure().error_type, "MissingProgram");
    assert!(ended.failure().message.contains("no-such-python3") && ended.failure().non_retryable);
}

/// Not a bound that fails a build on a busy machine: prints the figure that the design aims at.
async fn forty_at_a_time_all_end_well(run: Run) {
    let code = "def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)\ndef main(): return fib(10)";
    assert_eq!(run.python(code).await.output(), 55);
    for _ in 0..3 {
        let all = futures::future::join_all((0..40).map(|_| run.python(code))).await;
        assert!(all.iter().all(|ended| ended.output() == 55));
    }
}

async fn it_and_its_children_yield_the_processor(run: Run) {
    let code = "import os, subprocess\ndef main():\n    return [os.nice(0), int(subprocess.check_output(['nice']))]";
    let own = nice_of_this_process();
    assert_eq!(run.python(code).await.output(), json!([own + 10, own + 10]));
}

/// What tasks are nicer than.
fn nice_of_this_process() -> i64 {
    let told = std::process::Command::new("nice").output().expect("coreutils");
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tasks_children_still_write_is_kept() {
    let code = "import subprocess\ndef main():\n    subprocess.Popen(['sh', '-c', 'sleep 0.7; echo late; echo worse >&2'])\n    return 1";
    for isolation in ["fork", "process", "warm"] {
        let ended = Run::isolated(isolation).python(code).await;
        assert_eq!(ended.output(), json!(1));
        assert_eq!(
            (ended.text(LogStream::Stdout), ended.text(LogStream::Stderr)),
            (vec!["late"], vec!["worse"]),
            "{isolation}"
        );
    }
    let daemon = "import subprocess\ndef main():\n    subprocess.Popen(['sleep', '600'])\n    return 1";
    let started = std::time::Instant::now();
    let ended = Run::default().python(daemon).await;
    assert_eq!(ended.output(), json!(1));
    assert_eq!(ended.text(LogStream::System).len(), 1);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

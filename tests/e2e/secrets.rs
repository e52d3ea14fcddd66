//! What a task's process can learn of the worker: neither its secrets nor its databases' passwords.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use nexus_tests::{Dev, DevOptions, binary};
use serde_json::Value;

/// In no file, and in no argument of a test's process: only in the environment of the worker.
const PLANTED: &str = "planted-8f1b2c";

/// Looks at every process and every descriptor that it may look at.
const LOOK: &str = r#"
import os
def main():
    word, found, looked = ("planted-" + "8f1b2c").encode(), [], 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            try:
                with open("/proc/%s/%s" % (pid, name), "rb") as file:
                    looked += 1
                    if word in file.read():
                        found.append("%s of %s" % (name, pid))
            except OSError:
                pass
        try:
            for number in os.listdir("/proc/%s/fd" % pid):
                path = "/proc/%s/fd/%s" % (pid, number)
                if "memfd" in os.readlink(path):
                    with open(path, "rb") as file:
                        if word in file.read():
                            found.append(path)
        except OSError:
            pass
        if int(pid) != os.getpid():
            found += memory(pid, word)
    return {"found": found, "looked": looked, "uid": os.getuid()}

def memory(pid, word):
    found = []
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as line:
            if b"\0dev\0" not in line.read():
                return []
        with open("/proc/%s/maps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as mem:
            for line in maps:
                area, rights = line.split()[:2]
                start, end = (int(part, 16) for part in area.split("-"))
                if rights.startswith("rw") and end - start < 1 << 28:
                    try:
                        mem.seek(start)
                        if word in mem.read(end - start):
                            found.append("memory of %s" % pid)
                    except OSError:
                        pass
    except OSError:
        pass
    return found
"#;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn workflow() -> String {
    let code = LOOK.replace('\n', "\n        ");
    let mut text = String::from("name: look\ntasks:\n");
    for isolation in ["fork", "warm", "process"] {
        text += &format!("  {isolation}:\n    python:\n      isolation: {isolation}\n      code: |\n        {code}\n");
    }
    text += "  bash:\n    bash:\n      run: |\n        word=planted-; word=${word}8f1b2c\n        printf '%s' $word > pattern\n        n=$(cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -acf pattern || true)\n        echo \"n=$n\" >> $NEXUS_OUTPUT\n        echo \"uid=$(id -u)\" >> $NEXUS_OUTPUT\n";
    text + "output: {fork: \"{{ tasks.fork.output }}\", warm: \"{{ tasks.warm.output }}\", process: \"{{ tasks.process.output }}\", bash: \"{{ tasks.bash.output }}\"}\n"
}

async fn look(dev: &Dev) -> Value {
    let execution = dev.run(&workflow(), "{}").await;
    serde_json::from_str(&execution.output).expect("an output")
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_the_workers_user_find_no_secret_of_it() {
    // As root the kernel denies nothing; then the environment and the arguments are clean all the same.
    let root = is_root();
    let options = DevOptions {
        env: vec![
            ("NEXUS_SECRET_PLANTED".into(), PLANTED.into()),
            (
                "NEXUS_CONNECTION_DB".into(),
                format!("postgres://u:{PLANTED}@127.0.0.1/x"),
            ),
        ],
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    };
    let dev = Dev::start_with(options);
    let seen = look(&dev).await;
    for isolation in ["fork", "warm", "process"] {
        let seen = &seen[isolation];
        let found: Vec<&str> = seen["found"]
            .as_array()
            .expect("list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let unexpected: Vec<_> = found
            .iter()
            .filter(|what| !(root && what.starts_with("memory")))
            .collect();
        assert!(
            unexpected.is_empty() && seen["looked"].as_i64() > Some(2),
            "{isolation}: {seen}"
        );
    }
    assert_eq!(seen["bash"]["n"], "0");
    // The secret still reaches the task that names it.
    let uses = "name: uses\ntasks:\n  a: {bash: {env: {S: \"{{ secrets.planted }}\"}, run: 'echo \"n=${#S}\" >> $NEXUS_OUTPUT'}}\noutput: \"{{ tasks.a.output.n }}\"\n";
    assert_eq!(dev.run(uses, "{}").await.output, format!("\"{}\"", PLANTED.len()));
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_with_a_user_of_their_own_find_nothing_even_where_the_worker_is_roots() {
    let worker = |server: &str, user: &str| {
        let mut command = Command::new(binary());
        command
            .args([
                "serve",
                "--roles",
                "worker",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
            ])
            .args(["--set", &format!("database.url=postgres://u:{PLANTED}@127.0.0.1/x")])
            .env("NEXUS_EXECUTION__ADDRESS", server)
            .env("NEXUS_SECRET_PLANTED", PLANTED)
            .env("NEXUS_WORKER__QUEUES", "far")
            .env("NEXUS_WORKER__USER", user)
            // Programs that every user may run.
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null());
        command
    };
    let missing = worker("http://127.0.0.1:1", "no-such-user")
        .output()
        .expect("nexus serve");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("no-such-user"), "{said}");
    if !is_root() {
        let refused = worker("http://127.0.0.1:1", "root").output().expect("nexus serve");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("must be root"), "{said}");
        return;
    }
    let dev = Dev::start();
    let mut command = worker(dev.address(), "nobody");
    let _worker = Killed(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nexus serve"),
    );
    let text = workflow()
        .replace("    python:\n", "    queue: far\n    python:\n")
        .replace("    bash:\n      run", "    queue: far\n    bash:\n      run");
    let seen: Value = serde_json::from_str(&dev.run(&text, "{}").await.output).expect("an output");
    for isolation in ["fork", "warm", "process"] {
        let seen = &seen[isolation];
        assert!(
            seen["found"].as_array().is_some_and(Vec::is_empty),
            "{isolation}: {seen}"
        );
        assert!(seen["uid"].as_i64().is_some_and(|uid| uid != 0), "{isolation}: {seen}");
    }
    assert_eq!(seen["bash"]["n"], "0");
    assert_ne!(seen["bash"]["uid"], "0");
}

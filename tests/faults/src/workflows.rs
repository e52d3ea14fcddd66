//! The workflows of the load. Each task tells the witness when it begins and when it ends, under the life of the
//! process that runs it: a secret of the process, since nothing else of it reaches a task.

/// A workflow of the load.
#[derive(Debug, Clone, Copy)]
pub struct Workflow {
    /// Its name.
    pub name: &'static str,
    /// Whether somebody cancels it while it runs.
    pub cancelled: bool,
    source: fn() -> String,
}

impl Workflow {
    /// The workflow file.
    #[must_use]
    pub fn source(&self) -> String {
        let tasks = (self.source)();
        let name = self.name;
        format!(
            "name: {name}\nparams: {{type: object, properties: {{witness: {{type: string}}, web: {{type: string}}}}}}\ntasks:\n{tasks}"
        )
    }
}

/// Tells the witness; the shell's own sockets, so that nothing has to be installed.
const SAY: &str = r#"say() { exec 3<>"/dev/tcp/${W%:*}/${W#*:}"; printf '%s\n' "$*" >&3; read -r answer <&3; exec 3>&-; [[ $answer == ok* ]]; }
        me="$NEXUS_EXECUTION $NEXUS_TASK $NEXUS_ATTEMPT $LIFE $$"; nonce="n$RANDOM$RANDOM$RANDOM"
        say begin $me
        "#;
const DONE: &str = r#"say end $me ok nonce=$nonce
        echo "nonce=$nonce" >> "$NEXUS_OUTPUT""#;

/// A bash task: its fields, and what it does between its begin and its end.
fn bash(id: &str, fields: &str, body: &str) -> String {
    format!(
        "  {id}:\n{fields}    bash:\n      env: {{W: '{{{{ params.witness }}}}', LIFE: '{{{{ secrets.life }}}}'}}\n      run: |\n        {SAY}{body}\n        {DONE}\n"
    )
}

fn needs(ids: &str) -> String {
    format!("    needs: [{ids}]\n")
}

/// Four tasks in a row; each writes a line to its log.
pub const CHAIN: Workflow = Workflow {
    name: "chain",
    cancelled: false,
    source: || {
        let work = "echo working; sleep 0.05";
        let first = bash("t0", "", work);
        let rest = (1..4).map(|n| bash(&format!("t{n}"), &needs(&format!("t{}", n - 1)), work));
        first + &rest.collect::<String>()
    },
};

/// One, then four at a time, then one.
pub const FAN: Workflow = Workflow {
    name: "fan",
    cancelled: false,
    source: || {
        let arms = (0..4).map(|n| bash(&format!("arm{n}"), &needs("open"), "sleep 0.1"));
        let all = "arm0, arm1, arm2, arm3";
        bash("open", "", "true") + &arms.collect::<String>() + &bash("close", &needs(all), "true")
    },
};

/// A task that fails at first and is tried again, and one that handles whatever came of it.
pub const RETRY: Workflow = Workflow {
    name: "retry",
    cancelled: false,
    source: || {
        let fields = "    retry: {max_attempts: 4, initial_interval: 50ms, backoff_coefficient: 1}\n";
        let body = r#"if [ "$NEXUS_ATTEMPT" -lt 3 ]; then say end $me failed; echo "fails" >&2; exit 3; fi"#;
        let rule = "    needs: [shaky]\n    trigger_rule: all_done\n";
        bash("shaky", fields, body) + &bash("sweep", rule, "true")
    },
};

/// A payment that must not be made twice, after something and before something.
pub const ONCE: Workflow = Workflow {
    name: "once",
    cancelled: false,
    source: || {
        let fields = "    needs: [cart]\n    delivery: at_most_once\n";
        let rule = "    needs: [pay]\n    trigger_rule: all_done\n";
        bash("cart", "", "true") + &bash("pay", fields, "sleep 0.1") + &bash("mail", rule, "true")
    },
};

/// A payment without anything before it.
pub const PAY_FIRST: Workflow = Workflow {
    name: "pay_first",
    cancelled: false,
    source: || bash("pay", "    delivery: at_most_once\n", "sleep 0.1"),
};

/// A task that does nothing, for starts by the thousand.
pub const NOTHING: Workflow = Workflow {
    name: "nothing",
    cancelled: false,
    source: || "  only: {noop: {output: 1}}\n".to_owned(),
};

/// Somebody cancels this one while it sleeps.
pub const STOPPED: Workflow = Workflow {
    name: "stopped",
    cancelled: true,
    source: || bash("long", "", "sleep 60") + &bash("never", &needs("long"), "true"),
};

/// One long task: for what takes its time.
pub const SLOW: Workflow = Workflow {
    name: "slow",
    cancelled: false,
    source: || bash("nap", "", "sleep 9"),
};

/// A task for a worker outside, and one after it.
pub const FAR: Workflow = Workflow {
    name: "far",
    cancelled: false,
    source: || far("far", "") + &bash("near", &needs("far"), "true"),
};

/// A task for a worker outside that must not run twice.
pub const FAR_ONCE: Workflow = Workflow {
    name: "far_once",
    cancelled: false,
    source: || far("far", "    delivery: at_most_once\n"),
};

/// Longer than it takes to notice that it runs, shorter than a lease.
fn far(id: &str, fields: &str) -> String {
    let input = "{witness: '{{ params.witness }}', work_ms: 7000}";
    format!("  {id}:\n    queue: outside\n{fields}    noop: {{output: {input}}}\n")
}

/// A page that is fetched, and a task after it.
pub const WEB: Workflow = Workflow {
    name: "web",
    cancelled: false,
    source: || {
        let fetch =
            "  fetch:\n    retry: {max_attempts: 3, initial_interval: 100ms}\n    http: {url: '{{ params.web }}'}\n";
        fetch.to_owned() + &bash("read", &needs("fetch"), "true")
    },
};

/// Python, and values that pass from task to task.
pub const DATA: Workflow = Workflow {
    name: "data",
    cancelled: false,
    source: || {
        let python = r#"  make:
    python:
      args: {witness: '{{ params.witness }}', life: '{{ secrets.life }}'}
      code: |
        import os, socket

        def say(witness, line):
            host, port = witness.split(":")
            with socket.create_connection((host, int(port)), 10) as connection:
                connection.sendall((line + "\n").encode())
                assert connection.makefile().readline().startswith("ok"), line

        def main(witness, life):
            attempt = os.environ["NEXUS_ATTEMPT"]
            me = f"{os.environ['NEXUS_EXECUTION']} {os.environ['NEXUS_TASK']} {attempt} {life} {os.getpid()}"
            say(witness, f"begin {me}")
            nonce = os.urandom(8).hex()
            say(witness, f"end {me} ok nonce={nonce}")
            return {"nonce": nonce, "rows": [1, 2, 3]}
  pass_on: {noop: {output: {rows: '{{ tasks.make.output.rows }}'}}}
"#;
        python.to_owned() + &bash("use", "    if: tasks.pass_on.output.rows | length == 3\n", "true")
    },
};

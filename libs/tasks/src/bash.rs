//! Runs a Bash script: `bash -e -o pipefail`, as GitHub's runners do; `set -u` is left to the script. The script runs
//! in an empty folder of its own, in a clean environment, under the supervisor.

mod output;

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::input;
use crate::options::Options;
use crate::process::channel::{self, Attempt, Link};
use crate::process::env::{Scratch, variables};
use crate::process::{self, Exit, Limits, Streams, program};
use crate::user::TaskUser;
use nexus_attempt::{End, Failure, RunContext};

pub(crate) async fn run(fields: input::Bash, ctx: &RunContext, options: &Options) -> Result<String, End> {
    let memory = input::memory(fields.memory.as_deref())?;
    let bash = program::require(&options.bash, "bash", "PATH")?;
    let scratch = Scratch::new(options.scratch.as_deref(), options.user.as_ref()).await?;
    let script = scratch.path().join("task.sh");
    let output = scratch.path().join("out/output");
    let lost = |error: std::io::Error| Failure::lost(format!("the worker cannot prepare the script: {error}"));
    tokio::fs::write(&script, &fields.run).await.map_err(lost)?;
    tokio::fs::write(&output, "").await.map_err(lost)?;
    let user = options.user.as_ref();
    TaskUser::show(user, &script, 0o640).map_err(lost)?;
    TaskUser::give(user, &output).map_err(lost)?;
    let mut env = variables(ctx, scratch.path(), options.user.as_ref(), &fields.env, |name| {
        std::env::var(name).ok()
    })?;
    env.insert("NEXUS_OUTPUT".to_owned(), output.display().to_string());
    ctx.passed().await?;
    let attempt = start(&bash, &script, scratch.path(), &env, memory, options)
        .map_err(|error| Failure::lost(format!("the worker cannot start a process: {error}")))?;
    let streams = Streams {
        stdout: attempt.stdout,
        stderr: attempt.stderr,
        data: None,
    };
    let finished = process::supervise(Link::new(attempt.socket), streams, &[], ctx, Limits::of(options)).await;
    let finished = finished.judged(ctx)?;
    match finished.exit {
        Exit::Code(0) => output::read(&output, options.max_output_bytes, options.user.as_ref())
            .await
            .map_err(End::Failed),
        Exit::Code(code) => Err(process::exit_failure(code, &finished.stderr).into()),
        Exit::Signal(number) => Err(process::signal_failure(number, &finished.stderr).into()),
        Exit::Lost(problem) => Err(Failure::lost(problem).into()),
    }
}

/// Starts the supervisor, which starts bash.
fn start(
    bash: &Path,
    script: &Path,
    scratch: &Path,
    env: &std::collections::BTreeMap<String, String>,
    memory: Option<u64>,
    options: &Options,
) -> std::io::Result<Attempt> {
    let (attempt, keeper) = channel::open()?;
    // The child is not kept: it ends when the socket does, and the runtime reaps it.
    let mut command = Command::new(&options.supervisor.program);
    TaskUser::apply(options.user.as_ref(), &mut command);
    let _child = command
        .args(&options.supervisor.args)
        .arg(memory.unwrap_or(0).to_string())
        .arg(options.niceness.to_string())
        .arg(bash)
        .args(["--noprofile", "--norc", "-e", "-o", "pipefail"])
        .arg(script)
        .env_clear()
        .envs(env)
        .current_dir(scratch.join("work"))
        .stdin(Stdio::from(keeper.socket))
        .stdout(Stdio::from(keeper.stdout))
        .stderr(Stdio::from(keeper.stderr))
        .spawn()?;
    Ok(attempt)
}

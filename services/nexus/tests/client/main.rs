//! The command line as a program, against stand-ins of the services over real sockets.

mod access;
mod contexts;
mod fake;
mod login;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A user's home: where contexts and credentials are.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("home"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// One of the files of the command line.
    fn file(&self, name: &str) -> PathBuf {
        self.path().join("nexus").join(name)
    }

    fn command(&self, variables: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
        command
            .args(args)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.path())
            .current_dir(self.path());
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command that is given a text on stdin.
    fn run_with(&self, variables: &[(&str, &str)], args: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(variables, args);
        let mut child: Child = command.stdin(Stdio::piped()).spawn().expect("nexus");
        // A command that does not read it has ended.
        let _written = child.stdin.take().expect("stdin").write_all(stdin.as_bytes());
        Ran::of(args, &child.wait_with_output().expect("output"))
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(&[], args, "")
    }
}

/// What a command has done.
#[derive(Debug)]
struct Ran {
    line: String,
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(args: &[&str], output: &Output) -> Self {
        let ran = Self {
            line: args.join(" "),
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout.clone()).expect("text"),
            err: String::from_utf8(output.stderr.clone()).expect("text"),
        };
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.contains(fake::PASSWORD), "a password is shown: {ran:?}");
        assert!(!said.contains(fake::TOKEN), "a token is shown: {ran:?}");
        ran
    }

    /// It went well.
    fn well(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It ended with a code, and said something of this.
    fn fails(self, code: i32, told: &str) -> Self {
        assert_eq!(self.code, code, "{}: {self:?}", self.line);
        assert!(self.err.contains(told), "{told:?} is missing: {self:?}");
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

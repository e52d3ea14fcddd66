//! A mount namespace of its own: a small disk that can be filled without harm to the machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A mount namespace with a small disk, alive as long as this value.
#[derive(Debug)]
pub struct Sandbox {
    holder: crate::process::Guarded,
    /// The disk, as programs inside name it.
    pub disk: PathBuf,
}

impl Sandbox {
    /// A namespace with a tmpfs of so many MiB at `disk`; nothing where the system does not permit one.
    ///
    /// # Panics
    /// When the holder says neither that it is ready nor that it failed.
    #[must_use]
    pub fn new(disk: &Path, mebibytes: u32) -> Option<Self> {
        use std::io::{BufRead, BufReader};
        std::fs::create_dir_all(disk).ok()?;
        let script = "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" && echo ready && exec sleep 1000000";
        let mut holder: Child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(disk)
            .arg(format!("{mebibytes}m"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its word");
        let sandbox = Self {
            holder: crate::process::Guarded(holder),
            disk: disk.to_owned(),
        };
        (line.trim() == "ready").then_some(sandbox)
    }

    /// What to put before a command so that it runs inside.
    #[must_use]
    pub fn wrap(&self) -> Vec<String> {
        let pid = self.holder.0.id().to_string();
        ["nsenter", "--target", &pid, "--mount", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Runs a shell command inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) {
        let wrap = self.wrap();
        let status = Command::new(&wrap[0])
            .args(&wrap[1..])
            .args(["sh", "-c", script])
            .status()
            .expect("nsenter");
        assert!(status.success(), "{script}: {status}");
    }

    /// Copies a directory of the disk to a place outside.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copy_out(&self, inside: &Path, outside: &Path) {
        let root = format!("/proc/{}/root", self.holder.0.id());
        let from = format!("{root}{}/.", inside.display());
        std::fs::create_dir_all(outside).expect("folder");
        let status = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(outside)
            .status()
            .expect("cp");
        assert!(status.success(), "cp: {status}");
    }
}

/// Says loudly that a test did not run.
pub fn skipped(test: &str, why: &str) {
    eprintln!("\n!!! SKIPPED: {test}: {why}. This promise was NOT tested here. !!!\n");
}

//! Disks: full, read-only from the start, unwritable from some moment on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nexus_faults::sandbox::{Sandbox, skipped};
use nexus_faults::{
    Arena, CHAIN, Chance, DATA, DEADLINE, FAN, Load, Mix, Nexus, ONCE, RETRY, SLOW, STOPPED, Tally, eventually, now_ns,
};

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, STOPPED, DATA];
/// MiB of the small disk.
const DISK: u32 = 24;

/// A run whose data stand on a small disk of their own; nothing where the system does not permit one.
fn small_disk(test: &str) -> Option<(Arena, Sandbox)> {
    let mut arena = Arena::new();
    let Some(sandbox) = Sandbox::new(&arena.folder().join("disk"), DISK) else {
        skipped(test, "a mount namespace is not permitted");
        return None;
    };
    arena.within(sandbox.wrap(), sandbox.disk.join("data"));
    Some((arena, sandbox))
}

/// Asks for a fresh start until it is refused: how often it took, and the refusal.
async fn refused_start(load: &Load) -> tonic::Status {
    let mut refusal = None;
    eventually("a start is refused", Duration::from_secs(20), async || {
        refusal = load.try_start(&CHAIN).await.err();
        refusal.is_some()
    })
    .await;
    refusal.expect("a refusal")
}

/// Fills the disk to its last byte and waits until NEXUS has noticed.
async fn fill(sandbox: &Sandbox, nexus: &Nexus) {
    let disk = sandbox.disk.display();
    // In ever smaller steps, so that not even a page is left.
    for step in ["64k", "4k", "1"] {
        sandbox.sh(&format!(
            "dd if=/dev/zero bs={step} 2>/dev/null >> {disk}/filler; test -s {disk}/filler"
        ));
    }
    let before = nexus.said().matches("cannot be written").count();
    eventually("the disk is full", DEADLINE, async || {
        nexus.said().matches("cannot be written").count() > before
    })
    .await;
}

fn free(sandbox: &Sandbox) -> i64 {
    sandbox.sh(&format!("rm {}/filler", sandbox.disk.display()));
    now_ns()
}

/// What nexus-verify says of a disk in a sandbox, after a clean stop.
async fn judge_disk(mut arena: Arena, mut nexus: Nexus, sandbox: &Sandbox, tally: &Tally, test: &str) {
    assert!(nexus.stop().success(), "{}", nexus.said());
    arena.died(&nexus, "SIGTERM");
    let copy = arena.folder().join("copy");
    sandbox.copy_out(arena.data(), &copy);
    let findings = arena.judge_data(&copy, Some(now_ns())).await;
    tally.print(test, &findings);
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"));
    arena.require_no_breach(&findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_work_with_a_reason_and_loses_nothing() {
    let test = "a_full_disk_refuses_work_with_a_reason_and_loses_nothing";
    let Some((mut arena, sandbox)) = small_disk(test) else {
        return;
    };
    let mut chance = Chance::of_run(test);
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    for _ in 0..2 {
        let before = load.ended();
        eventually("the load runs", DEADLINE, async || load.ended() >= before + 6).await;
        fill(&sandbox, &nexus).await;
        tally.fault("full_disk");
        for refusal in [
            refused_start(&load).await,
            load.try_apply(&SLOW).await.expect_err("no room"),
        ] {
            assert_eq!(refusal.code(), tonic::Code::Unavailable, "{refusal:?}");
            assert!(refusal.message().contains("the disk is full"), "{refusal:?}");
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(nexus.ended().is_none(), "it does not crash: {}", nexus.said());
        assert!(load.answers().await, "what is stored can be read");
        let before = load.ended();
        let freed = free(&sandbox);
        eventually("work goes on", Duration::from_secs(15), async || load.ended() > before).await;
        let took = Duration::from_nanos((now_ns() - freed).unsigned_abs());
        tally.to_first_task.add(took);
    }
    load.settle(clients).await;
    println!("{test}: errors that clients saw: {:?}", load.errors());
    judge_disk(arena, nexus, &sandbox, &tally, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_on_a_full_disk_loses_nothing_and_the_restart_says_what_is_wrong() {
    let test = "a_kill_on_a_full_disk_loses_nothing_and_the_restart_says_what_is_wrong";
    let Some((mut arena, sandbox)) = small_disk(test) else {
        return;
    };
    let mut chance = Chance::of_run(test);
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    eventually("the load runs", DEADLINE, async || load.ended() >= 6).await;
    fill(&sandbox, &nexus).await;
    arena.kill(&mut nexus);
    tally.fault("kill_on_a_full_disk");
    let mut refused = arena.spawn("");
    let status = refused.wait_ready().expect_err("it cannot serve");
    let said = refused.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error:") && said.contains("the disk is full"), "{said}");
    arena.died(&refused, "it refused to start");
    tally.fault("start_on_a_full_disk");
    free(&sandbox);
    let nexus = arena.start();
    load.settle(clients).await;
    judge_disk(arena, nexus, &sandbox, &tally, test).await;
}

/// The digests of a directory's files, by the machine's own tool.
fn digests(sandbox: &Sandbox, directory: &Path) -> String {
    let wrap = sandbox.wrap();
    let script = format!(
        "cd {} && sha256sum execution.db definitions.db logs.db && ls -l",
        directory.display()
    );
    let output = Command::new(&wrap[0])
        .args(&wrap[1..])
        .args(["sh", "-c", &script])
        .output()
        .expect("sha256sum");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_refused_with_its_reason_and_left_alone() {
    let test = "a_read_only_directory_is_refused_with_its_reason_and_left_alone";
    let Some((mut arena, sandbox)) = small_disk(test) else {
        return;
    };
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(&[CHAIN]).await;
    load.one(&CHAIN).await;
    arena.kill(&mut nexus);
    let data = arena.data().display().to_string();
    sandbox.sh(&format!(
        "mount --bind {data} {data} && mount -o remount,ro,bind {data}"
    ));
    let before = digests(&sandbox, arena.data());
    let mut refused = arena.spawn("");
    let status = refused.wait_ready().expect_err("it cannot serve");
    tally.fault("read_only_at_start");
    let said = refused.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("error:") && said.contains("Read-only file system") && said.contains(&data),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    arena.died(&refused, "it refused to start");
    assert_eq!(digests(&sandbox, arena.data()), before, "nothing was changed");
    sandbox.sh(&format!("umount {data}"));
    let nexus = arena.start();
    load.one(&CHAIN).await;
    judge_disk(arena, nexus, &sandbox, &tally, test).await;
}

/// The kernel refuses writes to a file that is marked as immutable, also through descriptors that were open before.
fn immutable(path: &Path, on: bool) -> bool {
    let flag = if on { "+i" } else { "-i" };
    let status = Command::new("chattr").arg(flag).arg(path).status();
    status.is_ok_and(|status| status.success())
}

/// Takes the mark away again, whatever happens: an immutable file cannot be removed.
struct Immutable(Vec<std::path::PathBuf>);

impl Drop for Immutable {
    fn drop(&mut self) {
        for path in &self.0 {
            immutable(path, false);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_becomes_unwritable_is_waited_for() {
    let test = "a_database_that_becomes_unwritable_is_waited_for";
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    eventually("the load runs", DEADLINE, async || load.ended() >= 6).await;
    let files: Vec<_> = ["execution.db", "execution.db-wal"]
        .map(|name| arena.data().join(name))
        .into();
    let guard = Immutable(files.clone());
    if !files.iter().all(|file| immutable(file, true)) {
        drop(guard);
        load.end();
        return skipped(test, "files cannot be marked as immutable here");
    }
    eventually("it is unwritable", DEADLINE, async || {
        nexus.said().contains("the store cannot be written")
    })
    .await;
    tally.fault("unwritable_while_running");
    let refusal = refused_start(&load).await;
    assert_eq!(refusal.code(), tonic::Code::Unavailable, "{refusal:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(nexus.ended().is_none(), "it does not crash: {}", nexus.said());
    let before = load.ended();
    drop(guard);
    eventually("work goes on", Duration::from_secs(16), async || load.ended() > before).await;
    load.settle(clients).await;
    println!("{test}: errors that clients saw: {:?}", load.errors());
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"));
    arena.require_no_breach(&findings);
}

//! The write-ahead log after a kill: garbage behind its end, which is harmless, and a damaged tail, which is what a disk
//! leaves behind that said `synced` too early. Then the last transactions are gone, and nothing else.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nexus_faults::{Arena, CHAIN, Chance, DATA, DEADLINE, FAN, Mix, Nexus, ONCE, RETRY, Tally, eventually, now_ns};
use nexus_verify::{Inputs, Invariant, Source, lacking, verify};

const MIX: Mix = &[CHAIN, FAN, RETRY, ONCE, DATA];

/// The write-ahead log's layout: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// A write-ahead log.
struct Wal {
    file: File,
    page: u64,
    /// Frames that belong to it; what stands behind them in the file is from before its last restart.
    frames: u64,
    /// Numbers of the frames that end a transaction, from 0.
    commits: Vec<u64>,
}

impl Wal {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("a log");
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0).expect("its header");
        let page = u64::from(u32::from_be_bytes(header[8..12].try_into().expect("four bytes")));
        let salts = header[16..24].to_vec();
        let (mut frames, mut commits) = (0, Vec::new());
        let mut frame = [0; FRAME_HEADER as usize];
        while file
            .read_exact_at(&mut frame, HEADER + frames * (page + FRAME_HEADER))
            .is_ok()
            && frame[8..16] == salts
        {
            if frame[4..8] != [0; 4] {
                commits.push(frames);
            }
            frames += 1;
        }
        Self {
            file,
            page,
            frames,
            commits,
        }
    }

    /// Where a frame begins.
    fn at(&self, frame: u64) -> u64 {
        HEADER + frame * (self.page + FRAME_HEADER)
    }

    /// Changes one byte of a frame's page.
    fn flip(&self, frame: u64) {
        let place = self.at(frame) + FRAME_HEADER + self.page / 2;
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, place).expect("read");
        self.file.write_all_at(&[byte[0] ^ 0x55], place).expect("write");
    }

    /// The last frame of the transaction that is so many from the last one.
    fn commit_from_end(&self, back: usize) -> u64 {
        self.commits[self.commits.len() - 1 - back]
    }
}

/// A run under load that is killed, with clients that have given up.
async fn killed_under_load(test: &str, seconds: u64) -> (Arena, Nexus) {
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Enough in the log to damage, and far from where SQLite writes it back and begins a new one (1,000 frames).
    let path = arena.data().join("execution.db-wal");
    eventually("the log is long enough", DEADLINE, async || {
        let wal = Wal::open(&path);
        load.ended() > 3 && wal.commits.len() > 12 && wal.frames < 800
    })
    .await;
    arena.kill(&mut nexus);
    for client in clients {
        client.abort();
        // Aborted, so not heard of.
        drop(client.await);
    }
    (arena, nexus)
}

fn copied(arena: &Arena, name: &str) -> PathBuf {
    let copy = arena.folder().join(name);
    std::fs::create_dir_all(&copy).expect("folder");
    let status = Command::new("cp")
        .arg("-a")
        .arg(arena.data().join("."))
        .arg(&copy)
        .status()
        .expect("cp");
    assert!(status.success());
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_behind_the_log_loses_nothing() {
    let test = "garbage_behind_the_log_loses_nothing";
    let mut chance = Chance::of_run(test);
    let mut arena = Arena::new();
    let mut tally = Tally::default();
    let load = arena.load();
    let mut nexus = arena.start();
    load.apply(MIX).await;
    let clients = load.run(MIX.len() as u64, MIX, chance.below(u64::MAX));
    for length in [1, 24, 4_119, 4_120, 100_000] {
        let before = load.ended();
        eventually("the load runs", DEADLINE, async || load.ended() > before + 3).await;
        arena.kill(&mut nexus);
        for name in ["execution.db-wal", "definitions.db-wal"] {
            let path = arena.data().join(name);
            if name == "execution.db-wal" {
                let wal = Wal::open(&path);
                // Half of it looks like frames: those of the log's own beginning, whose checksums do not follow here.
                let mut garbage = vec![0; length];
                wal.file.read_at(&mut garbage, HEADER).expect("read");
                for byte in garbage.iter_mut().skip(length / 2) {
                    *byte = u8::try_from(chance.below(256)).expect("a byte");
                }
                wal.file.write_all_at(&garbage, wal.at(wal.frames)).expect("write");
            } else {
                let file = OpenOptions::new().append(true).open(&path).expect("log");
                std::io::Write::write_all(&mut &file, &vec![0xa5; length]).expect("write");
            }
        }
        tally.fault("garbage_behind_the_log");
        nexus = arena.start();
    }
    load.settle(clients).await;
    let findings = arena.judge().await;
    tally.print(test, &findings);
    assert_eq!(findings.counter("keys"), findings.counter("keys_ok"));
    arena.require_no_breach(&findings);
}

/// How a tail is damaged; how many transactions are lost with it.
type Damage = (&'static str, usize, fn(&Wal));

const DAMAGES: &[Damage] = &[
    ("the last page differs", 1, |wal| wal.flip(wal.commit_from_end(0))),
    ("the last frame is cut short", 1, |wal| {
        wal.file.set_len(wal.at(wal.commit_from_end(0)) + 100).expect("cut");
    }),
    ("the third page from the end differs", 3, |wal| {
        wal.flip(wal.commit_from_end(2))
    }),
    ("the last five transactions are cut off", 5, |wal| {
        wal.file.set_len(wal.at(wal.commit_from_end(5) + 1)).expect("cut");
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_tail_costs_the_last_transactions_and_nothing_else() {
    let test = "a_damaged_tail_costs_the_last_transactions_and_nothing_else";
    for (what, transactions, damage) in DAMAGES {
        let mut tally = Tally::default();
        let mut tries = 0;
        let (mut arena, lost) = loop {
            let (arena, _dead) = killed_under_load(test, 1).await;
            let whole = copied(&arena, "whole");
            damage(&Wal::open(&arena.data().join("execution.db-wal")));
            tally.fault("damaged_tail");
            let damaged = copied(&arena, "damaged");
            let lost = lacking(&damaged, &whole).await.expect("compare");
            tries += 1;
            // The last transaction may be one that took entries for the audit log away, and tells of no event.
            if lost.events > 0 || tries == 5 {
                break (arena, lost);
            }
        };
        assert_eq!(lost.contradictions, Vec::<String>::new(), "{what}");
        assert!(lost.events > 0, "{what}: the damage hit nothing");
        let mut nexus = arena.start();
        // Witness and ledger know of what is lost, so only the database is asked: it must be sound, and all must end.
        let inputs = Inputs {
            source: Source::Directory(arena.data().to_owned()),
            quiet_since: Some(now_ns()),
            ..Inputs::default()
        };
        let open = async || verify(&inputs).await.expect("verify").breaches().len();
        eventually("everything ends", DEADLINE, async || open().await == 0).await;
        let load = arena.load_numbered(9);
        load.apply(MIX).await;
        load.one(&CHAIN).await;
        let findings = verify(&inputs).await.expect("verify");
        println!("{test}: {what}: {transactions} transactions lost, {lost:?}");
        tally.print(test, &findings);
        assert_eq!(
            (findings.checked(Invariant::Integrity), findings.breaches().len()),
            (2, 0),
            "{}",
            findings.report()
        );
        assert!(nexus.stop().success());
    }
}

//! The witness's process: takes lines over TCP, and answers once they are on the disk.
//!
//! ```text
//! begin EXECUTION TASK ATTEMPT LIFE PID [token=TOKEN]
//! end   EXECUTION TASK ATTEMPT LIFE PID ok|failed [nonce=NONCE] [token=TOKEN]
//! mark  WHAT LIFE [NOTE…]
//! ```
//!
//! The answer is `ok NUMBER`, or `error WHY`. Lines that wait together share one sync.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Record, Run, Said};

/// Lines of one sync at most.
const BATCH: usize = 512;

type Line = (Said, mpsc::Sender<io::Result<u64>>);

/// A witness that is ready to listen.
pub struct Witness {
    listener: TcpListener,
    file: File,
    seq: u64,
}

impl Witness {
    /// Opens the file (what it holds already stays) and the port.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub fn open(file: &Path, listen: SocketAddr) -> io::Result<Self> {
        let seq = match std::fs::read_to_string(file) {
            Ok(text) => text.lines().count() as u64,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            listener: TcpListener::bind(listen)?,
            file: OpenOptions::new().create(true).append(true).open(file)?,
            seq,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes lines for ever.
    ///
    /// # Errors
    /// When nothing can be accepted or written any more.
    pub fn serve(self) -> io::Result<()> {
        let (lines, queue) = mpsc::channel();
        let (mut file, seq) = (self.file, self.seq);
        let writer = std::thread::spawn(move || write(&mut file, seq, &queue));
        for stream in self.listener.incoming() {
            if writer.is_finished() {
                return Err(io::Error::other("the file cannot be written"));
            }
            let (stream, lines) = (stream?, lines.clone());
            std::thread::spawn(move || drop(take(&stream, &lines)));
        }
        Ok(())
    }
}

/// Takes the lines of one connection.
fn take(stream: &TcpStream, lines: &mpsc::Sender<Line>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let answer = match parse(&line?) {
            Err(problem) => format!("error {problem}\n"),
            Ok(said) => {
                let (reply, written) = mpsc::channel();
                if lines.send((said, reply)).is_err() {
                    return Ok(());
                }
                match written.recv() {
                    Ok(Ok(seq)) => format!("ok {seq}\n"),
                    Ok(Err(error)) => format!("error {error}\n"),
                    Err(_) => return Ok(()),
                }
            }
        };
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Writes what waits, syncs once, answers all. Ends when the file fails: a witness that forgets is none.
fn write(file: &mut File, mut seq: u64, queue: &mpsc::Receiver<Line>) {
    let began = Instant::now();
    while let Ok(first) = queue.recv() {
        let mut waiting = Vec::new();
        let mut text = String::new();
        let more = queue.try_iter().take(BATCH);
        for (said, reply) in std::iter::once(first).chain(more) {
            seq += 1;
            let record = Record {
                seq,
                at_ns: now_ns(),
                mono_ns: u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
                said,
            };
            // Texts and numbers only: writing them down cannot fail.
            text += &serde_json::to_string(&record).unwrap_or_default();
            text.push('\n');
            waiting.push((seq, reply));
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        for (seq, reply) in waiting {
            let answer = match &written {
                Ok(()) => Ok(seq),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // Whoever asked may be dead by now; that is what this is about.
            drop(reply.send(answer));
        }
        if written.is_err() {
            return;
        }
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn parse(line: &str) -> Result<Said, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["mark", mark, life, note @ ..] => Ok(Said::Mark {
            mark: (*mark).to_owned(),
            life: (*life).to_owned(),
            note: note.join(" "),
        }),
        ["begin", execution, task, attempt, life, pid, more @ ..] => Ok(Said::Begin {
            run: run([execution, task, attempt, life, pid], more)?,
        }),
        [
            "end",
            execution,
            task,
            attempt,
            life,
            pid,
            how @ ("ok" | "failed"),
            more @ ..,
        ] => Ok(Said::End {
            run: run([execution, task, attempt, life, pid], more)?,
            ok: *how == "ok",
            nonce: field(more, "nonce="),
        }),
        _ => Err(format!("this is not a line: {line:?}")),
    }
}

fn run([execution, task, attempt, life, pid]: [&str; 5], more: &[&str]) -> Result<Run, String> {
    Ok(Run {
        execution: execution.to_owned(),
        task: task.to_owned(),
        attempt: attempt
            .parse()
            .map_err(|_| format!("{attempt:?} is not an attempt's number"))?,
        life: life.to_owned(),
        pid: pid.parse().map_err(|_| format!("{pid:?} is not a process id"))?,
        token: field(more, "token="),
    })
}

fn field(words: &[&str], name: &str) -> String {
    let found = words.iter().find_map(|word| word.strip_prefix(name));
    found.unwrap_or_default().to_owned()
}

/// Tells a witness one line and waits until it is on the disk.
///
/// # Errors
/// When the witness cannot be reached or does not take the line.
pub fn tell(witness: SocketAddr, line: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&witness, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.starts_with("ok") {
        Ok(())
    } else {
        Err(io::Error::other(format!("the witness did not take {line:?}: {answer}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::Log;

    #[test]
    fn what_was_answered_is_on_the_disk_and_numbers_go_on() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("witness.log");
        for life in ["l1", "l2"] {
            let witness = Witness::open(&file, "127.0.0.1:0".parse().expect("address")).expect("open");
            let address = witness.address().expect("address");
            std::thread::spawn(move || witness.serve());
            tell(address, &format!("mark life {life} first words")).expect("mark");
            tell(address, &format!("begin e t 1 {life} 42")).expect("begin");
            tell(address, &format!("end e t 1 {life} 42 ok nonce=n{life}")).expect("end");
            tell(address, "begin e t x l1 42").expect_err("no number");
        }
        let log = Log::read(&file).expect("log");
        assert!(log.odd.is_empty(), "{:?}", log.odd);
        let runs = log.of("e", "t");
        assert_eq!((runs.len(), runs[1].begin_seq), (2, 5));
        assert_eq!(runs[1].end.as_ref().map(|end| end.nonce.as_str()), Some("nl2"));
    }
}

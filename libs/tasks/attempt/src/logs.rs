//! A task's log: bytes become lines that are redacted, valid, bounded and in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::redact::{RedactStream, Redactor};

/// Longest line in bytes; the rest of a longer one is dropped.
const MAX_LINE: usize = 16 * 1024;
/// What ends a line that was longer.
const CUT_MARK: &str = " … [line cut]";
/// Most lines of one attempt: a line costs more than its bytes.
const MAX_LINES: u64 = 200_000;
/// How much of the end of stderr is kept for the failure's stack trace.
const TAIL: usize = 8 * 1024;

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The worker itself, about the task.
    System,
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read, in microseconds since the Unix epoch.
    pub time_micros: i64,
    /// Where it was written.
    pub stream: LogStream,
    /// The line without its newline: valid UTF-8, no NUL, redacted, at most 16 KiB.
    pub text: String,
}

/// Takes an attempt's lines. It is bounded: when nobody reads, the task waits in its own write.
#[derive(Debug, Clone)]
pub struct LogSink {
    sender: mpsc::Sender<LogLine>,
}

impl LogSink {
    /// A sink that holds at most `capacity` lines, and where they come out.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<LogLine>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self { sender }, receiver)
    }

    /// Adds a line; a sink that nobody reads any more swallows it.
    async fn send(&self, stream: LogStream, text: String) {
        let line = LogLine {
            time_micros: now_micros(),
            stream,
            text,
        };
        let _gone = self.sender.send(line).await;
    }

    /// Adds a line of the worker's own.
    pub async fn system(&self, redactor: &Redactor, text: &str) {
        self.send(LogStream::System, redactor.text(text).into_owned()).await;
    }
}

fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

/// What is left of an attempt's log budget, shared by its streams.
#[derive(Debug)]
pub struct LogBudget {
    limit: u64,
    used: AtomicU64,
    lines: AtomicU64,
}

impl LogBudget {
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit as u64,
            used: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        }
    }

    /// Books a line. `Err(true)` says that this line is the first one over the limit.
    fn take(&self, bytes: usize) -> Result<(), bool> {
        let bytes = bytes as u64;
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lines = self.lines.fetch_add(1, Ordering::Relaxed);
        if before + bytes <= self.limit && lines < MAX_LINES {
            Ok(())
        } else {
            // Parked far over the limit, so that shorter lines do not slip in after the marker.
            self.used.store(u64::MAX / 2, Ordering::Relaxed);
            Err(before <= self.limit)
        }
    }

    fn spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }
}

/// Turns bytes into lines. Pure: what comes out depends on the bytes alone, not on how they are cut into pieces.
struct LineSplitter<'a> {
    redact: RedactStream<'a>,
    line: Vec<u8>,
    overlong: bool,
}

impl<'a> LineSplitter<'a> {
    fn new(redactor: &'a Redactor) -> Self {
        Self {
            redact: redactor.stream(),
            line: Vec::new(),
            overlong: false,
        }
    }

    /// Takes a piece (the last one when `last`) and gives the lines that are complete.
    fn push(&mut self, piece: &[u8], last: bool, lines: &mut Vec<String>) {
        // NUL goes first: with it in between, a secret would be recognised only after the reader had removed it.
        let clean: Vec<u8>;
        let piece = if piece.contains(&0) {
            clean = piece.iter().copied().filter(|byte| *byte != 0).collect();
            &clean
        } else {
            piece
        };
        let mut bytes = Vec::with_capacity(piece.len());
        self.redact.push(piece, last, &mut bytes);
        let mut rest = bytes.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&rest[..at]);
            lines.push(self.take());
            rest = &rest[at + 1..];
        }
        self.extend(rest);
        if last && (!self.line.is_empty() || self.overlong) {
            lines.push(self.take());
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE - CUT_MARK.len()).saturating_sub(self.line.len());
        if bytes.len() > room {
            self.overlong = true;
        }
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.line);
        let overlong = std::mem::take(&mut self.overlong);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let text = String::from_utf8_lossy(&bytes);
        if overlong || text.len() > MAX_LINE {
            // Replacement characters are longer than the bytes they stand for, so the text is cut again.
            let end = text.floor_char_boundary(MAX_LINE - CUT_MARK.len());
            return format!("{}{CUT_MARK}", &text[..end]);
        }
        text.into_owned()
    }
}

impl Redactor {
    /// The lines that a log keeps of these bytes, which arrive in pieces. What comes out depends on the bytes alone.
    pub fn log_lines<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut splitter = LineSplitter::new(self);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece, false, &mut lines);
        }
        splitter.push(b"", true, &mut lines);
        lines
    }
}

/// The end of a stream, for the failure that may follow.
#[derive(Debug, Default)]
pub struct Tail {
    text: String,
}

impl Tail {
    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() > 2 * TAIL {
            let start = self.text.ceil_char_boundary(self.text.len() - TAIL);
            self.text.drain(..start);
        }
    }

    /// The last lines.
    pub fn text(&self) -> &str {
        self.text.trim_end()
    }

    /// The last line that says something.
    pub fn last_line(&self) -> Option<&str> {
        self.text.lines().map(str::trim).rfind(|line| !line.is_empty())
    }
}

/// Where the lines of one stream go.
pub struct Pump<'a> {
    pub stream: LogStream,
    pub sink: &'a LogSink,
    pub redactor: &'a Redactor,
    pub budget: &'a LogBudget,
}

impl Pump<'_> {
    /// Reads a stream to its end and sends its lines. Over the budget it keeps reading, so that the task never blocks,
    /// and throws away what it reads.
    pub async fn run(&self, mut reader: impl AsyncRead + Unpin, tail: &parking_lot::Mutex<Tail>) {
        let mut splitter = LineSplitter::new(self.redactor);
        let mut buffer = vec![0; 32 * 1024];
        let mut lines = Vec::new();
        loop {
            let read = reader.read(&mut buffer).await.unwrap_or(0);
            let last = read == 0;
            if !self.budget.spent() || self.stream == LogStream::Stderr {
                splitter.push(&buffer[..read], last, &mut lines);
                for line in lines.drain(..) {
                    self.emit(line, tail).await;
                }
            }
            if last {
                return;
            }
        }
    }

    async fn emit(&self, line: String, tail: &parking_lot::Mutex<Tail>) {
        if self.stream == LogStream::Stderr {
            tail.lock().push(&line);
        }
        match self.budget.take(line.len() + 1) {
            Ok(()) => self.sink.send(self.stream, line).await,
            Err(true) => {
                let limit = self.budget.limit;
                let text =
                    format!("the log is larger than {limit} bytes or {MAX_LINES} lines: what follows is not kept");
                self.sink.send(LogStream::System, text).await;
            }
            Err(false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(redactor: &Redactor, pieces: &[&[u8]]) -> Vec<String> {
        redactor.log_lines(pieces.iter().copied())
    }

    #[test]
    fn odd_bytes_become_valid_lines() {
        let none = Redactor::default();
        assert_eq!(
            lines(&none, &[b"a\r\n\nb\xff", b"\xc3", b"\xa4\0c\nlast"]),
            ["a", "", "b\u{fffd}äc", "last"]
        );
        assert!(lines(&none, &[]).is_empty());
    }

    #[test]
    fn a_huge_line_is_cut_once_and_the_next_is_whole() {
        let mut text = vec![b'x'; 5 * MAX_LINE];
        text.extend_from_slice(b"\nnext\n");
        let pieces: Vec<&[u8]> = text.chunks(1000).collect();
        let got = lines(&Redactor::default(), &pieces);
        assert_eq!(got.len(), 2);
        assert!(got[0].len() <= MAX_LINE && got[0].ends_with(CUT_MARK));
        assert_eq!(got[1], "next");
        let invalid = vec![0xff; MAX_LINE];
        assert!(lines(&Redactor::default(), &[&invalid])[0].len() <= MAX_LINE);
    }

    #[test]
    fn a_secret_on_the_line_limit_is_gone_before_the_cut() {
        let redactor = Redactor::new(["topsecretvalue"]);
        let mut text = vec![b'x'; MAX_LINE - CUT_MARK.len() - 5];
        text.extend_from_slice(b"topsec\0retvalue yes\n");
        for line in lines(&redactor, &[&text]) {
            assert!(!line.contains("tops"), "{}", &line[line.len() - 40..]);
        }
    }

    #[test]
    fn the_budget_marks_once() {
        let budget = LogBudget::new(10);
        assert_eq!(budget.take(10), Ok(()));
        assert_eq!(budget.take(1), Err(true));
        assert_eq!(budget.take(1), Err(false));
        assert!(budget.spent());
    }
}

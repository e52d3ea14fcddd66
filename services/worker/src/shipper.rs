//! Ships logs: attempts hand in pieces, one call at a time carries what gathered meanwhile. An attempt has one piece
//! under way, so its lines stay in order; a repeated call stores nothing twice, since lines have numbers.

use std::time::Duration;

use nexus_api::execution::v1::LogLine as ApiLine;
use nexus_api::worker::v1::{AppendTaskLogsRequest, TaskLogLines};
use nexus_supervise::Background;
use nexus_tasks::LogLine;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::link::Client;
use crate::{backoff, convert, metrics};

/// Bytes of one piece, and pieces of one call: a call stays under 256 KiB.
const PIECE_BYTES: usize = 60 << 10;
const PIECES: usize = 4;
/// Lines may gather this long before they are sent.
const GATHER: Duration = Duration::from_millis(50);
/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long what is left may take when the attempt has ended.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// A piece of an attempt's log and how to say that it is stored.
struct Piece {
    lines: TaskLogLines,
    stored: oneshot::Sender<()>,
}

/// Where attempts hand their lines in.
#[derive(Clone)]
pub(crate) struct Shipper {
    pieces: mpsc::Sender<Piece>,
}

impl Shipper {
    /// Starts shipping over `client` in the name of the newest session. It ends when the last handle is gone.
    pub(crate) fn start(client: Client, session: watch::Receiver<String>, background: &Background) -> Self {
        let (pieces, receiver) = mpsc::channel(64);
        background.spawn_job("shipping of logs", ship(client, session, receiver));
        Self { pieces }
    }

    /// Forwards an attempt's lines until its sink is closed and everything is stored.
    pub(crate) async fn forward(&self, token: &str, mut lines: mpsc::Receiver<LogLine>) {
        let mut next = 0_u64;
        while let Some(first) = lines.recv().await {
            let piece = gather(first, &mut lines).await;
            let count = piece.len() as u64;
            let (stored, seen) = oneshot::channel();
            let piece = Piece {
                lines: TaskLogLines {
                    token: token.to_owned(),
                    first_line: next,
                    lines: piece,
                },
                stored,
            };
            if self.pieces.send(piece).await.is_err() {
                return;
            }
            let _given_up = seen.await;
            next += count;
        }
    }
}

/// What comes within a moment, up to the size of a piece. A closed sink is not waited for.
async fn gather(first: LogLine, lines: &mut mpsc::Receiver<LogLine>) -> Vec<ApiLine> {
    let until = Instant::now() + GATHER;
    let mut bytes = first.text.len() + 64;
    let mut piece = vec![convert::line(first)];
    while bytes < PIECE_BYTES {
        match timeout_at(until, lines.recv()).await {
            Ok(Some(line)) => {
                bytes += line.text.len() + 64;
                piece.push(convert::line(line));
            }
            Ok(None) | Err(_) => break,
        }
    }
    piece
}

async fn ship(client: Client, session: watch::Receiver<String>, mut pieces: mpsc::Receiver<Piece>) {
    let mut batch = Vec::with_capacity(PIECES);
    while pieces.recv_many(&mut batch, PIECES).await > 0 {
        let (lines, waiting): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|piece: Piece| (piece.lines, piece.stored)).unzip();
        send(&client, &session, lines, &waiting).await;
        for stored in waiting {
            // An attempt that was given up no longer listens.
            let _gone = stored.send(());
        }
    }
}

/// Sends a call until it is stored, or until every attempt that it carries has stopped waiting.
async fn send(
    client: &Client,
    session: &watch::Receiver<String>,
    batches: Vec<TaskLogLines>,
    waiting: &[oneshot::Sender<()>],
) {
    let mut failures = 0;
    loop {
        let request = AppendTaskLogsRequest {
            session: session.borrow().clone(),
            batches: batches.clone(),
        };
        let problem = match timeout(CALL_LIMIT, client.clone().append_task_logs(request)).await {
            Ok(Ok(_)) => return,
            Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
                tracing::warn!(error = %status.message(), "log lines were refused");
                return drop_lines(&batches);
            }
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        if waiting.iter().all(oneshot::Sender::is_closed) {
            return drop_lines(&batches);
        }
        tracing::debug!(error = %problem, failures, "log lines could not be stored yet");
        sleep(backoff::delay(failures, backoff::chance()).min(Duration::from_secs(2))).await;
        failures = failures.saturating_add(1);
    }
}

fn drop_lines(batches: &[TaskLogLines]) {
    metrics::log_lines_dropped(batches.iter().map(|batch| batch.lines.len()).sum());
}

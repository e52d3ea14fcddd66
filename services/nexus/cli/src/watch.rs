//! Watching an execution: a tree that redraws itself on a terminal, a line for each event elsewhere.

pub(super) mod plain;
mod state;
mod tree;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use nexus_api::execution::v1::{Event, WatchExecutionRequest, WatchExecutionResponse};
use nexus_cli_frame::{CliError, Exit, MAX_RECONNECTS, is_away, output, pause, time};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tonic::{Status, Streaming};

use super::client::Clients;
use super::execution::{fetch, still_running};
use state::View;

/// How often a terminal's picture moves: often enough for a clock in tenths.
const FRAME: Duration = Duration::from_millis(200);

/// Where the progress goes.
pub(super) enum Sink {
    /// It is the command's data.
    Stdout,
    /// It goes along with the command's data.
    Stderr,
    /// It is data for a program: an event per line.
    Json,
}

/// Watches until the execution has ended, the limit is over or somebody presses Ctrl-C.
pub(super) async fn watch(clients: &Clients, id: &str, limit: Option<Duration>, sink: &Sink) -> Result<Exit, CliError> {
    let mut screen = Screen::new(sink);
    let mut view = View::new(&fetch(clients, id).await?);
    let until = limit.map(|limit| Instant::now() + limit);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut events = Box::pin(next(clients.clone(), id.to_owned(), 0, None));
    loop {
        tokio::select! {
            (stream, news) = &mut events => match news? {
                Some(news) => {
                    for event in &news {
                        view.take(event);
                        screen.event(event)?;
                    }
                    events = Box::pin(next(clients.clone(), id.to_owned(), view.last_event(), stream));
                }
                None => {
                    screen.last(&view)?;
                    let ended = fetch(clients, id).await?;
                    return Ok(Exit::of_state(ended.state()));
                }
            },
            _ = frames.tick(), if screen.is_live() => screen.draw(&view)?,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                screen.last(&view)?;
                return Err(still_running(id));
            }
            pressed = tokio::signal::ctrl_c() => {
                screen.last(&view)?;
                pressed.map_err(|error| CliError::Other(format!("cannot listen for Ctrl-C: {error}")))?;
                eprintln!("detached; the execution goes on. Watch it again with: nexus executions watch {id}");
                return Ok(Exit::Interrupted);
            }
        }
    }
}

type Stream = Streaming<WatchExecutionResponse>;

/// The next events after `after`; none at the end. A stream that breaks is opened again where it stood.
async fn next(
    clients: Clients,
    id: String,
    after: u64,
    stream: Option<Stream>,
) -> (Option<Stream>, Result<Option<Vec<Event>>, CliError>) {
    let mut stream = stream;
    let mut failures = 0;
    loop {
        match step(&clients, &id, after, &mut stream).await {
            Ok(news) => return (stream, Ok(news)),
            Err(status) if is_away(&status) && failures < MAX_RECONNECTS => {
                stream = None;
                failures += 1;
                sleep(pause(failures)).await;
            }
            Err(status) => return (None, Err(clients.error(status))),
        }
    }
}

async fn step(
    clients: &Clients,
    id: &str,
    after: u64,
    stream: &mut Option<Stream>,
) -> Result<Option<Vec<Event>>, Status> {
    let open = match stream {
        Some(open) => open,
        None => {
            let request = WatchExecutionRequest {
                execution: id.to_owned(),
                after_sequence: after,
            };
            stream.insert(clients.executions.clone().watch_execution(request).await?.into_inner())
        }
    };
    Ok(open.message().await?.map(|message| message.events))
}

/// The terminal or the pipe behind a sink.
struct Screen<'a> {
    sink: &'a Sink,
    live: bool,
    color: bool,
    drawn: usize,
}

impl<'a> Screen<'a> {
    fn new(sink: &'a Sink) -> Self {
        let live = match sink {
            Sink::Stdout => std::io::stdout().is_terminal(),
            Sink::Stderr => std::io::stderr().is_terminal(),
            Sink::Json => false,
        };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = live && !dumb;
        // https://no-color.org: any value that is not empty.
        let color = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            sink,
            live,
            color,
            drawn: 0,
        }
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn write(&self, text: &str) -> Result<(), CliError> {
        let written = match self.sink {
            Sink::Stderr => std::io::stderr().write_all(text.as_bytes()),
            Sink::Stdout | Sink::Json => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            }
        };
        written.map_err(|_| CliError::Closed)
    }

    /// A line for an event, unless a picture shows it.
    fn event(&self, event: &Event) -> Result<(), CliError> {
        match self.sink {
            Sink::Json => self.write(&format!("{}\n", output::json(event, "nexus.execution.v1.Event")?)),
            _ if self.live => Ok(()),
            _ => self.write(&format!("{}\n", plain::event(event))),
        }
    }

    /// Draws the picture over the one before.
    fn draw(&mut self, view: &View) -> Result<(), CliError> {
        let (width, height) = terminal_size::terminal_size().map_or((100, 40), |(width, height)| {
            (usize::from(width.0), usize::from(height.0))
        });
        let frame = tree::Frame {
            width,
            height: height.saturating_sub(1),
            color: self.color,
        };
        let lines = tree::render(view, time::now_micros(), &frame);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len();
        self.write(&text)
    }

    /// The picture that stays.
    fn last(&mut self, view: &View) -> Result<(), CliError> {
        if self.live { self.draw(view) } else { Ok(()) }
    }
}

//! `nexus logs`: what tasks wrote.

use nexus_api::execution::v1::{LogLine, TailLogsRequest, log_line};
use nexus_cli_frame::{CliError, Exit, MAX_RECONNECTS, Output, Target, is_away, output, pause, time};

use super::args::LogsArgs;
use super::client::Clients;
use super::ids;

pub(super) async fn run(args: &LogsArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let mut request = TailLogsRequest {
        execution: ids::resolve(&clients, &args.execution).await?,
        task: args.task.clone().unwrap_or_default(),
        attempt: args.attempt,
        after_sequence: 0,
        follow: args.follow,
    };
    let mut failures = 0;
    loop {
        match tail(&clients, &mut request, args.task.is_none(), output, &mut failures).await {
            Ok(()) => return Ok(Exit::Ok),
            Err(Tail::Status(status)) if is_away(&status) && failures < MAX_RECONNECTS => {
                failures += 1;
                tokio::time::sleep(pause(failures)).await;
            }
            Err(Tail::Status(status)) => return Err(clients.error(*status)),
            Err(Tail::Output(error)) => return Err(error),
        }
    }
}

enum Tail {
    Status(Box<tonic::Status>),
    Output(CliError),
}

/// Prints lines until the stream ends, and remembers the last one for the next stream.
async fn tail(
    clients: &Clients,
    request: &mut TailLogsRequest,
    with_task: bool,
    output: &Output,
    failures: &mut u32,
) -> Result<(), Tail> {
    let status = |status| Tail::Status(Box::new(status));
    let mut stream = clients
        .executions
        .clone()
        .tail_logs(request.clone())
        .await
        .map_err(status)?
        .into_inner();
    while let Some(piece) = stream.message().await.map_err(status)? {
        *failures = 0;
        for line in piece.lines {
            request.after_sequence = line.sequence;
            print(&line, with_task, output).map_err(Tail::Output)?;
        }
    }
    Ok(())
}

fn print(line: &LogLine, with_task: bool, output: &Output) -> Result<(), CliError> {
    if output.is_table() {
        return output.line(&shown(line, with_task));
    }
    // One JSON text per line: a log has no end that a document could wait for.
    output.line(&output::json(line, "nexus.execution.v1.LogLine")?.to_string())
}

/// A line for people: the text alone when there is one task.
fn shown(line: &LogLine, with_task: bool) -> String {
    let mark = match line.stream() {
        log_line::Stream::System => "[nexus] ",
        _ => "",
    };
    // What a task wrote, and its terminal's control characters, are not for this terminal.
    let text = nexus_telemetry::plain(&line.text);
    if with_task {
        format!(
            "{} {}#{} | {mark}{}",
            time::point(line.time.as_ref()),
            line.task,
            line.attempt,
            text
        )
    } else {
        format!("{mark}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_their_task_only_among_several() {
        let mut line = LogLine {
            task: "clean".into(),
            attempt: 2,
            text: "3 rows".into(),
            time: Some(nexus_api::time::timestamp(0)),
            ..LogLine::default()
        };
        assert_eq!(shown(&line, false), "3 rows");
        assert_eq!(shown(&line, true), "1970-01-01T00:00:00Z clean#2 | 3 rows");
        line.text = "\u{1b}[2Jgone\t\u{9b}1m".into();
        assert_eq!(shown(&line, false), "\\u{1b}[2Jgone\t\\u{9b}1m");
        line.text = "3 rows".into();
        line.set_stream(log_line::Stream::System);
        assert_eq!(shown(&line, false), "[nexus] 3 rows");
    }
}

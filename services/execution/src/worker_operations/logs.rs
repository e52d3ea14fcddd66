//! Appends what tasks wrote. Lines of leases that are over are dropped: nobody may write into another's log. So are
//! lines for which the attempt's log has no room.

use std::collections::HashMap;

use nexus_api::time::micros;
use nexus_api::worker::v1::{AppendTaskLogsRequest, AppendTaskLogsResponse, TaskLogLines};
use nexus_mesh::failpoint::kill_here;
use tonic::Status;

use super::{at_most, session};
use crate::Context;
use crate::error::status;
use crate::ids::ExecutionId;
use crate::store::LogRow;

/// Bytes of a line at most; longer ones are cut.
const MAX_LINE: usize = 16 << 10;

pub(crate) async fn append(
    context: &Context,
    request: AppendTaskLogsRequest,
) -> Result<AppendTaskLogsResponse, Status> {
    at_most("batches", request.batches.len())?;
    let session = session(context, &request.session)?;
    let bytes = |batch: &TaskLogLines| {
        batch
            .lines
            .iter()
            .map(|line| line.text.len().min(MAX_LINE) as u64)
            .sum()
    };
    let tokens = request.batches.iter().map(|batch| (batch.token.clone(), bytes(batch)));
    let tokens = tokens.collect();
    let subjects = context.owner.subjects(session.session, tokens).await.map_err(status)?;
    let mut rows = Vec::new();
    let mut touched: HashMap<ExecutionId, u64> = HashMap::new();
    for (batch, subject) in request.batches.into_iter().zip(subjects) {
        let Some(subject) = subject else { continue };
        for (line, number) in batch.lines.into_iter().zip(batch.first_line..) {
            let mut text = line.text.replace('\0', "\u{fffd}");
            text.truncate(text.floor_char_boundary(MAX_LINE));
            rows.push(LogRow {
                sequence: 0,
                execution: subject.execution,
                task: subject.task,
                attempt: subject.attempt,
                line: number,
                at: line.time.as_ref().map_or(0, micros),
                stream: line.stream,
                text,
            });
        }
        *touched.entry(subject.execution).or_default() += 1;
    }
    context.store.append_logs(&rows).await.map_err(status)?;
    kill_here("execution::logs");
    for (execution, batches) in touched {
        context.logs.notify(execution, batches);
    }
    Ok(AppendTaskLogsResponse {})
}

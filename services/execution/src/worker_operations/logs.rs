//! Appends what tasks wrote. Lines of leases that are over are dropped: nobody may write into another's log. So are
//! lines for which the attempt's log has no room.

use std::collections::HashMap;
use std::time::Duration;

use nexus_api::error::ApiError;
use nexus_api::shard::v1::{DescribeLeasesRequest, GrowingLog};
use nexus_api::time::micros;
use nexus_api::worker::v1::{AppendTaskLogsRequest, AppendTaskLogsResponse, TaskLogLines};
use nexus_execution_owner::Subject;
use nexus_execution_owner::notify::Progress;
use nexus_execution_store::{ExecutionId, LeaseToken, LogRow, SessionId};
use nexus_failpoint::kill_here;
use tonic::Status;

use super::{at_most, session, split};
use crate::Context;
use crate::error::status;
use crate::replication::{Peer, is_not_owner, request, words};
use nexus_execution_sessions::speaker::Speaker;

/// How long another replica may take, and how long an owner is looked for.
const CALL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of a line at most; longer ones are cut.
const MAX_LINE: usize = 16 << 10;
/// The largest number of a line. An attempt's log has at most 10 MiB, so nobody comes near it.
const LAST_LINE: u64 = 1 << 40;

pub(crate) async fn append(
    context: &Context,
    speaker: &Speaker,
    request: AppendTaskLogsRequest,
) -> Result<AppendTaskLogsResponse, Status> {
    at_most("batches", request.batches.len())?;
    request.batches.iter().try_for_each(check_numbers)?;
    let session = session(context, speaker, &request.session)?;
    let bytes = |batch: &TaskLogLines| {
        batch
            .lines
            .iter()
            .map(|line| line.text.len().min(MAX_LINE) as u64)
            .sum()
    };
    let logs = request
        .batches
        .iter()
        .map(|batch| (LeaseToken::from(batch.token.as_str()), bytes(batch)));
    let subjects = subjects(context, &session.session, logs.collect()).await?;
    let mut rows = Vec::new();
    let mut touched: HashMap<ExecutionId, u64> = HashMap::new();
    for (batch, subject) in request.batches.into_iter().zip(subjects) {
        let Subject::Current(subject) = subject else { continue };
        for (line, number) in batch.lines.into_iter().zip(batch.first_line..) {
            let mut text = line.text.replace('\0', "\u{fffd}");
            text.truncate(text.floor_char_boundary(MAX_LINE));
            rows.push(LogRow {
                sequence: 0,
                execution: subject.execution,
                task: subject.task.number(),
                attempt: subject.attempt,
                line: number,
                at: line.time.as_ref().map_or(0, micros),
                stream: line.stream,
                text,
            });
        }
        *touched.entry(subject.execution).or_default() += 1;
    }
    context.lines.append_logs(&rows).await.map_err(status)?;
    kill_here("execution::logs");
    for (execution, sequence) in touched {
        context.logs.notify(execution, Progress { sequence, over: false });
    }
    Ok(AppendTaskLogsResponse {})
}

/// The numbers of a batch's lines stay within bounds, also those that are counted on from the first.
fn check_numbers(batch: &TaskLogLines) -> Result<(), Status> {
    let last = batch.first_line.checked_add(batch.lines.len() as u64);
    match last {
        Some(last) if last <= LAST_LINE => Ok(()),
        _ => {
            let problem = format!(
                "must leave the last line at {LAST_LINE} at most, it is {}",
                batch.first_line
            );
            Err(ApiError::field("batches.first_line", problem).into())
        }
    }
}

/// What leases are about, asked of the replicas that own them.
pub(super) async fn subjects(
    context: &Context,
    session: &SessionId,
    logs: Vec<(LeaseToken, u64)>,
) -> Result<Vec<Subject>, Status> {
    let mut subjects = vec![Subject::NotOwner; logs.len()];
    let mut waiting: Vec<(usize, (LeaseToken, u64))> = logs.into_iter().enumerate().collect();
    let mut route = None;
    loop {
        let (mine, theirs) = split(context, waiting.clone(), |(_, (token, _))| token.shard());
        let (places, logs): (Vec<usize>, Vec<_>) = mine.into_iter().unzip();
        if !logs.is_empty() {
            let told = local(context, session, logs).await?;
            places
                .into_iter()
                .zip(told)
                .for_each(|(place, subject)| subjects[place] = subject);
        }
        for (peer, group) in theirs {
            let (places, logs): (Vec<usize>, Vec<_>) = group.into_iter().unzip();
            let shard = logs.first().and_then(|(token, _): &(LeaseToken, u64)| token.shard());
            let call = remote(&peer, session, logs);
            match context.router.ask(shard.unwrap_or_default(), &peer, call).await {
                Ok(told) => places
                    .into_iter()
                    .zip(told)
                    .for_each(|(place, subject)| subjects[place] = subject),
                Err(status) if is_not_owner(&status) => {}
                Err(status) => return Err(status),
            }
        }
        waiting.retain(|(place, _)| subjects[*place] == Subject::NotOwner);
        let Some((_, (token, _))) = waiting.first() else {
            return Ok(subjects);
        };
        let shard = token.shard().unwrap_or_default();
        // The worker asks again if nobody is found for so long.
        let route = route.get_or_insert_with(|| context.router.route_for(shard, PATIENCE));
        route.next().await?;
    }
}

/// What leases are about whose shards this replica owns.
pub(crate) async fn local(
    context: &Context,
    session: &SessionId,
    logs: Vec<(LeaseToken, u64)>,
) -> Result<Vec<Subject>, Status> {
    context.owner.subjects(session.clone(), logs).await.map_err(status)
}

async fn remote(peer: &Peer, session: &SessionId, logs: Vec<(LeaseToken, u64)>) -> Result<Vec<Subject>, Status> {
    let log = |(token, bytes)| GrowingLog {
        token: String::from(token),
        bytes,
    };
    let describe = DescribeLeasesRequest {
        session: session.to_string(),
        logs: logs.into_iter().map(log).collect(),
    };
    let answer = peer.client().describe_leases(request(describe, CALL)).await?;
    Ok(answer.into_inner().subjects.iter().map(words::subject_from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lines_are_bounded_just_over_and_not_just_under() {
        let batch = |first_line| TaskLogLines {
            first_line,
            lines: vec![nexus_api::execution::v1::LogLine::default(); 2],
            ..TaskLogLines::default()
        };
        for fits in [0, 1, LAST_LINE - 2] {
            assert!(check_numbers(&batch(fits)).is_ok(), "{fits}");
        }
        for over in [LAST_LINE - 1, u64::MAX - 1, u64::MAX] {
            let status = check_numbers(&batch(over)).expect_err("too large");
            let told = status.message();
            assert!(
                told.contains(&over.to_string()) && told.contains(&LAST_LINE.to_string()),
                "{told}"
            );
        }
    }
}

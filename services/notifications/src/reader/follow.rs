//! What follows from a page of the feed.

use std::collections::BTreeMap;

use nexus_api::feed::v1::FeedEntry;
use nexus_api::notifications::v1::{Event, Notice};

use super::known::Known;
use super::trouble::Trouble;
use crate::events::notices;
use crate::facts::took;
use crate::store::{OutcomeRow, Record};

/// Executions whose length is kept of each workflow.
const DURATIONS: usize = 20;

type Workflow = (String, String);

/// What is to be written.
pub(super) async fn follow(
    entries: &[FeedEntry],
    positions: &[(u32, u64)],
    known: &Known,
    public_url: Option<&str>,
    now: i64,
) -> Result<Record, Trouble> {
    let mut record = Record::default();
    let mut ends: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in entries {
        let end = ends.entry(entry.shard).or_default();
        *end = (*end).max(entry.position);
    }
    for (shard, end) in ends {
        let found = positions
            .iter()
            .find(|(of, _)| *of == shard)
            .map_or(0, |(_, position)| *position);
        record.positions.push((shard, found, end));
    }
    let told: Vec<Notice> = entries.iter().flat_map(|entry| notices(entry, public_url)).collect();
    let mut outcomes = known.outcomes(&told).await?;
    for notice in told {
        let (rules, of_file) = known.of(&notice).await?;
        let outcome = outcomes
            .entry((notice.namespace.clone(), notice.workflow.clone()))
            .or_default();
        let recovered = note(outcome, &notice).then(|| Notice {
            event: Event::Recovered.into(),
            ..notice.clone()
        });
        for rule in rules.iter().chain(of_file.iter()) {
            record.deliveries.extend(rule.messages(&notice, now));
            if let Some(recovered) = &recovered {
                record.deliveries.extend(rule.messages(recovered, now));
            }
            if notice.event() == Event::Started {
                record.watches.extend(rule.watch(&notice, &outcome.row.durations));
            }
        }
        if is_end(notice.event()) {
            record.finished.push(notice.execution);
        }
    }
    let changed = outcomes.into_values().filter(|outcome| outcome.changed);
    record.outcomes = changed.map(|outcome| outcome.row).collect();
    Ok(record)
}

fn is_end(event: Event) -> bool {
    matches!(
        event,
        Event::Succeeded | Event::Failed | Event::Cancelled | Event::TimedOut
    )
}

/// How a workflow's executions ended, as it changes within a page.
#[derive(Default)]
struct Outcome {
    row: OutcomeRow,
    changed: bool,
}

impl Known {
    async fn outcomes(&self, told: &[Notice]) -> Result<BTreeMap<Workflow, Outcome>, Trouble> {
        let mut wanted: Vec<Workflow> = told
            .iter()
            .filter(|notice| is_end(notice.event()) || notice.event() == Event::Started)
            .map(|notice| (notice.namespace.clone(), notice.workflow.clone()))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let rows = self.stored_outcomes(&wanted).await?;
        let keyed = rows.into_iter().map(|row| {
            let key = (row.namespace.clone(), row.workflow.clone());
            (key, Outcome { row, changed: false })
        });
        Ok(keyed.collect())
    }
}

/// Notes an end; whether the workflow works again with it.
fn note(outcome: &mut Outcome, notice: &Notice) -> bool {
    let failed = match notice.event() {
        Event::Succeeded => false,
        Event::Failed | Event::TimedOut => true,
        // Somebody who stops an execution says nothing about the workflow.
        _ => return false,
    };
    let end = notice
        .finish_time
        .as_ref()
        .or(notice.time.as_ref())
        .map_or(0, nexus_api::time::micros);
    let row = &mut outcome.row;
    row.namespace.clone_from(&notice.namespace);
    row.workflow.clone_from(&notice.workflow);
    outcome.changed = true;
    if let Some(took) = took(notice).filter(|_| !failed) {
        row.durations.push(took);
        let many = row.durations.len().saturating_sub(DURATIONS);
        row.durations.drain(..many);
    }
    // Shards have no order between them: what ended before the last end changes nothing.
    if end < row.finished_at {
        return false;
    }
    let recovered = row.failed && !failed;
    row.failed = failed;
    row.finished_at = end;
    recovered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(event: Event, second: i64) -> Notice {
        Notice {
            event: event.into(),
            workflow: "etl".into(),
            start_time: Some(nexus_api::time::timestamp((second - 1) * 1_000_000)),
            finish_time: Some(nexus_api::time::timestamp(second * 1_000_000)),
            ..Notice::default()
        }
    }

    #[test]
    fn a_success_after_a_failure_is_a_recovery_once_and_not_by_what_ended_before() {
        let mut outcome = Outcome::default();
        let told: Vec<bool> = [
            (Event::Succeeded, 1),
            (Event::Failed, 10),
            (Event::Succeeded, 5),
            (Event::Cancelled, 11),
            (Event::TimedOut, 12),
            (Event::Succeeded, 13),
            (Event::Succeeded, 14),
        ]
        .into_iter()
        .map(|(event, second)| note(&mut outcome, &ended(event, second)))
        .collect();
        assert_eq!(told, [false, false, false, false, false, true, false]);
        assert_eq!(outcome.row.durations, [1_000_000; 4]);
    }
}

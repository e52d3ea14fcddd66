//! How much waits and runs here, by queue: what whoever scales workers looks at. Each replica tells of its own shards.

use std::collections::BTreeMap;

use nexus_engine::TaskState;

use super::live::Live;
use crate::metrics;

/// Queues that are told apart at most, ever; authors name them, and each is a time series.
const QUEUES: usize = 200;
/// What stands for all further ones.
const OTHERS: &str = "(others)";

/// What waits in a queue, and what of it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Backlog {
    /// Tasks that wait for a worker.
    ready: u64,
    /// Tasks that a worker has.
    leased: u64,
    /// How long the oldest of those that wait has waited, in microseconds.
    oldest: i64,
}

/// Queues of which the metrics have heard, and whether there was anything in them.
#[derive(Debug, Default)]
pub(crate) struct Backlogs(BTreeMap<String, bool>);

impl Backlogs {
    /// Tells the metrics what waits, and which queues are empty now.
    pub(crate) fn tell<'a>(&mut self, executions: impl Iterator<Item = &'a Live>, now: i64) {
        let now = backlog(executions, now, self);
        for (queue, some) in &mut self.0 {
            if std::mem::take(some) && !now.contains_key(queue) {
                tell(queue, Backlog::default());
            }
        }
        for (queue, backlog) in now {
            tell(&queue, backlog);
            self.0.insert(queue, true);
        }
    }

    /// Every queue was said to be empty.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.0.values().any(|some| *some)
    }
}

fn tell(queue: &str, backlog: Backlog) {
    metrics::backlog(queue, backlog.ready, backlog.leased, backlog.oldest);
}

fn backlog<'a>(executions: impl Iterator<Item = &'a Live>, now: i64, told: &Backlogs) -> BTreeMap<String, Backlog> {
    let mut queues: BTreeMap<String, Backlog> = BTreeMap::new();
    let mut names = told.0.len();
    for live in executions {
        for (key, task) in live.execution.tasks().iter() {
            if !matches!(task.state, TaskState::Scheduled | TaskState::Running) {
                continue;
            }
            let plan = live.execution.plan().task(key);
            let known = queues.contains_key(&plan.queue) || told.0.contains_key(&plan.queue);
            let name = if known || names < QUEUES { &plan.queue } else { OTHERS };
            if !queues.contains_key(name) {
                names += usize::from(!known);
                queues.insert(name.to_owned(), Backlog::default());
            }
            if let Some(queue) = queues.get_mut(name) {
                queue.count(task.state, task.ready_at, now);
            }
        }
    }
    queues
}

impl Backlog {
    fn count(&mut self, state: TaskState, ready_at: Option<i64>, now: i64) {
        if state == TaskState::Running {
            self.leased += 1;
            return;
        }
        self.ready += 1;
        // The clock may have been set back since.
        let waited = ready_at.map_or(0, |ready| now.saturating_sub(ready).max(0));
        self.oldest = self.oldest.max(waited);
    }
}

#[cfg(test)]
mod tests {
    use nexus_engine::TaskRecord;

    use super::super::live::tests::live_with;
    use super::*;

    fn with(state: TaskState, ready_at: Option<i64>) -> Live {
        live_with(TaskRecord {
            state,
            ready_at,
            ..TaskRecord::default()
        })
    }

    #[test]
    fn what_waits_and_what_runs_is_counted_by_queue() {
        let one = with(TaskState::Scheduled, Some(100));
        let told = Backlogs::default();
        let queue = one.execution.plan().tasks[0].queue.clone();
        let waits = Backlog {
            ready: 1,
            leased: 0,
            oldest: 250,
        };
        assert_eq!(backlog([&one].into_iter(), 350, &told).get(&queue), Some(&waits));
        let before = backlog([&one].into_iter(), 50, &told)[&queue];
        assert_eq!(before.oldest, 0, "the clock was set back");
        let one = with(TaskState::Running, None);
        let runs = backlog([&one, &one].into_iter(), 350, &told)[&queue];
        assert_eq!((runs.ready, runs.leased, runs.oldest), (0, 2, 0));
        let one = with(TaskState::Succeeded, None);
        assert!(backlog([&one].into_iter(), 350, &told).is_empty());
    }

    #[test]
    fn queues_beyond_a_number_have_no_series_of_their_own() {
        let one = with(TaskState::Running, None);
        let many = (0..QUEUES).map(|number| (number.to_string(), true)).collect();
        let queues = backlog([&one].into_iter(), 0, &Backlogs(many));
        assert_eq!(queues.keys().collect::<Vec<_>>(), [OTHERS]);
    }
}

//! Reads a task: what holds for every kind. The kinds themselves are in [`super::kinds`].

use std::collections::HashSet;

use super::expressions::{Expressions, Use};
use super::kinds;
use super::reader::{Fields, Missing, Path, Shape, fields};
use super::shared::{PRIORITIES, description, queue, read_retry};
use super::values::Values;
use crate::codes::{self, Code};
use crate::duration::Span;
use crate::findings::{Finding, Findings};
use crate::kinds::{KEYS, KindName};
use crate::model::{Delivery, ResultCache, Task, TriggerRule};
use crate::source::{Data, Entry, Place};

const TRIGGER_RULES: &[&str] = &[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_skipped",
    "one_failed",
    "one_success",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "always",
];

/// The keys that every kind of task has.
const COMMON: [&str; 14] = [
    "description",
    "needs",
    "handles",
    "if",
    "trigger_rule",
    "timeout",
    "schedule_to_start_timeout",
    "total_timeout",
    "retry",
    "queue",
    "priority",
    "delivery",
    "cache",
    "continue_on_error",
];

/// Those, and the kind keys.
const TASK_KEYS: [&str; COMMON.len() + KEYS.len()] = joined(&COMMON, &KEYS);

const fn joined<const N: usize>(first: &[&'static str], second: &[&'static str]) -> [&'static str; N] {
    let mut all = [""; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < first.len() {
            first[i]
        } else {
            second[i - first.len()]
        };
        i += 1;
    }
    all
}

const TASK: Shape = Shape {
    name: "a task",
    keys: &TASK_KEYS,
    missing: &[
        Missing {
            key: "map",
            instead: "write one task per item, or loop inside a python task",
        },
        Missing {
            key: "concurrency",
            instead: "limit work with a queue of its own and few workers on it",
        },
        Missing {
            key: "workflow",
            instead: "start the other workflow from an http or python task",
        },
        Missing {
            key: "container",
            instead: "run it from a bash task",
        },
        Missing {
            key: "docker",
            instead: "run it from a bash task",
        },
        Missing {
            key: "worker",
            instead: "give the task a queue that your worker serves",
        },
        Missing {
            key: "approval",
            instead: "split the workflow at the approval and start the second part by hand",
        },
        Missing {
            key: "sleep",
            instead: "run sleep in a bash task",
        },
        Missing {
            key: "wait_for",
            instead: "poll in a python task with retry",
        },
        Missing {
            key: "on_failure",
            instead: "add a task with handles: [this task] if it repairs the failure, or with needs: [this task], \
                      trigger_rule: one_failed and handles: [] if it only tells of it",
        },
        Missing {
            key: "depends_on",
            instead: "write needs: [...]",
        },
        Missing {
            key: "when",
            instead: "write if:",
        },
        Missing {
            key: "retries",
            instead: "write retry: {max_attempts: ...}, which counts the first attempt too",
        },
        Missing {
            key: "title",
            instead: "write it as description",
        },
    ],
};

const CACHE: Shape = Shape {
    name: "cache",
    keys: &["ttl"],
    missing: &[
        Missing {
            key: "key",
            instead: "leave it out: the key is the task with everything that it is given; give it less to tell apart",
        },
        Missing {
            key: "enabled",
            instead: "leave cache: out to run the task each time",
        },
    ],
};

/// A task as read, with where it names others.
pub(super) struct RawTask {
    /// Nothing when it could not be read.
    pub(super) task: Option<Task>,
    pub(super) place: Place,
    pub(super) needs: Vec<Use>,
    pub(super) uses: Vec<Use>,
    /// The tasks that it handles; nothing when it does not say.
    pub(super) handles: Option<Vec<Use>>,
    /// How what it needs must have ended.
    pub(super) rule: TriggerRule,
    /// Where that is said, when it is.
    pub(super) rule_place: Option<Place>,
    pub(super) continue_on_error: bool,
}

impl RawTask {
    /// Every place where it names a task that must end before it.
    pub(super) fn edges(&self) -> impl Iterator<Item = &Use> {
        self.needs.iter().chain(self.handles.iter().flatten()).chain(&self.uses)
    }

    /// The rule of a task that does not name one.
    fn usual_rule(&self) -> TriggerRule {
        let handles = self.handles.iter().flatten().next();
        handles.map_or_else(TriggerRule::default, |_| TriggerRule::OneFailed)
    }

    /// What the document says that it needs. What it handles is written out there too, as its rule is: a version that
    /// does not know `handles` then still runs the task where it should.
    fn needed(&self) -> Vec<String> {
        let mut known = HashSet::new();
        let named = self.needs.iter().chain(self.handles.iter().flatten());
        named
            .filter(|used| known.insert(used.task.as_str()))
            .map(|used| used.task.clone())
            .collect()
    }

    fn handled(&self) -> Option<Vec<String>> {
        let handles = self.handles.as_ref()?;
        Some(handles.iter().map(|handled| handled.task.clone()).collect())
    }
}

pub(super) fn read(entry: &Entry, tasks: Path<'_>, expressions: &mut Expressions, findings: &mut Findings) -> RawTask {
    let path = tasks.then(&entry.key);
    let mut raw = RawTask {
        task: None,
        place: entry.place,
        needs: Vec::new(),
        uses: Vec::new(),
        handles: None,
        rule: TriggerRule::default(),
        rule_place: None,
        continue_on_error: false,
    };
    let Some(fields) = fields(&entry.value, &TASK, path, findings) else {
        return raw;
    };
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    values.check_id("task id", &entry.key, entry.place, path.to_string());
    let description = description(&mut values);
    raw.needs = names(&mut values, "needs", "needed", codes::DOUBLE_NEED);
    raw.handles = fields
        .has("handles")
        .then(|| names(&mut values, "handles", "handled", codes::DOUBLE_HANDLES));
    let condition = condition(&mut values, expressions);
    let rule = values.word::<TriggerRule>("trigger_rule", TRIGGER_RULES);
    raw.rule_place = rule.and_then(|_| fields.get("trigger_rule").map(|entry| entry.place));
    raw.rule = rule.unwrap_or_else(|| raw.usual_rule());
    let retry = read_retry(&fields, path, values.findings);
    let times = times(&mut values);
    let queue = queue(&mut values);
    let priority = values.word("priority", PRIORITIES);
    let delivery = values
        .word::<Delivery>("delivery", &["at_least_once", "at_most_once"])
        .unwrap_or_default();
    let cache = read_cache(&fields, path, values.findings);
    raw.continue_on_error = values.flag("continue_on_error");
    let kind = kind_entry(entry, &fields, path, findings)
        .and_then(|(kind, found)| kinds::read(kind, found, path, expressions, findings));
    raw.uses = expressions.take_uses();
    raw.task = kind.map(|kind| Task {
        description,
        needs: raw.needed(),
        handles: raw.handled(),
        condition,
        trigger_rule: raw.rule,
        timeout: times.attempt,
        schedule_to_start_timeout: times.start,
        total_timeout: times.total,
        retry,
        queue,
        priority,
        delivery,
        cache,
        continue_on_error: raw.continue_on_error,
        kind,
    });
    raw
}

/// The one key that says what the task does.
fn kind_entry<'n>(
    task: &Entry,
    fields: &Fields<'n>,
    path: Path<'_>,
    findings: &mut Findings,
) -> Option<(KindName, &'n Entry)> {
    let mut found = fields
        .iter()
        .filter_map(|entry| KindName::of(&entry.key).map(|kind| (kind, entry)));
    let Some(first) = found.next() else {
        // A key of a kind that this version lacks, or a misspelt one, has been told of already.
        if fields.iter().all(|entry| TASK.keys.contains(&entry.key.as_str())) {
            let message = format!("task {:?} does not say what it does", task.key);
            let finding = Finding::error(codes::NO_KIND, task.place, message).path(path.to_string());
            findings.add(finding.fix(format!("add one of the keys {}", KEYS.join(", "))));
        }
        return None;
    };
    for (_, second) in found {
        let message = format!(
            "task {:?} has both {} and {}; a task does one thing",
            task.key, first.0, second.key
        );
        let finding = Finding::error(codes::MANY_KINDS, second.place, message).path(path.then(&second.key).to_string());
        findings.add(finding.fix(format!("make {} a task of its own that needs {}", second.key, task.key)));
    }
    Some(first)
}

/// A list of tasks' names, each once.
fn names(values: &mut Values<'_, '_>, key: &str, done: &str, twice: Code) -> Vec<Use> {
    let mut names: Vec<Use> = Vec::new();
    let mut known = HashSet::new();
    for (i, (task, node)) in values.texts(key).into_iter().enumerate() {
        let path = values.path.then(key).then(&i.to_string()).to_string();
        if !known.insert(task) {
            let message = format!("{task:?} is {done} twice");
            let finding = Finding::warning(twice, node.place, message).path(path);
            values.findings.add(finding.fix("remove one of the two"));
            continue;
        }
        names.push(Use {
            task: task.to_owned(),
            place: node.place,
            path,
        });
    }
    names
}

fn condition(values: &mut Values<'_, '_>, expressions: &mut Expressions) -> Option<String> {
    let node = values.fields.value("if")?;
    // `if: true` is YAML's true and means what it says.
    if let Data::Bool(value) = node.data {
        return Some(value.to_string());
    }
    let text = values.text("if")?;
    expressions.condition(node, text, values.path.then("if"), values.findings);
    Some(text.to_owned())
}

/// Reads for how long a task's output is kept.
fn read_cache(owner: &Fields<'_>, path: Path<'_>, findings: &mut Findings) -> Option<ResultCache> {
    let node = owner.value("cache")?;
    let path = path.then("cache");
    let fields = fields(node, &CACHE, path, findings)?;
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    if !fields.has("ttl") {
        let message = "cache does not say for how long an output is kept";
        let finding = Finding::error(codes::MISSING_KEY, node.place, message).path(path.to_string());
        findings.add(finding.fix("add ttl, such as ttl: 1h"));
        return None;
    }
    let ttl = values.positive_span("ttl")?;
    if ttl > ResultCache::MOST {
        let place = fields.value("ttl").map(|node| node.place).unwrap_or_default();
        let message = format!("ttl is at most {}, not {ttl}", ResultCache::MOST);
        values.say("ttl", Finding::error(codes::OUT_OF_BOUNDS, place, message));
        return None;
    }
    Some(ResultCache { ttl })
}

struct Times {
    attempt: Option<Span>,
    start: Option<Span>,
    total: Option<Span>,
}

fn times(values: &mut Values<'_, '_>) -> Times {
    let times = Times {
        attempt: values.positive_span("timeout"),
        start: values.positive_span("schedule_to_start_timeout"),
        total: values.positive_span("total_timeout"),
    };
    if let (Some(attempt), Some(total)) = (times.attempt, times.total)
        && total < attempt
    {
        let place = values
            .fields
            .value("timeout")
            .map(|node| node.place)
            .unwrap_or_default();
        let message = format!("one attempt may take {attempt}, but all attempts together only {total}");
        let finding = Finding::warning(codes::IDLE_TIMEOUT, place, message);
        values.say("timeout", finding.fix("raise total_timeout, or lower timeout"));
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_the_table_is_not_told_to_be_missing() {
        for key in KEYS {
            assert!(!TASK.missing.iter().any(|missing| missing.key == key), "{key}");
            assert!(TASK.keys.contains(&key), "{key}");
        }
    }
}

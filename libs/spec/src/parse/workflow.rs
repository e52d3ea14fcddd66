//! Reads the document itself: name, labels, params, defaults, tasks, output.

use indexmap::IndexMap;
use nexus_graph::Graph;
use serde_json::Value;

use super::expressions::Expressions;
use super::reader::{Fields, Missing, Path, Shape, entries, fields};
use super::shared::{PRIORITIES, description, queue, read_retry};
use super::tasks::{self, RawTask};
use super::values::Values;
use super::{MAX_TASKS, handles, notify, references, schedules};
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::{Defaults, Workflow};
use crate::params;
use crate::source::{Data, Node, Place};
use nexus_expr::Template;

const WORKFLOW: Shape = Shape {
    name: "a workflow",
    keys: &[
        "name",
        "description",
        "labels",
        "params",
        "timeout",
        "fail_fast",
        "schedules",
        "defaults",
        "tasks",
        "output",
        "notify",
    ],
    missing: &[
        Missing {
            key: "concurrency",
            instead: "limit executions where they are started",
        },
        Missing {
            key: "triggers",
            instead: "write times under schedules; start other executions through the API or nexus run",
        },
        Missing {
            key: "schedule",
            instead: "write it under schedules, with a name: schedules: {nightly: {cron: \"0 2 * * *\"}}",
        },
        Missing {
            key: "env",
            instead: "give each task its own env",
        },
        Missing {
            key: "on_failure",
            instead: "add a task with handles: [...], the tasks whose failure it repairs, or with needs: [...], \
                      trigger_rule: one_failed and handles: [] if it only tells of failures",
        },
        Missing {
            key: "title",
            instead: "write it as description",
        },
        Missing {
            key: "nexus",
            instead: "leave the version out; there is one form of the file",
        },
    ],
};

const DEFAULTS: Shape = Shape {
    name: "defaults",
    keys: &["timeout", "retry", "queue", "priority"],
    missing: &[],
};

const MAX_LABELS: usize = 64;
const MAX_LABEL: usize = 256;

/// What was read of a document.
pub(super) struct Read {
    pub(super) name: Option<String>,
    pub(super) workflow: Option<Workflow>,
    pub(super) graph: Option<Graph>,
}

pub(super) fn read(root: &Node, findings: &mut Findings) -> Read {
    let nothing = Read {
        name: None,
        workflow: None,
        graph: None,
    };
    if let Data::Text(..) | Data::List(_) | Data::Null | Data::Bool(_) | Data::Number(_) = root.data {
        let message = format!("a workflow must be a map, this is {}", root.describe());
        findings.add(Finding::error(codes::NO_DOCUMENT, root.place, message).fix("start with name: and tasks:"));
        return nothing;
    }
    let Some(fields) = fields(root, &WORKFLOW, Path::ROOT, findings) else {
        return nothing;
    };
    let name = read_name(&fields, findings);
    let mut values = Values {
        fields: &fields,
        path: Path::ROOT,
        findings,
    };
    let timeout = values.positive_span("timeout");
    let fail_fast = values.flag("fail_fast");
    let description = description(&mut values);
    let labels = labels(&fields, findings);
    let params = read_params(&fields, findings);
    let schedules = schedules::read(&fields, findings);
    let defaults = read_defaults(&fields, findings);
    let mut expressions = Expressions::new(params.as_ref());
    let tasks = read_tasks(&fields, &mut expressions, findings);
    let output = fields.get("output").map(|entry| {
        expressions.value(&entry.value, Path::ROOT.then("output"), findings);
        let value = entry.value.to_value();
        refuse_secrets(&value, entry.place, findings);
        value
    });
    let notify = notify::read(fields.value("notify"), findings);
    let graph = references::check(&tasks, &expressions, findings);
    handles::check(&tasks, findings);
    let complete = tasks
        .into_iter()
        .map(|(id, raw)| Some((id, raw.task?)))
        .collect::<Option<IndexMap<_, _>>>();
    let workflow = name.clone().zip(complete).map(|(name, tasks)| Workflow {
        name,
        description,
        labels,
        params,
        timeout,
        fail_fast,
        schedules,
        defaults,
        tasks,
        output,
        notify,
    });
    Read { name, workflow, graph }
}

fn read_name(fields: &Fields<'_>, findings: &mut Findings) -> Option<String> {
    let mut values = Values {
        fields,
        path: Path::ROOT,
        findings,
    };
    let name = values.required_text("name", "a workflow")?;
    let place = fields.value("name").map(|node| node.place).unwrap_or_default();
    values
        .check_id("workflow name", name, place, "/name".to_owned())
        .then(|| name.to_owned())
}

fn labels(fields: &Fields<'_>, findings: &mut Findings) -> IndexMap<String, String> {
    let mut labels = IndexMap::new();
    let Some(node) = fields.value("labels") else {
        return labels;
    };
    let path = Path::ROOT;
    let path = path.then("labels");
    let Some(entries) = entries(node, "labels", path, findings) else {
        return labels;
    };
    if entries.len() > MAX_LABELS {
        let message = format!("there are {} labels; at most {MAX_LABELS} are kept", entries.len());
        findings.add(Finding::error(codes::TOO_LONG, node.place, message).path(path.to_string()));
    }
    for entry in entries {
        let path = path.then(&entry.key).to_string();
        let key_is_good = is_label_key(&entry.key);
        if !key_is_good {
            let message = format!(
                "{:?} is not a label's name: letters, digits, _ . / -, at most 63",
                entry.key
            );
            findings.add(Finding::error(codes::BAD_NAME, entry.place, message).path(path.clone()));
        }
        match entry.value.text() {
            Some(text) if text.len() <= MAX_LABEL => {
                labels.insert(entry.key.clone(), text.to_owned());
            }
            Some(_) => {
                let message = format!("the label {:?} is longer than {MAX_LABEL} bytes", entry.key);
                findings.add(Finding::error(codes::TOO_LONG, entry.value.place, message).path(path));
            }
            None => {
                let message = format!("a label must be text, this is {}", entry.value.describe());
                let fix = format!("quote it: {}: \"{}\"", entry.key, entry.value.to_value());
                findings.add(
                    Finding::error(codes::WRONG_TYPE, entry.value.place, message)
                        .path(path)
                        .fix(fix),
                );
            }
        }
    }
    labels
}

/// True when a label may have this name. Letters of either case: labels often come from other systems.
pub(crate) fn is_label_key(key: &str) -> bool {
    (1..=63).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_alphanumeric())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
}

fn read_params(fields: &Fields<'_>, findings: &mut Findings) -> Option<Value> {
    let node = fields.value("params")?;
    entries(node, "params", Path::ROOT.then("params"), findings)?;
    let schema = node.to_value();
    for problem in params::check_schema(&schema) {
        let place = node.follow(&problem.path).place;
        let code = if problem.is_default {
            codes::BAD_DEFAULT
        } else {
            codes::BAD_SCHEMA
        };
        let finding = Finding::error(code, place, problem.message).path(format!("/params{}", problem.path));
        findings.add(finding.maybe_fix(problem.fix));
    }
    Some(schema)
}

fn read_defaults(fields_of_root: &Fields<'_>, findings: &mut Findings) -> Defaults {
    let path = Path::ROOT;
    let path = path.then("defaults");
    let Some(fields) = fields_of_root
        .value("defaults")
        .and_then(|node| fields(node, &DEFAULTS, path, findings))
    else {
        return Defaults::default();
    };
    let retry = read_retry(&fields, path, findings);
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    Defaults {
        timeout: values.positive_span("timeout"),
        retry,
        queue: queue(&mut values),
        priority: values.word("priority", PRIORITIES),
    }
}

fn read_tasks(fields: &Fields<'_>, expressions: &mut Expressions, findings: &mut Findings) -> Vec<(String, RawTask)> {
    let missing = |place: Place| {
        Finding::error(codes::NO_TASKS, place, "a workflow needs at least one task")
            .fix("add tasks: with a map from ids to tasks")
    };
    let Some(node) = fields.value("tasks") else {
        findings.add(missing(fields.get("tasks").map_or(fields.place, |entry| entry.place)));
        return Vec::new();
    };
    let path = Path::ROOT;
    let path = path.then("tasks");
    if let Data::List(_) = node.data {
        let finding =
            Finding::error(codes::WRONG_TYPE, node.place, "tasks must be a map, this is a list").path("/tasks");
        findings.add(finding.fix("write each task under its id: tasks: {extract: {...}, load: {...}}"));
        return Vec::new();
    }
    let Some(entries) = entries(node, "tasks", path, findings) else {
        return Vec::new();
    };
    if entries.is_empty() {
        findings.add(missing(node.place).path("/tasks"));
    }
    if entries.len() > MAX_TASKS {
        let message = format!("there are {} tasks; a workflow has at most {MAX_TASKS}", entries.len());
        findings.add(Finding::error(codes::TOO_MANY_TASKS, node.place, message).path("/tasks"));
        return Vec::new();
    }
    entries
        .iter()
        .map(|entry| (entry.key.clone(), tasks::read(entry, path, expressions, findings)))
        .collect()
}

/// The output is stored and shown, and it is made where secrets are not known.
fn refuse_secrets(output: &Value, place: Place, findings: &mut Findings) {
    let Ok(template) = Template::compile(output) else {
        return;
    };
    if let Some(secret) = template.references().secrets.first() {
        let message = format!("the output refers to the secret {secret:?}; an output is stored and shown");
        let finding = Finding::error(codes::SECRET_IN_OUTPUT, place, message).path("/output");
        findings.add(finding.fix("give a secret only to the task that uses it"));
    }
}

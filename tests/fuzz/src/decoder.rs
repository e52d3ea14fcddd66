//! Stored things: any columns give an event that is written down as it was read, or an error; any document gives a
//! workflow that can be made ready, or an error.
//!
//! An input is either a line `kind task attempt state` with the event's data below it, or a document.

use nexus_engine::Plan;
use nexus_execution_store::facts::{EventColumns, event, event_columns};
use nexus_spec::Workflow;

pub(crate) const WORDS: &[&str] = &[
    "1 -1 0 0\n",
    "3 -1 0 1\n",
    "4 -1 0 8\n",
    "5 0 1 0\n",
    "6 7 2 0\n",
    "7 7 2 0\n",
    "8 7 3 0\n",
    "9 7 4 15\n",
    "-9223372036854775808 ",
    "9223372036854775807 ",
    "4294967296 ",
    "{\"failure\":",
    "\"kind\":",
    "\"worker\":\"w\"",
    "\"next_at\":1",
    "\"reason\":\"r\"",
    "\"counted\":true",
    "null",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "[",
    "]",
    "{\"name\":\"w\",\"tasks\":{\"a\":{\"noop\":{}}}}",
    "\"needs\":[\"a\"]",
    "\"if\":\"tasks.a.output\"",
    "{{ tasks.a.output }}",
    "\"timeout\":\"1s\"",
    "\"retry\":{\"max_attempts\":1}",
    "\"output\":",
    "{{ ",
    " }}",
    "\\u0000",
    "1e308",
];

/// Reads any bytes as an event and as a workflow's document.
pub fn decoder(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(columns) = columns(&text) {
        stored_event(&columns);
    } else {
        document(&text);
    }
}

fn columns(text: &str) -> Option<EventColumns> {
    let (line, data) = text.split_once('\n')?;
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(EventColumns {
        kind: next()?,
        task: next()?,
        attempt: next()?,
        state: next()?,
        data: data.to_owned(),
    })
}

fn stored_event(columns: &EventColumns) {
    let Ok(read) = event(7, 99, columns) else { return };
    assert_eq!((read.sequence, read.at), (7, 99));
    let written = event_columns(&read);
    assert_eq!(written.kind, columns.kind);
    let again = event(7, 99, &written).unwrap_or_else(|error| panic!("{written:?} is not read back: {error}"));
    assert_eq!(again, read, "{written:?}");
    assert_eq!(event_columns(&again), written);
}

fn document(text: &str) {
    let Ok(workflow) = Workflow::from_document(text) else {
        return;
    };
    let written = workflow.to_document();
    let again = Workflow::from_document(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again, workflow, "{written}");
    assert_eq!(again.to_document(), written);
    let Ok(plan) = Plan::new(&workflow, 3) else { return };
    assert_eq!(plan.tasks.len(), workflow.tasks.len());
    for (position, task) in (0_u32..).zip(&plan.tasks) {
        assert_eq!(plan.index[&task.id], position);
        for needed in &task.needs {
            assert!(
                plan.tasks[*needed as usize].dependants.contains(&position),
                "edges go both ways"
            );
        }
    }
}

//! Which events are shown, and how.

use std::collections::HashMap;

use nexus_api::Namespace;
use nexus_api::execution::v1::event::Type;
use nexus_api::execution::v1::{Event, Execution};
use nexus_api::feed::v1::FeedEntry;
use nexus_cli_frame::{CliError, Output, Target, output};

use crate::args::EventsArgs;
use crate::watch;

/// What of the feed is shown, and where.
pub(super) struct Shown<'a> {
    /// The feed tells of all; a command is about one.
    namespace: Namespace,
    types: &'a [Type],
    workflows: &'a [String],
    /// Of executions whose past was shown, up to which event: the feed may tell of it too.
    past: HashMap<String, u64>,
    output: &'a Output,
}

impl<'a> Shown<'a> {
    pub(super) fn new(args: &'a EventsArgs, target: &Target, output: &'a Output) -> Self {
        Self {
            namespace: target.namespace().clone(),
            types: &args.types,
            workflows: &args.workflows,
            past: HashMap::new(),
            output,
        }
    }

    /// The workflow, when there is one only.
    pub(super) fn workflow(&self) -> Option<&str> {
        match self.workflows {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Whether an execution's events are shown at all.
    pub(super) fn is_about(&self, execution: &Execution) -> bool {
        let wanted = self.workflows.is_empty() || self.workflows.contains(&execution.workflow);
        wanted && execution.namespace == self.namespace.as_str()
    }

    /// Whether an event is shown.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.types.is_empty() || self.types.contains(&event.r#type())
    }

    /// Remembers what was shown of an execution's past.
    pub(super) fn remember(&mut self, execution: String, last_event: u64) {
        self.past.insert(execution, last_event);
    }

    /// Shows an entry, without what was shown of it before.
    pub(super) fn entry(&mut self, mut entry: FeedEntry) -> Result<(), CliError> {
        // Whose an execution was that is gone, nobody knows any more.
        let Some(execution) = entry.execution.take().filter(|_| !entry.gone) else {
            return Ok(());
        };
        if !self.is_about(&execution) {
            return Ok(());
        }
        if let Some(&told) = self.past.get(&execution.id) {
            entry.events.retain(|event| event.sequence > told);
            if entry.last_event >= told {
                self.past.remove(&execution.id);
            }
        }
        entry.events.retain(|event| self.wants(event));
        if entry.events.is_empty() {
            return Ok(());
        }
        self.print(execution, entry)
    }

    /// Shows an event of the past, in the form of an entry that has no position.
    pub(super) fn past(&self, execution: &Execution, event: Event) -> Result<(), CliError> {
        let entry = FeedEntry {
            first_event: event.sequence,
            last_event: event.sequence,
            events: vec![event],
            ..FeedEntry::default()
        };
        self.print(execution.clone(), entry)
    }

    fn print(&self, execution: Execution, entry: FeedEntry) -> Result<(), CliError> {
        if self.output.is_table() {
            let told = |event: &Event| {
                format!(
                    "{} {} {}\n",
                    execution.workflow,
                    execution.id,
                    watch::plain::event(event)
                )
            };
            return self.output.raw(&entry.events.iter().map(told).collect::<String>());
        }
        let entry = FeedEntry {
            execution: Some(execution),
            ..entry
        };
        // One JSON text per line: there is no end that a document could wait for.
        let text = output::json(&entry, "nexus.feed.v1.FeedEntry")?.to_string();
        self.output.line(&text)
    }
}

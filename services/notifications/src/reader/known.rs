//! The rules that there are, those of workflow files too, read again when they have changed.

use std::sync::Arc;

use moka::future::Cache;
use nexus_api::Namespace;
use nexus_api::definitions::v1::GetRevisionRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::notifications::v1::{Event, Notice, Rule};
use nexus_mesh::Transport;
use serde::Deserialize;
use tonic::Code;

use super::trouble::Trouble;
use crate::objects::rule_of;
use crate::rules::Ready;
use crate::store::{OutcomeRow, Store};

/// Rules of one page of the store.
const PAGE: u32 = 500;
/// Rules of all namespaces at most; those beyond tell of nothing, and the log says so.
const MOST: usize = 20_000;
/// Revisions whose rules are kept in memory.
const REVISIONS: u64 = 10_000;
/// Larger answers are refused: a file of 8 MiB and its canonical form.
const MAX_ANSWER: usize = 32 << 20;

type Revision = (String, String, u32);

/// The rules.
pub(super) struct Known {
    store: Arc<dyn Store>,
    definitions: Transport,
    generation: i64,
    rules: Vec<Ready>,
    files: Cache<Revision, Arc<Vec<Ready>>>,
}

/// What a workflow's document says about notifications.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    notify: Vec<Notify>,
}

#[derive(Deserialize)]
struct Notify {
    on: Vec<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default, rename = "if")]
    condition: String,
}

impl Known {
    pub(super) fn new(store: Arc<dyn Store>, definitions: Transport) -> Self {
        Self {
            store,
            definitions,
            generation: 0,
            rules: Vec::new(),
            files: Cache::new(REVISIONS),
        }
    }

    /// Reads the rules again if one has changed.
    pub(super) async fn refresh(&mut self) -> Result<(), Trouble> {
        let generation = self.store.generation().await?;
        if generation == self.generation {
            return Ok(());
        }
        let mut rules = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let page = self.store.rules((&after.0, &after.1), PAGE).await?;
            for kept in &page {
                match Ready::read(rule_of(kept)?) {
                    Ok(ready) => rules.push(ready),
                    // One of a later version, which checks otherwise.
                    Err(error) => {
                        tracing::error!(rule = kept.name, %error, "a rule cannot be used; nobody is told by it")
                    }
                }
            }
            let Some(last) = page.last().filter(|_| page.len() == PAGE as usize) else {
                break;
            };
            after = (last.namespace.to_string(), last.name.clone());
            if rules.len() >= MOST {
                tracing::error!(
                    most = MOST,
                    "there are more rules than are kept in memory; those beyond tell of nothing"
                );
                break;
            }
        }
        self.rules = rules;
        self.generation = generation;
        Ok(())
    }

    /// The rules that may tell of a notice: those that are kept, and those of its workflow's file.
    pub(super) async fn of(&self, notice: &Notice) -> Result<(&[Ready], Arc<Vec<Ready>>), Trouble> {
        let revision = (notice.namespace.clone(), notice.workflow.clone(), notice.revision);
        let files = match self.files.get(&revision).await {
            Some(files) => files,
            None => {
                let read = Arc::new(self.read(&revision).await?);
                self.files.insert(revision, Arc::clone(&read)).await;
                read
            }
        };
        Ok((&self.rules, files))
    }

    /// How workflows' executions ended, as it is stored.
    pub(super) async fn stored_outcomes(&self, workflows: &[(String, String)]) -> Result<Vec<OutcomeRow>, Trouble> {
        Ok(self.store.outcomes(workflows).await?)
    }

    async fn read(&self, (namespace, workflow, revision): &Revision) -> Result<Vec<Ready>, Trouble> {
        let Ok(asked) = namespace.parse::<Namespace>() else {
            return Ok(Vec::new());
        };
        let request = GetRevisionRequest {
            workflow: workflow.clone(),
            revision: *revision,
        };
        let client = DefinitionsServiceClient::new(self.definitions.clone()).max_decoding_message_size(MAX_ANSWER);
        let found = match client.clone().get_revision(asked.request(request)).await {
            Ok(answer) => answer.into_inner().revision.unwrap_or_default(),
            // Revisions are never deleted: this is another database than the executions'.
            Err(status) if status.code() == Code::NotFound => return Ok(Vec::new()),
            Err(status) => return Err(status.into()),
        };
        let document: Document = match serde_json::from_str(&found.document) {
            Ok(document) => document,
            Err(error) => {
                tracing::error!(workflow, revision, %error, "what a workflow says in notify cannot be read");
                return Ok(Vec::new());
            }
        };
        let rules = document
            .notify
            .into_iter()
            .enumerate()
            .map(|(index, notify)| rule(namespace, workflow, index, notify));
        let ready = rules.filter_map(|rule| {
            let read = Ready::read(rule);
            read.inspect_err(|error| tracing::error!(workflow, %error, "a workflow's notify cannot be used"))
                .ok()
        });
        Ok(ready.collect())
    }
}

/// What an entry of `notify` means.
fn rule(namespace: &str, workflow: &str, index: usize, notify: Notify) -> Rule {
    let mut events: Vec<i32> = notify
        .on
        .iter()
        .flat_map(|word| events(word))
        .map(|event| i32::from(*event))
        .collect();
    events.sort_unstable();
    events.dedup();
    Rule {
        name: format!("file:{}", index + 1),
        namespace: namespace.to_owned(),
        events,
        workflows: vec![workflow.to_owned()],
        condition: notify.condition,
        channels: notify.channel.into_iter().chain(notify.channels).collect(),
        ..Rule::default()
    }
}

/// The events of a word of the workflow file.
fn events(word: &str) -> &'static [Event] {
    match word {
        "started" => &[Event::Started],
        "success" | "succeeded" => &[Event::Succeeded],
        "failure" => &[Event::Failed, Event::TimedOut],
        "failed" => &[Event::Failed],
        "timed_out" => &[Event::TimedOut],
        "cancelled" => &[Event::Cancelled],
        "recovered" => &[Event::Recovered],
        "task_failed" => &[Event::TaskFailed],
        "task_retried" => &[Event::TaskRetried],
        _ => &[],
    }
}

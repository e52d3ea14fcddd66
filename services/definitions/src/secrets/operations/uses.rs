//! Lists the workflows that name a secret.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{ListSecretUsesRequest, ListSecretUsesResponse, SecretUse};
use nexus_api::error::ApiError;
use nexus_service::page;
use serde_json::Value;
use tonic::Status;

use super::{Call, Context, own_name};
use crate::error::storage;
use crate::store::secrets::Candidate;

/// Documents that are read at a time: one may have megabytes.
const CHUNK: u32 = 16;
/// Tasks of a workflow that are named at most.
const MAX_TASKS: usize = 100;

pub(crate) async fn uses(
    context: &Context,
    call: &Call,
    request: &ListSecretUsesRequest,
) -> Result<ListSecretUsesResponse, Status> {
    let name = own_name("secret", &request.secret)?;
    let size = page::size(request.page_size)? as usize;
    let query = format!("uses|{}|{name}", call.namespace);
    let mut after = page::key(&query, &request.page_token)?.unwrap_or_default();
    let mut uses = Vec::new();
    let text = format!("secrets.{name}");
    loop {
        let found = context.store.holding(&call.namespace, &text, &after, CHUNK);
        let found = found.await.map_err(storage)?;
        let over = found.len() < CHUNK as usize;
        if let Some(last) = found.last() {
            after.clone_from(&last.workflow);
        }
        let name = name.clone();
        // Large documents take milliseconds to read.
        let reading =
            tokio::task::spawn_blocking(move || found.iter().filter_map(|found| naming(found, &name)).collect());
        let mut named: Vec<SecretUse> = reading.await.map_err(|error| {
            tracing::error!(%error, "workflows could not be looked through");
            ApiError::new(ErrorReason::Internal, "the workflows could not be looked through")
        })?;
        let room = size - uses.len();
        if named.len() > room {
            named.truncate(room);
            if let Some(last) = named.last() {
                after.clone_from(&last.workflow);
            }
        } else if over {
            uses.extend(named);
            return Ok(ListSecretUsesResponse {
                uses,
                next_page_token: String::new(),
            });
        }
        uses.extend(named);
        if uses.len() == size {
            return Ok(ListSecretUsesResponse {
                uses,
                next_page_token: page::token(&query, &after),
            });
        }
    }
}

/// How a workflow names a secret; nothing when it only seems to.
fn naming(candidate: &Candidate, name: &str) -> Option<SecretUse> {
    let document: Value = serde_json::from_str(&candidate.document).ok()?;
    let tasks = document.get("tasks")?.as_object()?.iter();
    let tasks: Vec<String> = tasks
        .filter(|(_, task)| names(task, name))
        .map(|(id, _)| id.clone())
        .take(MAX_TASKS)
        .collect();
    (!tasks.is_empty()).then(|| SecretUse {
        workflow: candidate.workflow.clone(),
        revision: candidate.revision,
        tasks,
    })
}

/// Whether a text in a value has the expression `{{ secrets.NAME }}`. A secret stands alone in one.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text.split("{{").skip(1).any(|rest| {
            let expression = rest.split("}}").next().unwrap_or_default().trim();
            let named = expression.strip_prefix("secrets.");
            named.is_some_and(|named| named.eq_ignore_ascii_case(name))
        }),
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(map) => map.values().any(|item| names(item, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_names_the_secret_counts() {
        let candidate = |tasks: Value| Candidate {
            workflow: "w".into(),
            revision: 2,
            document: json!({"description": "{{ secrets.api }}", "tasks": tasks}).to_string(),
        };
        let tasks = json!({
            "a": {"http": {"headers": {"x": "Bearer {{ secrets.API }}"}}},
            "b": {"bash": {"run": "secrets.api", "env": {"A": "{{ secrets.api_2 }}"}}},
            "c": {"sql": {"bind": ["{{params.x}}{{secrets.api}}"]}},
        });
        let found = naming(&candidate(tasks), "api").expect("it is named");
        assert_eq!((found.revision, found.tasks), (2, vec!["a".to_owned(), "c".to_owned()]));
        assert!(naming(&candidate(json!({"a": {"noop": {}}})), "api").is_none());
    }
}

//! Starts an execution.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_api::error::ApiError;
use nexus_api::execution::v1::{Execution, StartExecutionRequest, StartExecutionResponse};
use nexus_api::shard::v1::{BeginExecutionRequest, BeginExecutionResponse};
use nexus_api::{ErrorReason, Namespace};
use nexus_audit::{Object, Origin, canonical};
use nexus_engine::Plan;
use nexus_execution_owner::NewExecution;
use nexus_execution_store::{ExecutionId, Note, RequestKey};
use nexus_failpoint::kill_here;
use nexus_service::idempotency;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::Status;

use super::{CALL, get, unless_stuck};
use crate::Context;
use crate::error::status;
use crate::plans::Loaded;
use crate::replication::{self, Place, is_not_owner};

/// Parameters in bytes at most.
const MAX_PARAMS: usize = 512 << 10;
/// Labels of one execution at most, and bytes of a key or value.
const MAX_LABELS: usize = 64;
const MAX_LABEL: usize = 256;

/// Starts an execution at whichever replica owns its shard.
pub(crate) async fn start(
    context: &Context,
    namespace: &Namespace,
    (traceparent, origin): (String, Origin),
    mut request: StartExecutionRequest,
) -> Result<StartExecutionResponse, Status> {
    check(&request)?;
    let id = match request.request_id.as_str() {
        "" => routed(context, namespace, &mut request).await?,
        id => context.ids.execution(Some(&namespace.key(id))),
    };
    kill_here("execution::start::received");
    let entry = origin.entry(Object::new("execution", &id.to_string()), &request.request_id);
    let begin = BeginExecutionRequest {
        audit: entry.map(|entry| canonical::encode(&entry)).unwrap_or_default(),
        ..begin(namespace, id, traceparent, request)
    };
    let started = begin_routed(context, id, begin).await?;
    kill_here("execution::start::committed");
    answer(context, namespace, started).await
}

/// What is asked of whoever owns the execution's shard, in the words between replicas.
fn begin(
    namespace: &Namespace,
    id: ExecutionId,
    traceparent: String,
    mut start: StartExecutionRequest,
) -> BeginExecutionRequest {
    let mut name = String::new();
    if !namespace.is_default() {
        start.workflow = namespace.qualify(&start.workflow).into_owned();
        name.push_str(namespace.as_str());
    }
    BeginExecutionRequest {
        id: id.bytes().to_vec(),
        start: Some(start),
        traceparent,
        repeated: false,
        namespace: name,
        audit: Vec::new(),
    }
}

/// The id of an execution that may begin anywhere: here if a worker here has a free slot for its first task, otherwise where
/// one was seen to have, otherwise here. Names the revision, so that whoever begins it need not ask again for the newest.
async fn routed(
    context: &Context,
    namespace: &Namespace,
    request: &mut StartExecutionRequest,
) -> Result<ExecutionId, Status> {
    let here = context.router.serving();
    if here.is_empty() {
        return Ok(context.ids.execution_in(&here));
    }
    let loaded = context.plans.revision(namespace, &request.workflow, request.revision);
    let loaded = loaded.await?;
    request.revision = loaded.plan.revision;
    let queue = first_queue(&loaded.plan);
    if context.waiting.is_free(queue) {
        return Ok(context.ids.execution_in(&here));
    }
    let elsewhere = context.idle.find(queue, Instant::now());
    let theirs = elsewhere.map(|replica| context.router.shards_of(replica));
    let shards = theirs.filter(|theirs| !theirs.is_empty()).unwrap_or(here);
    Ok(context.ids.execution_in(&shards))
}

/// The queue of the first task that needs no other.
fn first_queue(plan: &Plan) -> &str {
    let first = plan.tasks.iter().find(|task| task.needs.is_empty());
    first.map_or("", |task| &task.queue)
}

/// An execution was started, now or before.
pub(crate) struct Answer {
    pub(crate) id: ExecutionId,
    pub(crate) existing: bool,
    /// How it began, when it was begun for this very request.
    pub(crate) execution: Option<Execution>,
    /// The queue of its first task, when a worker of the replica that began it had a free slot for it.
    pub(crate) free_queue: String,
}

impl Answer {
    /// One that was started before.
    fn known(id: ExecutionId, existing: bool) -> Self {
        Self {
            id,
            existing,
            execution: None,
            free_queue: String::new(),
        }
    }
}

async fn begin_routed(context: &Context, id: ExecutionId, mut begin: BeginExecutionRequest) -> Result<Answer, Status> {
    let mut route = context.router.route(id.shard());
    loop {
        let begun = match route.next().await? {
            Place::Local(stay) => local(context, id, stay, &begin).await,
            Place::Remote(peer) => {
                let request = replication::request(begin.clone(), CALL);
                let mut client = peer.client();
                let answer = context
                    .router
                    .ask(id.shard(), &peer, client.begin_execution(request))
                    .await;
                match answer.as_ref().map_or("", |answer| &answer.get_ref().free_queue) {
                    "" => context.idle.forget(peer.owner),
                    queue => context.idle.is_free(queue, peer.owner, Instant::now()),
                }
                answer.map(|answer| started(answer.into_inner(), id))
            }
        };
        match begun {
            // It may have been started all the same. The id is the same in every try, so it is looked for.
            Err(status) if is_not_owner(&status) => begin.repeated = true,
            other => return other,
        }
    }
}

fn started(answer: BeginExecutionResponse, asked: ExecutionId) -> Answer {
    let id = answer.id.try_into().map_or(asked, ExecutionId::from_bytes);
    Answer {
        execution: answer.execution,
        ..Answer::known(id, answer.existing)
    }
}

/// Starts an execution whose shard this replica owns.
pub(crate) async fn local(
    context: &Context,
    id: ExecutionId,
    stay: u64,
    begin: &BeginExecutionRequest,
) -> Result<Answer, Status> {
    let namespace = Namespace::of_field(&begin.namespace);
    let namespace = namespace.map_err(|error| ApiError::field("namespace", error.to_string()))?;
    let mut request = begin.start.clone().unwrap_or_default();
    if !namespace.is_default() {
        request.workflow = namespace.plain(&request.workflow).to_owned();
    }
    let key = request_key(&namespace, &request);
    if let Some(known) = known_start(context, key.as_ref()).await? {
        return Ok(known);
    }
    if begin.repeated && context.reads.execution(id).await.map_err(status)?.is_some() {
        return Ok(Answer::known(id, false));
    }
    let loaded = context.plans.revision(&namespace, &request.workflow, request.revision);
    let loaded = loaded.await?;
    let params = params(&loaded, &request.params)?;
    let mut labels: BTreeMap<String, String> = loaded.workflow.labels.clone().into_iter().collect();
    labels.extend(request.labels);
    let new = NewExecution {
        kept: Vec::new(),
        id,
        namespace,
        plan: Arc::clone(&loaded.plan),
        params_text: Arc::from(params.to_string()),
        params: Arc::new(params),
        labels,
        traceparent: begin.traceparent.clone(),
        request: key,
        note: note(&begin.audit)?,
        stay,
    };
    // Before it is begun: its tasks fill slots.
    let queue = first_queue(&loaded.plan);
    let free = context.waiting.is_free(queue);
    let started = unless_stuck(context, context.owner.begin(new)).await?;
    let execution = started.begun.map(|begun| get::counted(&begun.row, begun.counts));
    Ok(Answer {
        execution,
        free_queue: if free { queue.to_owned() } else { String::new() },
        ..Answer::known(started.id, started.existing)
    })
}

/// What the audit log is told, as it came between replicas.
pub(crate) fn note(form: &[u8]) -> Result<Option<Note>, ApiError> {
    if form.is_empty() {
        return Ok(None);
    }
    let entry = canonical::decode(form).map_err(|error| ApiError::field("audit", error.to_string()))?;
    Ok(Some(entry.note()))
}

async fn answer(context: &Context, namespace: &Namespace, started: Answer) -> Result<StartExecutionResponse, Status> {
    let execution = match started.execution {
        Some(execution) => execution,
        None => get::by_id(context, namespace, started.id).await?.1,
    };
    Ok(StartExecutionResponse {
        execution: Some(execution),
        existing: started.existing,
    })
}

/// The execution that an earlier request with the same key started.
async fn known_start(context: &Context, key: Option<&RequestKey>) -> Result<Option<Answer>, Status> {
    let Some(key) = key else { return Ok(None) };
    match context.reads.request(&key.key).await.map_err(status)? {
        None => Ok(None),
        Some((id, fingerprint)) if fingerprint == key.fingerprint => Ok(Some(Answer::known(id, true))),
        Some(_) => Err(status(nexus_execution_owner::OwnerError::RequestIdReused)),
    }
}

fn check(request: &StartExecutionRequest) -> Result<(), Status> {
    if request.workflow.is_empty() {
        return Err(ApiError::field("workflow", "must name a workflow").into());
    }
    if request.params.len() > MAX_PARAMS {
        let problem = format!(
            "params have {} bytes, at most {MAX_PARAMS} are taken",
            request.params.len()
        );
        return Err(ApiError::new(ErrorReason::PayloadTooLarge, problem.clone())
            .violation("params", problem)
            .into());
    }
    idempotency::check(&request.request_id)?;
    // No database takes it in a text.
    let nul = |text: &String| text.contains('\0');
    if nul(&request.workflow) {
        return Err(ApiError::field("workflow", "holds a NUL character").into());
    }
    if request.labels.iter().any(|(key, value)| nul(key) || nul(value)) {
        return Err(ApiError::field("labels", "hold a NUL character").into());
    }
    let too_long =
        |(key, value): (&String, &String)| key.is_empty() || key.len() > MAX_LABEL || value.len() > MAX_LABEL;
    if request.labels.len() > MAX_LABELS || request.labels.iter().any(too_long) {
        let problem = format!("at most {MAX_LABELS} labels, each key and value of 1 to {MAX_LABEL} bytes");
        return Err(ApiError::field("labels", problem).into());
    }
    Ok(())
}

fn request_key(namespace: &Namespace, request: &StartExecutionRequest) -> Option<RequestKey> {
    RequestKey::of(namespace, &request.request_id, || {
        let labels: BTreeMap<&String, &String> = request.labels.iter().collect();
        // Params are compared as values, so that a client may format them differently when it repeats the call.
        let params: Value = serde_json::from_str(&request.params).unwrap_or_else(|_| json!(request.params));
        let body = json!([request.workflow, request.revision, params, labels]);
        digest(&body.to_string())
    })
}

/// SHA-256 in lower-case hex.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn params(loaded: &Loaded, text: &str) -> Result<Value, Status> {
    let text = if text.is_empty() { "{}" } else { text };
    let invalid = |problem: String| ApiError::new(ErrorReason::InvalidParams, problem);
    if let Some(problem) = nexus_api::json::too_deep(text) {
        let error = invalid(format!("params: the JSON {problem}"));
        return Err(error.violation("params", problem).into());
    }
    let given: Value = serde_json::from_str(text).map_err(|error| {
        invalid(format!("params are not valid JSON: {error}")).violation("params", error.to_string())
    })?;
    if !given.is_object() {
        return Err(invalid("params must be a JSON object".into())
            .violation("params", "must be an object")
            .into());
    }
    if text.contains("\\u0000") {
        return Err(invalid("params hold a NUL character".into())
            .violation("params", "holds \\u0000")
            .into());
    }
    nexus_spec::validate_params(loaded.workflow.params.as_ref(), &given).map_err(|problems| {
        let first = problems.first().map(ToString::to_string);
        let summary = format!(
            "the params do not fit workflow {}: {}{}",
            loaded.workflow.name,
            first.unwrap_or_default(),
            if problems.len() > 1 {
                format!(" (and {} more)", problems.len() - 1)
            } else {
                String::new()
            }
        );
        let error = problems.into_iter().fold(invalid(summary), |error, problem| {
            error.violation(format!("params{}", problem.path.replace('/', ".")), problem.message)
        });
        Status::from(error)
    })
}

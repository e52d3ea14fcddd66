//! Creates a channel or a rule.

use std::collections::BTreeMap;

use nexus_service::idempotency::{self, RequestKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonic::Status;

use super::{Call, Context};
use crate::error::{exists, fields, storage, too_many};
use crate::objects::Object;
use crate::store::{Expected, Put};

pub(crate) async fn create<T: Object>(
    context: &Context,
    call: &Call,
    wanted: T,
    request_id: &str,
) -> Result<T, Status> {
    idempotency::check(request_id)?;
    let name = wanted.name().to_owned();
    let wanted = wanted.bare(&name);
    fields(&wanted.check())?;
    let content = wanted.encode_to_vec();
    let request = RequestKey::of(&call.namespace, request_id, || fingerprint(&wanted));
    if let Some(request) = &request
        && let Some(made) = repeated::<T>(context, call, request).await?
    {
        return Ok(made);
    }
    // What it tells of begins with the answer.
    context.feed.ensure().await?;
    let put = Put {
        kind: T::KIND,
        expected: Expected::Absent { most: T::MOST },
        namespace: call.namespace.clone(),
        name: name.clone(),
        content,
        at: (context.clock)(),
        by: call.subject.clone(),
        request: request.clone(),
    };
    let telling = context.telling(call, T::WORD, &name, request_id);
    if let Some(kept) = telling.put(put).await.map_err(storage)? {
        return T::of(&kept).map_err(storage);
    }
    if let Some(request) = &request
        && let Some(made) = repeated::<T>(context, call, request).await?
    {
        return Ok(made);
    }
    let there = context
        .store
        .kept(T::KIND, &call.namespace, &name)
        .await
        .map_err(storage)?;
    Err(match there {
        Some(_) => exists(T::KIND, &name),
        None => too_many(T::WORD, T::MOST),
    })
}

/// Maps have no order, so the encoding is none to compare: canonical JSON is.
fn fingerprint<T: Object>(wanted: &T) -> String {
    let json = nexus_api::json::to_json(wanted, T::MESSAGE, false).map(|json| sorted(&json).to_string());
    let text = format!("{} {}", T::WORD, json.unwrap_or_default());
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sorted(json: &Value) -> Value {
    match json {
        Value::Object(map) => {
            let entries: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// What an earlier call with the same id has created.
async fn repeated<T: Object>(context: &Context, call: &Call, request: &RequestKey) -> Result<Option<T>, Status> {
    let Some((name, print)) = context.store.requested(&request.key).await.map_err(storage)? else {
        return Ok(None);
    };
    if print != request.fingerprint {
        return Err(idempotency::reused(&format!("to create another {}", T::WORD)).into());
    }
    // It may have been changed or deleted since: then it is created anew under another id.
    let kept = context
        .store
        .kept(T::KIND, &call.namespace, &name)
        .await
        .map_err(storage)?;
    let Some(kept) = kept else {
        return Err(idempotency::reused(&format!("for a {} that was deleted since", T::WORD)).into());
    };
    T::of(&kept).map(Some).map_err(storage)
}

//! Creates a secret, or gives one a new version.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{SetSecretRequest, SetSecretResponse};
use nexus_api::error::ApiError;
use nexus_service::idempotency;
use secrecy::{ExposeSecret, SecretString};
use tonic::Status;

use super::{Call, Context, described, own_name};
use crate::error::storage;
use crate::secrets::errors::{key, not_found, seal, version_not_found};
use crate::store::secrets::{About, Sealed, SecretWrite};

/// Bytes of a value at most.
pub(in crate::secrets) const MAX_VALUE: usize = 64 << 10;
/// Bytes of a description at most.
const MAX_DESCRIPTION: usize = 1_024;
/// Versions of a secret that are kept: enough to take a mistake back.
const KEPT: u32 = 5;
/// Tries against others who set the same secret at the same time.
const TRIES: u32 = 5;

/// What the newest version is to hold.
enum Content {
    Value(SecretString),
    Of(u32),
}

pub(crate) async fn set(
    context: &Context,
    call: &Call,
    request: SetSecretRequest,
) -> Result<SetSecretResponse, Status> {
    let name = own_name("secret", &request.secret)?;
    idempotency::check(&request.request_id)?;
    if let Some(description) = &request.description
        && description.len() > MAX_DESCRIPTION
    {
        return Err(ApiError::field("description", format!("has more than {MAX_DESCRIPTION} bytes")).into());
    }
    let content = content(request.value, request.restore_version)?;
    let id = (!request.request_id.is_empty()).then(|| call.namespace.key(&request.request_id));
    for _ in 0..TRIES {
        let done = is_done(context, call, &name, id.as_deref(), &content).await?;
        if done
            || attempt(
                context,
                call,
                &name,
                id.clone(),
                &content,
                request.description.as_deref(),
            )
            .await?
        {
            let row = context.store.secret(&call.namespace, &name).await.map_err(storage)?;
            let row = row.ok_or_else(|| not_found(&name))?;
            return Ok(SetSecretResponse {
                secret: Some(described(&call.namespace, row)),
            });
        }
    }
    let message = format!("the secret {name} is being set by others at the same time; repeat the call");
    Err(ApiError::new(ErrorReason::EtagMismatch, message).into())
}

fn content(value: String, restore_version: u32) -> Result<Content, ApiError> {
    let value = SecretString::from(value);
    let text = value.expose_secret();
    let problem = match (text.len(), restore_version) {
        (0, 0) => "must not be empty".to_owned(),
        (0, version) => return Ok(Content::Of(version)),
        (_, 1..) => "must be empty where restore_version is given".to_owned(),
        // A size alone tells nothing that a caller does not know.
        (size, 0) if size > MAX_VALUE => format!("has {size} bytes, at most {MAX_VALUE} are taken"),
        (_, 0) if text.contains('\0') => "must not hold NUL characters, which no process takes".to_owned(),
        (_, 0) => return Ok(Content::Value(value)),
    };
    Err(ApiError::field("value", problem))
}

/// Whether a call with the same id was done already.
async fn is_done(
    context: &Context,
    call: &Call,
    name: &str,
    id: Option<&str>,
    content: &Content,
) -> Result<bool, Status> {
    let Some(id) = id else { return Ok(false) };
    let made = context.store.requested(&call.namespace, id).await.map_err(storage)?;
    let Some(made) = made else { return Ok(false) };
    // The value itself is compared: a digest of it that is stored would let it be guessed.
    let same = match content {
        Content::Value(value) => {
            let known = context.sealer.open(&made).await.map_err(|error| seal(&error))?;
            known.expose_secret() == value.expose_secret()
        }
        Content::Of(_) => true,
    };
    match same && made.about.name == name {
        true => Ok(true),
        false => Err(idempotency::reused("to set another secret or value").into()),
    }
}

/// One try; false when somebody else was faster.
async fn attempt(
    context: &Context,
    call: &Call,
    name: &str,
    request: Option<String>,
    content: &Content,
    description: Option<&str>,
) -> Result<bool, Status> {
    let (store, namespace) = (&context.store, &call.namespace);
    // Whoever has no key to encrypt with hears that, whatever else there is.
    context.keys.newest().await.map_err(|error| key(&error))?;
    let head = store.head(namespace, name).await.map_err(storage)?;
    let known = store.secret(namespace, name).await.map_err(storage)?;
    let restored;
    let value = match content {
        Content::Value(value) => value,
        Content::Of(version) => {
            restored = context
                .sealer
                .open(&kept(context, call, name, *version).await?)
                .await
                .map_err(|error| seal(&error))?;
            &restored
        }
    };
    let (now, who) = ((context.clock)(), call.caller.subject());
    let request_id = request.clone().unwrap_or_default();
    let lives = head.as_ref().filter(|head| !head.deleted);
    let expected = head.as_ref().map_or(0, |head| head.version);
    let about = About {
        namespace: namespace.clone(),
        name: name.to_owned(),
        version: expected.saturating_add(1),
        description: match (description, known) {
            (Some(description), _) => description.to_owned(),
            (None, Some(known)) => known.description,
            (None, None) => String::new(),
        },
        created_at: now,
        created_by: who.to_owned(),
        request,
        first_at: lives.map_or(now, |head| head.created_at),
        first_by: lives.map_or_else(|| who.to_owned(), |head| head.created_by.clone()),
    };
    let version = context.sealer.seal(about, value).await.map_err(|error| seal(&error))?;
    let write = SecretWrite {
        expected,
        version,
        keep: KEPT,
    };
    let telling = context.telling(call, "secret", name, &request_id);
    telling.put(write).await.map_err(storage)
}

async fn kept(context: &Context, call: &Call, name: &str, version: u32) -> Result<Sealed, Status> {
    let found = context.store.version(&call.namespace, name, version).await;
    found.map_err(storage)?.ok_or_else(|| version_not_found(name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_byte_to_64_kib_and_is_never_quoted() {
        for size in [1, MAX_VALUE] {
            assert!(matches!(content("v".repeat(size), 0), Ok(Content::Value(_))), "{size}");
        }
        for (value, version) in [
            (String::new(), 0),
            ("v".repeat(MAX_VALUE + 1), 0),
            ("v\0v".to_owned(), 0),
            ("v".to_owned(), 1),
        ] {
            let error = content(value, version).err().expect("refused").to_string();
            assert!(error.starts_with("value: ") && !error.contains("vv"), "{error}");
        }
        assert!(matches!(content(String::new(), 7), Ok(Content::Of(7))));
    }
}

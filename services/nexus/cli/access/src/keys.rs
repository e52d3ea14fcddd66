//! `nexus keys`: credentials of programs.

use nexus_api::access::v1::{ApiKey, CreateApiKeyRequest, GetApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest};
use nexus_cli_frame::{CliError, Exit, output, table, time};

use super::{Access, grants, show};
use crate::args::{CreateKey, Keys};

const KEY: &str = "nexus.access.v1.ApiKey";

pub(super) async fn run(command: Keys, access: &mut Access<'_>) -> Result<Exit, CliError> {
    match command {
        Keys::Create(args) => create(args, access).await?,
        Keys::List { user, all, page } => {
            let request = ListApiKeysRequest {
                page_size: page.limit,
                page_token: page.page_token,
                user,
                show_ended: all,
            };
            let answer = access.access.list_api_keys(request).await;
            let answer = access.answer(answer)?;
            list(&answer.api_keys, &answer.next_page_token, access)?;
        }
        Keys::Get { id } => {
            let answer = access.access.get_api_key(GetApiKeyRequest { key: id }).await;
            let key = access.answer(answer)?.api_key.unwrap_or_default();
            if access.output.is_table() {
                facts(&key, access)?;
            } else {
                access.output.message(&key, KEY)?;
            }
        }
        Keys::Revoke { id } => {
            let answer = access.access.revoke_api_key(RevokeApiKeyRequest { key: id }).await;
            let key = access.answer(answer)?.api_key.unwrap_or_default();
            if access.output.is_table() {
                access.output.line(&format!("{}: revoked", key.id))?;
            } else {
                access.output.message(&key, KEY)?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn create(args: CreateKey, access: &mut Access<'_>) -> Result<(), CliError> {
    let lifetime = args
        .expires
        .map(|span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
    let request = CreateApiKeyRequest {
        description: args.description,
        user: args.user,
        grants: grants::parse(&args.roles, access.target.namespace())?,
        queues: args.queues,
        lifetime: lifetime.map(nexus_api::time::duration),
    };
    let answer = access.access.create_api_key(request).await;
    let answer = access.answer(answer)?;
    if !access.output.is_table() {
        return access.output.message(&answer, "nexus.access.v1.CreateApiKeyResponse");
    }
    let key = answer.api_key.unwrap_or_default();
    // The secret alone goes to stdout, so that `KEY=$(nexus keys create …)` holds it.
    eprintln!("key {} of {} with {}", key.id, key.user, grants::cell(&key.grants));
    eprintln!("it is shown now and never again:");
    access.output.line(&answer.secret)
}

/// How a key stands.
fn state(key: &ApiKey, now: i64) -> &'static str {
    let ended = |time: &prost_types::Timestamp| nexus_api::time::micros(time) <= now;
    match (&key.revoke_time, &key.expire_time) {
        (Some(_), _) => "revoked",
        (None, Some(time)) if ended(time) => "ended",
        _ => "good",
    }
}

fn list(keys: &[ApiKey], token: &str, access: &Access<'_>) -> Result<(), CliError> {
    let output = access.output;
    if !output.is_table() {
        return output.value(&output::page("api_keys", keys, KEY, token)?);
    }
    let now = time::now_micros();
    let row = |key: &ApiKey| {
        vec![
            key.id.clone(),
            key.user.clone(),
            state(key, now).to_owned(),
            time::ago(key.create_time.as_ref(), now),
            time::ago(key.last_use_time.as_ref(), now),
            time::point(key.expire_time.as_ref()),
            table::cut(&grants::cell(&key.grants), 60),
            table::cut(&key.description, 60),
        ]
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    let heads = [
        "KEY",
        "USER",
        "STATE",
        "CREATED",
        "USED",
        "ENDS",
        "ROLES",
        "DESCRIPTION",
    ];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}

fn facts(key: &ApiKey, access: &Access<'_>) -> Result<(), CliError> {
    let facts = [
        ("key", key.id.clone()),
        ("user", key.user.clone()),
        ("state", state(key, time::now_micros()).to_owned()),
        ("description", key.description.clone()),
        ("roles", grants::cell(&key.grants)),
        ("queues", key.queues.join(",")),
        ("created", time::point(key.create_time.as_ref())),
        ("creator", key.creator.clone()),
        ("ends", time::point(key.expire_time.as_ref())),
        ("revoked", time::point(key.revoke_time.as_ref())),
        ("used", time::point(key.last_use_time.as_ref())),
    ];
    show::facts(&facts, access.output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_until_it_ends_or_is_revoked() {
        let at = |seconds: i64| Some(nexus_api::time::timestamp(seconds * 1_000_000));
        let mut key = ApiKey::default();
        assert_eq!(state(&key, 10_000_000), "good");
        key.expire_time = at(11);
        assert_eq!(state(&key, 10_000_000), "good");
        key.expire_time = at(10);
        assert_eq!(state(&key, 10_000_000), "ended");
        key.revoke_time = at(1);
        assert_eq!(state(&key, 10_000_000), "revoked");
    }
}

//! `nexus audit`: who did what to which object, from where.

mod export;
mod verify;

use nexus_api::audit::v1::{AuditEntry, ListAuditEntriesRequest, Outcome};
use nexus_api::time::timestamp;
use nexus_cli_frame::{CliError, Exit, output, table, time};

use super::Access;
use crate::args::{Audit, AuditCommand};

/// The message of an entry.
const ENTRY: &str = "nexus.audit.v1.AuditEntry";

pub(super) async fn run(args: Audit, access: &mut Access<'_>) -> Result<Exit, CliError> {
    match &args.command {
        None => list(args, access).await,
        Some(AuditCommand::Export { file }) => export::run(file, access).await,
        Some(AuditCommand::Verify { file: None, .. }) => verify::of_server(access).await,
        Some(AuditCommand::Verify {
            file: Some(file),
            offline,
        }) => verify::of_file(file, *offline, access).await,
    }
}

async fn list(args: Audit, access: &mut Access<'_>) -> Result<Exit, CliError> {
    let (object_type, object_name) = object(&args.object);
    let namespace = match args.one_namespace {
        true => access.target.namespace().to_string(),
        false => String::new(),
    };
    let request = ListAuditEntriesRequest {
        namespace,
        actor: args.actor,
        method: args.method,
        object_type,
        object_name,
        outcome: if args.denied {
            Outcome::Denied
        } else {
            Outcome::Unspecified
        }
        .into(),
        start_time: args.since.map(|since| timestamp(since.micros(time::now_micros()))),
        oldest_first: args.oldest_first,
        page_size: args.page.limit,
        page_token: args.page.page_token,
        ..ListAuditEntriesRequest::default()
    };
    let answer = access.audit.list_audit_entries(request).await;
    let answer = access.answer(answer)?;
    let output = access.output;
    if !output.is_table() {
        output.value(&output::page(
            "entries",
            &answer.entries,
            ENTRY,
            &answer.next_page_token,
        )?)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = answer.entries.iter().map(row).collect();
    let heads = ["TIME", "ACTOR", "FROM", "METHOD", "OBJECT", "NAMESPACE", "OUTCOME"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(&answer.next_page_token);
    Ok(Exit::Ok)
}

/// The kind and the name of an object: `user/anna`, or a name alone.
fn object(typed: &str) -> (String, String) {
    match typed.split_once('/') {
        Some((kind, name)) => (kind.to_owned(), name.to_owned()),
        None => (String::new(), typed.to_owned()),
    }
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let actor = entry.actor.as_ref().map(|actor| actor.id.as_str()).unwrap_or_default();
    let object = entry.object.clone().unwrap_or_default();
    let method = entry.method.rsplit('/').next().unwrap_or_default();
    let outcome = match (entry.outcome(), entry.count) {
        (Outcome::Denied, ..=1) => format!("denied: {}", entry.reason),
        (Outcome::Denied, count) => format!("denied: {} ({count} times)", entry.reason),
        _ => "allowed".to_owned(),
    };
    vec![
        time::point(entry.time.as_ref()),
        if actor.is_empty() { "unknown" } else { actor }.to_owned(),
        entry.address.clone(),
        method.to_owned(),
        match object.name.as_str() {
            "" => object.r#type,
            name => format!("{}/{name}", object.r#type),
        },
        entry.namespace.clone(),
        outcome,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_typed_with_their_kind_or_without() {
        assert_eq!(object("etl"), (String::new(), "etl".to_owned()));
        assert_eq!(object("user/anna"), ("user".to_owned(), "anna".to_owned()));
        assert_eq!(object(""), (String::new(), String::new()));
    }
}

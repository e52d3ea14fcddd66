//! Lists entries.

use nexus_api::audit::v1::{ListAuditEntriesRequest, ListAuditEntriesResponse, Outcome as Told};
use nexus_api::error::ApiError;
use nexus_api::method::{METHODS, Permission};
use nexus_api::time::micros;
use nexus_audit::{Outcome, message};
use nexus_auth::Caller;
use nexus_auth::authorize::missing;
use nexus_auth::caller::EVERYWHERE;
use nexus_service::page;
use tonic::Status;

use crate::Context;
use crate::caller::USER;
use crate::error::storage;
use crate::store::audit::AuditFilter;

/// Bytes of a filter's text at most: as long as those of entries.
const MAX_TEXT: usize = nexus_audit::entry::MAX_TEXT;

pub(super) async fn list(
    context: &Context,
    caller: &Caller,
    request: ListAuditEntriesRequest,
) -> Result<ListAuditEntriesResponse, Status> {
    allowed(caller, &request.namespace)?;
    let size = page::size(request.page_size)?;
    let mut filter = filter(&request)?;
    let query = format!("audit|{filter:?}");
    if let Some(position) = page::key_as::<i64>(&query, &request.page_token)? {
        let end = match filter.oldest_first {
            true => &mut filter.after,
            false => &mut filter.before,
        };
        *end = Some(position);
    }
    let found = context.store.audit_entries(&filter, size + 1).await;
    let mut found = found.map_err(storage)?;
    let more = found.len() > size as usize;
    found.truncate(size as usize);
    let last = found.last().filter(|_| more);
    Ok(ListAuditEntriesResponse {
        next_page_token: last.map_or_else(String::new, |last| page::token(&query, &last.position.to_string())),
        entries: found.iter().map(message::of_chained).collect(),
    })
}

/// What is of one namespace is for who may see it there, everything else for who may see it everywhere.
fn allowed(caller: &Caller, namespace: &str) -> Result<(), ApiError> {
    let place = match namespace {
        "" => EVERYWHERE,
        // It is no namespace, and stands for all of them in what somebody may do.
        EVERYWHERE => {
            return Err(ApiError::field(
                "namespace",
                "must be a namespace; leave it empty for all",
            ));
        }
        one => one,
    };
    match caller.may(Permission::AuditRead, place) {
        true => Ok(()),
        false => Err(missing(caller, Permission::AuditRead, place)),
    }
}

fn filter(request: &ListAuditEntriesRequest) -> Result<AuditFilter, ApiError> {
    let texts = [
        ("namespace", &request.namespace),
        ("actor", &request.actor),
        ("method", &request.method),
        ("object_type", &request.object_type),
        ("object_name", &request.object_name),
    ];
    for (field, text) in texts {
        if text.len() > MAX_TEXT || text.contains('\0') {
            let problem = format!("must have at most {MAX_TEXT} bytes and no NUL characters");
            return Err(ApiError::field(field, problem));
        }
    }
    let outcome = match Told::try_from(request.outcome) {
        Ok(Told::Unspecified) => None,
        Ok(Told::Allowed) => Some(Outcome::Allowed),
        Ok(Told::Denied) => Some(Outcome::Denied),
        Err(_) => return Err(ApiError::field("outcome", "is no outcome of this version")),
    };
    if request.after_position < 0 {
        return Err(ApiError::field("after_position", "must not be negative"));
    }
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    Ok(AuditFilter {
        namespace: said(&request.namespace),
        actor: said(&request.actor).map(actor),
        methods: match request.method.as_str() {
            "" => None,
            named => Some(methods(named)?),
        },
        object_kind: said(&request.object_type),
        object_name: said(&request.object_name),
        outcome,
        from: request.start_time.as_ref().map(micros),
        to: request.end_time.as_ref().map(micros),
        after: (request.after_position > 0).then_some(request.after_position),
        before: None,
        oldest_first: request.oldest_first,
    })
}

/// An actor as entries have it: a name alone is a user's.
fn actor(named: String) -> String {
    match named.contains(':') || named == "local" {
        true => named,
        false => format!("{USER}{named}"),
    }
}

/// The paths of the methods of a name, or the path itself: that of a method that is no more, too.
fn methods(named: &str) -> Result<Vec<String>, ApiError> {
    if named.starts_with('/') {
        return Ok(vec![named.to_owned()]);
    }
    let fits = METHODS.iter().filter(|method| method.name == named);
    let paths: Vec<String> = fits.map(|method| method.path.to_owned()).collect();
    if paths.is_empty() {
        let problem = format!("there is no method {named:?}; docs/methods.md has all of them");
        return Err(ApiError::field("method", problem));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_users_and_methods_for_their_paths() {
        assert_eq!(actor("anna".to_owned()), "user:anna");
        assert_eq!(actor("oidc:ci".to_owned()), "oidc:ci");
        assert_eq!(
            methods("ApplyWorkflow").expect("a method"),
            ["/nexus.definitions.v1.DefinitionsService/ApplyWorkflow"]
        );
        assert!(methods("Aply").is_err());
        assert_eq!(methods("/gone.v1.Service/Do").expect("a path"), ["/gone.v1.Service/Do"]);
    }
}

//! Computes a part of the chain anew.

use nexus_api::audit::v1::{VerifyAuditChainRequest, VerifyAuditChainResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_audit::chain::{self, Broken, Chained, Link};
use nexus_audit::message::of_link;
use nexus_auth::Caller;
use nexus_auth::authorize::missing;
use nexus_auth::caller::EVERYWHERE;
use tonic::Status;

use crate::Context;
use crate::error::storage;
use crate::store::audit::{AuditFilter, Ends};

/// Entries of a call at most, and how many are read at once.
const MOST: i32 = 10_000;
const PAGE: u32 = 1_000;

pub(super) async fn verify(
    context: &Context,
    caller: &Caller,
    request: &VerifyAuditChainRequest,
) -> Result<VerifyAuditChainResponse, Status> {
    if !caller.may_everywhere(Permission::AuditRead) {
        return Err(missing(caller, Permission::AuditRead, EVERYWHERE).into());
    }
    let limit = match request.limit {
        0 => MOST,
        1..=MOST => request.limit,
        _ => return Err(ApiError::field("limit", format!("must be at most {MOST} and not negative")).into()),
    };
    if request.from_position < 0 {
        return Err(ApiError::field("from_position", "must not be negative").into());
    }
    // Before the entries: more may come meanwhile.
    let ends = context.store.audit_ends().await.map_err(storage)?;
    let first = request.from_position.max(ends.anchor.position + 1);
    let begin = match before(context, ends, first).await? {
        Ok(begin) => begin,
        Err(broken) => return Ok(found(ends, 0, Link::default(), Some(broken), limit)),
    };
    let (link, checked, broken) = walk(context, ends.head, begin, limit.unsigned_abs()).await?;
    // What was appended meanwhile is no stranger's.
    let now = context.store.audit_ends().await.map_err(storage)?;
    let broken = broken.or_else(|| at_the_end(ends, now, link, checked < limit.unsigned_abs()));
    Ok(found(now, checked, link, broken, limit))
}

/// What stands before a position.
async fn before(context: &Context, ends: Ends, first: i64) -> Result<Result<Link, Broken>, Status> {
    if first == ends.anchor.position + 1 {
        return Ok(Ok(ends.anchor));
    }
    if first > ends.head.position + 1 {
        let problem = format!("is beyond the end of the chain, {}", ends.head.position);
        return Err(ApiError::field("from_position", problem).into());
    }
    let found = page(context, first - 2, 1).await?;
    let previous = found.first().filter(|found| found.position == first - 1);
    Ok(previous.map(Chained::link).ok_or(Broken {
        position: first - 1,
        problem: "there is no entry at this position",
    }))
}

/// Follows the chain from a place: how far it fits, and what does not.
async fn walk(context: &Context, head: Link, begin: Link, limit: u32) -> Result<(Link, u32, Option<Broken>), Status> {
    let (mut link, mut checked) = (begin, 0);
    let other = || Broken {
        position: head.position,
        problem: "it is another one than the chain's end says",
    };
    if link.position == head.position && link.hash != head.hash {
        return Ok((link, checked, Some(other())));
    }
    while checked < limit {
        let entries = page(context, link.position, PAGE.min(limit - checked)).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            match chain::follow(&link, entry) {
                Ok(next) => link = next,
                Err(broken) => return Ok((link, checked, Some(broken))),
            }
            checked += 1;
            if link.position == head.position && link.hash != head.hash {
                return Ok((link, checked, Some(other())));
            }
        }
    }
    Ok((link, checked, None))
}

async fn page(context: &Context, after: i64, limit: u32) -> Result<Vec<Chained>, Status> {
    let filter = AuditFilter {
        after: Some(after),
        oldest_first: true,
        ..AuditFilter::default()
    };
    context.store.audit_entries(&filter, limit).await.map_err(storage)
}

/// Whether the chain ends where and as it should: the end is noted apart from the entries, so that a tail that was cut off is
/// missed.
fn at_the_end(ends: Ends, now: Ends, link: Link, is_last: bool) -> Option<Broken> {
    if is_last && link.position < ends.head.position {
        return Some(Broken {
            position: link.position + 1,
            problem: "the entries from here to the end are gone",
        });
    }
    (link.position > now.head.position).then_some(Broken {
        position: now.head.position + 1,
        problem: "there are entries beyond the chain's end",
    })
}

fn found(ends: Ends, checked: u32, link: Link, broken: Option<Broken>, limit: i32) -> VerifyAuditChainResponse {
    let more = broken.is_none() && checked == limit.unsigned_abs() && link.position < ends.head.position;
    VerifyAuditChainResponse {
        checked: i32::try_from(checked).unwrap_or(i32::MAX),
        verified: Some(of_link(&link)),
        head: Some(of_link(&ends.head)),
        anchor: Some(of_link(&ends.anchor)),
        wrong_position: broken.as_ref().map_or(0, |broken| broken.position),
        problem: broken.map(|broken| broken.problem.to_owned()).unwrap_or_default(),
        next_position: if more { link.position + 1 } else { 0 },
    }
}

//! What workers can ask: one file a verb.

pub(crate) mod heartbeat;
pub(crate) mod lease;
pub(crate) mod logs;
pub(crate) mod poll;
pub(crate) mod register;
pub(crate) mod report;
pub(crate) mod secrets;
pub(crate) mod stream;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_execution_owner::SessionRef;
use tonic::Status;

use crate::Context;
use crate::replication::{Peer, Place};
use nexus_execution_sessions::speaker::Speaker;

/// Output of one task in bytes at most.
pub(crate) const MAX_OUTPUT: usize = 1 << 20;
/// Items of one request at most.
const MAX_ITEMS: usize = 1_000;

/// A session of whoever speaks, or the error that makes it register again.
fn session(context: &Context, speaker: &Speaker, id: &str) -> Result<SessionRef, Status> {
    context.sessions.touch(speaker, &id.into()).ok_or_else(unknown)
}

/// What a worker hears whose session is not open.
fn unknown() -> Status {
    let message = "this session is not open (any more); register the worker again";
    ApiError::new(ErrorReason::WorkerUnknown, message).into()
}

/// Sorts items by where their shards are decided: here or at other replicas. What no owner is known of, and what names no
/// shard, is taken for ours: then it is refused for what it is.
fn split<T>(context: &Context, items: Vec<T>, shard: impl Fn(&T) -> Option<u16>) -> (Vec<T>, Vec<(Peer, Vec<T>)>) {
    let mut mine = Vec::with_capacity(items.len());
    let mut theirs: Vec<(Peer, Vec<T>)> = Vec::new();
    for item in items {
        match shard(&item).and_then(|shard| context.router.place(shard)) {
            Some(Place::Remote(peer)) => match theirs.iter_mut().find(|(known, _)| known.owner == peer.owner) {
                Some((_, group)) => group.push(item),
                None => theirs.push((peer, vec![item])),
            },
            _ => mine.push(item),
        }
    }
    (mine, theirs)
}

/// A session in the words between replicas.
fn shared(session: &SessionRef) -> nexus_api::shard::v1::SessionRef {
    nexus_api::shard::v1::SessionRef {
        session: session.session.to_string(),
        worker: session.worker.to_string(),
        queues: session.queues.to_vec(),
        generation: session.generation,
    }
}

fn at_most(field: &str, items: usize) -> Result<(), Status> {
    if items > MAX_ITEMS {
        return Err(ApiError::field(field, format!("has {items} items, at most {MAX_ITEMS} are taken")).into());
    }
    Ok(())
}

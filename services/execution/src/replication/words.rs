//! Pointers and leases in the words that replicas use between them.

use nexus_api::shard::v1::{LeaseSubject, lease_subject};
use nexus_engine::TaskKey;
use nexus_execution_owner::{Subject, TokenSubject};
use nexus_execution_store::ExecutionId;

/// A pointer in the words between replicas.
pub(crate) fn pointer(pointer: &nexus_streams::Pointer) -> nexus_api::shard::v1::Pointer {
    nexus_api::shard::v1::Pointer {
        execution: pointer.execution.to_vec(),
        task: pointer.task,
        attempt: pointer.attempt,
    }
}

/// A pointer from the words between replicas; none of what names no execution.
pub(crate) fn pointer_from(pointer: &nexus_api::shard::v1::Pointer) -> Option<nexus_streams::Pointer> {
    Some(nexus_streams::Pointer {
        execution: pointer.execution.as_slice().try_into().ok()?,
        task: pointer.task,
        attempt: pointer.attempt,
    })
}

/// What a lease is about in the words between replicas.
pub(crate) fn subject(subject: Subject) -> LeaseSubject {
    let (state, attempt) = match subject {
        Subject::Current(attempt) => (lease_subject::State::Current, Some(attempt)),
        Subject::Over => (lease_subject::State::Over, None),
        Subject::NotOwner => (lease_subject::State::NotOwner, None),
    };
    let attempt = attempt.map(|attempt| nexus_api::shard::v1::Pointer {
        execution: attempt.execution.bytes().to_vec(),
        task: attempt.task.number(),
        attempt: attempt.attempt,
    });
    LeaseSubject {
        state: state.into(),
        attempt,
    }
}

/// What a lease is about from the words between replicas.
pub(crate) fn subject_from(subject: &LeaseSubject) -> Subject {
    let attempt = subject.attempt.as_ref().and_then(pointer_from);
    match (subject.state(), attempt) {
        (lease_subject::State::Current, Some(pointer)) => Subject::Current(TokenSubject {
            execution: ExecutionId::from_bytes(pointer.execution),
            task: TaskKey::numbered(pointer.task),
            attempt: pointer.attempt,
        }),
        (lease_subject::State::NotOwner, _) => Subject::NotOwner,
        _ => Subject::Over,
    }
}

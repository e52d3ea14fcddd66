//! What the tests of the adapters store: an execution of one task, at its beginning and at its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::{Event, ExecutionState, Fact, TaskState};

use super::{Change, ExecutionRow, Fence, Store, TaskRow};
use crate::ids::{ExecutionId, Ids};

pub fn execution(id: ExecutionId) -> ExecutionRow {
    ExecutionRow {
        id,
        namespace: Namespace::default(),
        workflow: "w".into(),
        revision: 3,
        state: ExecutionState::Pending,
        closing: None,
        closing_reason: String::new(),
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        traceparent: "00-1-2-01".into(),
        sequence: 2,
        created_at: 1_000,
        started_at: None,
        finished_at: None,
        failure: None,
        params: Arc::from(r#"{"big":12345678901234567890}"#),
        output: None,
    }
}

pub fn task(position: u32, state: TaskState) -> TaskRow {
    TaskRow {
        position,
        state,
        leases: 1,
        returned: 0,
        infra_losses: 0,
        scheduled_at: Some(1_000),
        ready_at: Some(1_000),
        started_at: None,
        attempt_started_at: None,
        finished_at: None,
        next_at: None,
        worker: None,
        lease: None,
        failure: None,
        output: None,
    }
}

pub fn event(sequence: u64, fact: Fact) -> Event {
    Event {
        sequence,
        at: 1_000,
        fact,
    }
}

/// A new execution with one ready task.
pub fn fresh(id: ExecutionId) -> Change {
    Change {
        before: 0,
        execution: execution(id),
        tasks: vec![task(0, TaskState::Scheduled)],
        events: vec![
            event(1, Fact::ExecutionCreated),
            event(
                2,
                Fact::TaskScheduled {
                    task: nexus_engine::TaskKey::of(0),
                    attempt: 1,
                },
            ),
        ],
        request: None,
        notes: Vec::new(),
    }
}

/// The same execution once its task has succeeded.
pub fn finished(id: ExecutionId) -> Change {
    let done = TaskRow {
        attempt_started_at: Some(2_000_000),
        started_at: Some(2_000_000),
        finished_at: Some(3_500_000),
        output: Some(Arc::from("[1]")),
        worker: Some(Arc::from("worker \"one\"")),
        ..task(0, TaskState::Succeeded)
    };
    let end = Fact::TaskFinished {
        task: nexus_engine::TaskKey::of(0),
        attempt: 1,
        state: TaskState::Succeeded,
        output: None,
        failure: None,
    };
    Change {
        before: 2,
        execution: ExecutionRow {
            state: ExecutionState::Succeeded,
            sequence: 3,
            started_at: Some(2_000_000),
            finished_at: Some(3_500_000),
            output: Some(Arc::from("{\"x\":1}")),
            params: Arc::default(),
            ..execution(id)
        },
        tasks: vec![done],
        events: vec![event(3, end)],
        request: None,
        notes: Vec::new(),
    }
}

pub async fn claimed(store: &dyn Store) -> Fence {
    store.claim(Ids::system().random()).await.expect("claim")
}

pub fn id() -> ExecutionId {
    Ids::system().execution(None)
}

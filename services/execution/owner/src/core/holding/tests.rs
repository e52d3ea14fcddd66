//! Shards that come and go, and what was put aside.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_execution_store::{Ids, LeaseKey};
use tokio::sync::oneshot;

use crate::base::Now;
use crate::core::Core;
use crate::messages::{Acceptance, Message, OwnerError, SessionRef, Verdict};

#[test]
fn what_was_looked_up_in_another_stay_starts_nothing() {
    let fence = nexus_execution_store::Fence {
        owner: uuid::Uuid::nil(),
        epoch: 1,
    };
    let now = crate::base::Now { wall: 0, steady: 0 };
    let ids = nexus_execution_store::Ids::system();
    let mut core = Core::shared(fence, ids.clone(), crate::Limits::default(), now);
    let id = ids.execution(None);
    let begin = |core: &mut Core, stay| {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let plan = crate::live::tests::live().execution.plan().clone();
        let new = crate::NewExecution {
            kept: Vec::new(),
            id,
            namespace: nexus_api::Namespace::default(),
            plan,
            params: std::sync::Arc::default(),
            params_text: "{}".into(),
            labels: std::collections::BTreeMap::new(),
            traceparent: String::new(),
            request: None,
            note: None,
            stay,
        };
        let new = Box::new(new);
        core.handle(crate::Message::Start { new, reply }, now);
        matches!(answer.try_recv(), Ok(Err(crate::OwnerError::NotOwner(_))))
    };
    assert!(begin(&mut core, 0), "it owns nothing");
    core.adopt(id.shard());
    assert!(begin(&mut core, 1), "it is still loading");
    core.serve(id.shard());
    let seen = core.stay(id.shard());
    core.disown(&[id.shard()].into());
    core.adopt(id.shard());
    core.serve(id.shard());
    assert!(begin(&mut core, seen), "somebody else had it meanwhile");
    let stay = core.stay(id.shard());
    assert!(!begin(&mut core, stay));
    assert_eq!(core.live(), 1);
}

#[test]
fn nobody_is_told_the_end_of_what_was_put_aside() {
    let now = Now { wall: 0, steady: 0 };
    let ids = Ids::system();
    let fence = nexus_execution_store::Fence {
        owner: uuid::Uuid::nil(),
        epoch: 1,
    };
    let mut core = Core::shared(fence, ids.clone(), crate::Limits::default(), now);
    let id = ids.execution(None);
    core.adopt(id.shard());
    core.serve(id.shard());
    let token = ids.token(id.shard(), 0);
    let lease = LeaseKey {
        token: token.clone(),
        session: "s".into(),
    };
    core.put_aside(id, vec![lease], "definitions cannot be reached");

    let (reply, mut cancelled) = oneshot::channel();
    let reason = String::new();
    let note = None;
    core.handle(
        Message::Cancel {
            id,
            reason,
            note,
            reply,
        },
        now,
    );
    let cancelled = cancelled
        .try_recv()
        .expect("an answer")
        .expect_err("it cannot be cancelled now");
    assert!(matches!(cancelled, OwnerError::Definitions(_)), "{cancelled:?}");

    let (reply, mut verdicts) = oneshot::channel();
    let heartbeat = Message::Heartbeat {
        session: "s".into(),
        generation: 0,
        tokens: vec![token.clone()],
        reply,
    };
    core.handle(heartbeat, now);
    assert_eq!(
        verdicts.try_recv().expect("an answer"),
        [Verdict::Unknown],
        "its worker goes on"
    );

    let (reply, mut reported) = oneshot::channel();
    let report = Message::Report {
        reports: vec![(token, nexus_engine::Outcome::Cancelled)],
        session: SessionRef {
            session: "s".into(),
            worker: "w".into(),
            queues: Arc::from([]),
            generation: 0,
        },
        free_slots: 0,
        reply,
    };
    core.handle(report, now);
    let reported = reported.try_recv().expect("an answer");
    assert_eq!(
        reported.accepted,
        [Acceptance::NotOwner],
        "its result is asked for again"
    );

    core.disown(&BTreeSet::from([id.shard()]));
    assert!(core.aside.is_empty());
}

//! Taking over what a former owner left behind.

use nexus_execution_store::LeaseToken;
use std::collections::BTreeMap;

use nexus_execution_store::{Change, Fence, Ids};
use nexus_streams::Pointer;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::messages::{Message, NewExecution, SessionRef};

const NOW: Now = Now { wall: 0, steady: 0 };

fn owner(number: u128, ids: &Ids, shard: u16) -> Core {
    let fence = Fence {
        owner: Uuid::from_u128(number),
        epoch: 1,
    };
    let mut core = Core::shared(fence, ids.clone(), crate::Limits::default(), NOW);
    core.adopt(shard);
    core
}

/// What an owner stored that gave a task to a worker and died.
fn left_behind(ids: &Ids, session: &str) -> (ExecutionId, Arc<Plan>, Change) {
    let id = ids.execution(None);
    let plan = crate::live::tests::live().execution.plan().clone();
    let mut core = owner(1, ids, id.shard());
    core.serve(id.shard());
    let new = NewExecution {
        kept: Vec::new(),
        id,
        namespace: nexus_api::Namespace::default(),
        plan: Arc::clone(&plan),
        params: Arc::default(),
        params_text: "{}".into(),
        labels: BTreeMap::new(),
        traceparent: String::new(),
        request: None,
        note: None,
        stay: core.stay(id.shard()),
    };
    let (reply, _started) = oneshot::channel();
    let new = Box::new(new);
    core.handle(Message::Start { new, reply }, NOW);
    core.begin_commit(NOW).expect("the start");
    core.committed(NOW);
    let pointers = vec![Pointer {
        execution: id.bytes(),
        task: 0,
        attempt: 1,
    }];
    let session = SessionRef {
        session: session.into(),
        worker: "w".into(),
        queues: Arc::from(["default".to_owned()]),
        generation: 0,
    };
    let (reply, _granted) = oneshot::channel();
    let grant = Message::Grant {
        pointers,
        session,
        reply,
    };
    core.handle(grant, NOW);
    let (_, mut changes) = core.begin_commit(NOW).expect("the lease");
    (id, plan, changes.pop().expect("a change"))
}

/// Takes over what was left; how many leases go on.
fn taken_over(core: &mut Core, plan: &Arc<Plan>, left: Change) -> u32 {
    let mut recovered = Recovered::default();
    let row = ExecutionRow {
        params: "{}".into(),
        ..left.execution
    };
    let revived = core.revive(row, left.tasks, Arc::clone(plan), &mut recovered, NOW);
    revived.expect("it fits together");
    recovered.taken_over
}

#[test]
fn a_lease_of_a_closed_session_goes_on_under_a_new_owner_only_if_its_worker_is_heard_of_soon() {
    let closed = |generation| Message::SessionClosed {
        session: "s".into(),
        generation,
        reason: "the worker's stream broke".into(),
    };
    let lives = |generation| Message::SessionLives {
        session: "s".into(),
        generation,
        received: None,
    };
    let ids = Ids::system();
    let cases = [
        (vec![], true),
        (vec![closed(0)], false),
        (vec![closed(0), lives(0)], true),
        (vec![lives(4), closed(0)], true),
        (vec![lives(4), closed(4)], false),
    ];
    for (heard, full) in cases {
        let (id, plan, left) = left_behind(&ids, "s");
        let mut core = owner(2, &ids, id.shard());
        heard.into_iter().for_each(|message| core.handle(message, NOW));
        assert_eq!(taken_over(&mut core, &plan, left), 1);
        let mut lasts = 0;
        for second in 1..=23 {
            let now = second * 1_000_000;
            core.tick(Now { wall: now, steady: now });
            let task = &core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)];
            lasts += u32::from(task.state == TaskState::Running);
        }
        let expected = if full { 19..=22 } else { 4..=7 };
        assert!(expected.contains(&lasts), "{full}: {lasts} s");
        let losses = core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)].infra_losses;
        assert_eq!(losses, 1, "the loss is counted");
    }
}

#[test]
fn a_lease_that_was_lost_on_the_way_is_given_out_again_unbegun_by_a_new_owner_too() {
    let ids = Ids::system();
    // The session came back before the new owner had the shard, naming this lease or not.
    for (generation, named, is_taken_over) in [(7, false, 0), (7, true, 1), (0, false, 1)] {
        let (id, plan, left) = left_behind(&ids, "s");
        let token = left.tasks[0].lease.clone().expect("a lease").token;
        let mut core = owner(2, &ids, id.shard());
        let received = named.then(|| token.clone()).into_iter().collect();
        let lives = Message::SessionLives {
            session: "s".into(),
            generation,
            received: Some(Arc::new(received)),
        };
        core.handle(lives, NOW);
        assert_eq!(
            taken_over(&mut core, &plan, left),
            is_taken_over,
            "{generation} {named}"
        );
        let task = &core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)];
        let expected = if is_taken_over == 1 {
            TaskState::Running
        } else {
            TaskState::Scheduled
        };
        assert_eq!((task.state, task.infra_losses), (expected, 0));
    }
}

#[test]
fn a_heartbeat_keeps_a_lease_of_a_session_that_was_thought_closed() {
    let ids = Ids::system();
    let (id, plan, left) = left_behind(&ids, "s");
    let token = left.tasks[0].lease.clone().expect("a lease").token;
    let mut core = owner(2, &ids, id.shard());
    let closed = Message::SessionClosed {
        session: "s".into(),
        generation: 0,
        reason: "the worker's stream broke".into(),
    };
    core.handle(closed, NOW);
    taken_over(&mut core, &plan, left);
    core.serve(id.shard());
    let at = |second: i64| Now {
        wall: second * 1_000_000,
        steady: second * 1_000_000,
    };
    let (reply, _verdicts) = oneshot::channel();
    let heartbeat = Message::Heartbeat {
        session: "s".into(),
        generation: 9,
        tokens: vec![token.clone()],
        reply,
    };
    core.handle(heartbeat, at(3));
    (4..=20).for_each(|second| core.tick(at(second)));
    assert_eq!(
        core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)].state,
        TaskState::Running
    );
    let (reply, mut verdicts) = oneshot::channel();
    let late = Message::Heartbeat {
        session: "s".into(),
        generation: 8,
        tokens: vec![token],
        reply,
    };
    core.handle(late, at(21));
    let verdict = verdicts.try_recv().expect("an answer");
    assert_eq!(verdict, [crate::Verdict::Unknown], "it was under way for long");
    (22..=27).for_each(|second| core.tick(at(second)));
    let state = core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)].state;
    assert_ne!(state, TaskState::Running, "an old heartbeat extends nothing");
}

#[test]
fn a_worker_s_silence_is_counted_on_by_the_next_owner() {
    const SECOND: i64 = 1_000_000;
    let at = |steady| Now { wall: steady, steady };
    let running = |core: &Core, id| {
        core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)].state == TaskState::Running
    };
    let heartbeat = |core: &mut Core, token: &LeaseToken, now| {
        let (reply, _verdicts) = oneshot::channel();
        let message = Message::Heartbeat {
            session: "s".into(),
            generation: 0,
            tokens: vec![token.clone()],
            reply,
        };
        core.handle(message, now);
    };
    let ids = Ids::system();
    for (age, lasts) in [(None, 20), (Some(8 * SECOND), 12), (Some(90 * SECOND), 5)] {
        let (id, plan, left) = left_behind(&ids, "s");
        let token = left.tasks[0].lease.clone().expect("a lease").token;
        let mut core = owner(2, &ids, id.shard());
        let noted = age.map(|age| nexus_execution_store::Silence {
            token: token.clone(),
            age,
        });
        core.know_silences(noted.into_iter().collect(), NOW);
        assert_eq!(taken_over(&mut core, &plan, left), 1);
        let mut told = Vec::new();
        for second in 1..=lasts + 3 {
            assert!(running(&core, id) || second > lasts, "{age:?}: over after {second} s");
            core.tick(at(second * SECOND));
            for output in core.take_outputs() {
                if let crate::outputs::Output::Silent(silences) = output {
                    told.extend(silences);
                }
            }
        }
        assert!(!running(&core, id), "{age:?}: it goes on");
        assert_eq!(
            told.len(),
            usize::from(age.is_none()),
            "what is noted is not noted again"
        );
    }
    let (id, plan, left) = left_behind(&ids, "s");
    let token = left.tasks[0].lease.clone().expect("a lease").token;
    let mut core = owner(2, &ids, id.shard());
    let noted = nexus_execution_store::Silence {
        token: token.clone(),
        age: 90 * SECOND,
    };
    core.know_silences(vec![noted], NOW);
    taken_over(&mut core, &plan, left);
    core.serve(id.shard());
    heartbeat(&mut core, &token, at(SECOND));
    core.tick(at(10 * SECOND));
    let outputs = core.take_outputs();
    let heard = outputs
        .iter()
        .any(|output| matches!(output, crate::outputs::Output::Heard(tokens) if *tokens == [token.clone()]));
    assert!(heard && running(&core, id), "{outputs:?}");
}

#[test]
fn an_owner_that_was_frozen_at_any_step_of_its_round_blames_no_worker() {
    type Step = (&'static str, fn(&mut Core, Now));
    const SECOND: i64 = 1_000_000;
    let at = |steady| Now { wall: steady, steady };
    let steps: [Step; 4] = [
        ("tick", Core::tick),
        ("begin_commit", |core, now| drop(core.begin_commit(now))),
        ("committed", Core::committed),
        ("next_wake", |core, now| assert!(core.next_wake(now) > 0)),
    ];
    let ids = Ids::system();
    for frozen in 0..steps.len() {
        let (id, plan, left) = left_behind(&ids, "s");
        let mut core = owner(2, &ids, id.shard());
        assert_eq!(taken_over(&mut core, &plan, left), 1);
        core.serve(id.shard());
        for round in 0..4 {
            for (number, (_, step)) in steps.iter().enumerate() {
                // Frozen for 22 s in the third round, right before that step.
                let late = (round, number) >= (2, frozen);
                step(&mut core, at(round * SECOND + if late { 22 * SECOND } else { 0 }));
            }
        }
        let task = &core.executions.get(id).expect("it is live").execution.tasks()[TaskKey::of(0)];
        let (state, stats) = (task.state, core.stats());
        assert_eq!(
            (state, stats.frozen),
            (TaskState::Running, 1),
            "frozen before {}",
            steps[frozen].0
        );
    }
}

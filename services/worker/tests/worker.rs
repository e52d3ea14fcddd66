//! The worker against a scripted server over a socket.

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Event, Stage, accepted, directive, farewell, leased, sleeper, tasks};
use nexus_api::worker::v1::task_report::Outcome;
use nexus_api::worker::v1::{
    HeartbeatTasksResponse, SecretPlaceholder, StreamTasksResponse, directive::Action, stream_tasks_request::Message,
    stream_tasks_response,
};
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_rides_on_the_answers() {
    let mut stage = Stage::new(2, LONG, LONG).await;
    let (outbox, slots) = stage.open().await;
    assert_eq!(slots, 2);
    outbox
        .send(tasks(vec![leased("t0", "noop", json!({"output": 0}))]))
        .await
        .expect("send");
    for step in 0..20 {
        let report = stage.report().await;
        assert_eq!(report.free_slots, 1);
        let Some(Outcome::Succeeded(succeeded)) = &report.reports[0].outcome else {
            panic!("{report:?}")
        };
        assert_eq!(succeeded.output, step.to_string());
        let next = leased(&format!("t{}", step + 1), "noop", json!({"output": step + 1}));
        outbox.send(accepted(&report, vec![next])).await.expect("send");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_arrive_whole_and_before_the_report() {
    let mut stage = Stage::new(2, LONG, LONG).await;
    stage.log_failures.store(2, Ordering::SeqCst);
    let (outbox, _) = stage.open().await;
    let code = "import time\ndef main(key):\n    for i in range(3000):\n        print(i, key)\n    time.sleep(0.2)\n    print('last')";
    let mut task = leased("a", "python", json!({"code": code, "args": {"key": "«1»"}}));
    task.secrets = vec![SecretPlaceholder {
        placeholder: "«1»".into(),
        name: "key".into(),
    }];
    outbox.send(tasks(vec![task])).await.expect("send");
    let mut lines = Vec::new();
    let report = loop {
        match stage.event().await {
            Event::Logs(logs) => {
                assert_eq!(logs.session, "session-1");
                for batch in logs.batches {
                    assert_eq!((batch.token.as_str(), batch.first_line), ("a", lines.len() as u64));
                    lines.extend(batch.lines.into_iter().map(|line| line.text));
                }
            }
            Event::Said(Message::Report(report)) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(report.reports[0].outcome, Some(Outcome::Succeeded(_))));
    assert_eq!(lines.len(), 3001);
    assert_eq!((lines[2999].as_str(), lines[3000].as_str()), ("2999 ***", "last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_fails_for_good() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    let (outbox, _) = stage.open().await;
    let mut task = leased("a", "noop", json!({"output": "«1»"}));
    task.secrets = vec![SecretPlaceholder {
        placeholder: "«1»".into(),
        name: "nobody_set_this".into(),
    }];
    outbox.send(tasks(vec![task])).await.expect("send");
    let report = stage.report().await;
    let Some(Outcome::Failed(failure)) = &report.reports[0].outcome else {
        panic!("{report:?}")
    };
    assert!(
        failure.non_retryable && failure.message.contains("NEXUS_SECRET_NOBODY_SET_THIS"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn directives_are_obeyed() {
    let mut stage = Stage::new(2, LONG, LONG).await;
    let (outbox, _) = stage.open().await;
    outbox
        .send(tasks(vec![sleeper("a"), sleeper("b")]))
        .await
        .expect("send");
    outbox.send(directive("a", Action::Cancel)).await.expect("send");
    let report = stage.report().await;
    assert!(
        matches!(report.reports[0].outcome, Some(Outcome::Cancelled(_))),
        "{report:?}"
    );
    outbox.send(accepted(&report, Vec::new())).await.expect("send");
    outbox.send(directive("b", Action::LeaseLost)).await.expect("send");
    let Event::Said(Message::Ready(ready)) = stage.event().await else {
        panic!("a lost attempt is not reported")
    };
    assert_eq!(ready.max_tasks, 1, "its slot is offered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_opened_again_and_results_are_kept() {
    let mut stage = Stage::new(3, LONG, LONG).await;
    let (outbox, _) = stage.open().await;
    outbox
        .send(tasks(vec![leased("a", "noop", json!({"output": 1})), sleeper("b")]))
        .await
        .expect("send");
    let first = stage.report().await;
    assert_eq!(first.reports[0].token, "a");
    drop(outbox);
    let (outbox, slots) = stage.open().await;
    assert_eq!(slots, 2, "one runs; a result without an answer holds no slot");
    let again = stage.report().await;
    assert_eq!(
        (again.session.as_str(), again.reports[0].token.as_str()),
        ("session-2", "a")
    );
    let mut beats = Vec::new();
    outbox.send(directive("b", Action::Cancel)).await.expect("send");
    outbox.send(accepted(&again, Vec::new())).await.expect("send");
    loop {
        match stage.any_event().await {
            Event::Said(Message::Heartbeat(beat)) => beats.push(beat.tokens),
            Event::Said(Message::Report(report)) => {
                assert!(matches!(report.reports[0].outcome, Some(Outcome::Cancelled(_))));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        beats.iter().flatten().any(|token| token == "b"),
        "the new session asks about the old attempt: {beats:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_lease_cannot_be_extended_is_stopped() {
    let mut stage = Stage::new(1, Duration::from_millis(800), LONG).await;
    let (outbox, _) = stage.open().await;
    outbox.send(tasks(vec![sleeper("a")])).await.expect("send");
    // Nobody answers the heartbeats.
    let Event::Said(Message::Ready(ready)) = stage.event().await else {
        panic!("nothing is reported")
    };
    assert_eq!(ready.max_tasks, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_extended_is_asked_for_more_often_than_one_that_is() {
    // A heartbeat every 3 s, and a lease that lasts longer than the test.
    let mut stage = Stage::new(1, Duration::from_secs(12), LONG).await;
    let (outbox, _) = stage.open().await;
    outbox.send(tasks(vec![sleeper("a")])).await.expect("send");
    let (mut before, mut in_doubt) = (None, 0);
    while in_doubt < 3 {
        let Event::Said(Message::Heartbeat(beat)) = stage.any_event().await else {
            continue;
        };
        let sent = Instant::now();
        let sooner = |before: Instant| sent - before < Duration::from_millis(2_500);
        in_doubt += u32::from(beat.tokens == ["a"] && before.replace(sent).is_some_and(sooner));
        // An answer that says nothing of the attempt, as when its owner is away.
        let nothing = HeartbeatTasksResponse {
            sequence: beat.sequence,
            ..HeartbeatTasksResponse::default()
        };
        let message = Some(stream_tasks_response::Message::Heartbeat(nothing));
        outbox.send(Ok(StreamTasksResponse { message })).await.expect("send");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shutdown_finishes_gives_back_and_says_goodbye() {
    let mut stage = Stage::new(4, LONG, Duration::from_secs(4)).await;
    let (outbox, _) = stage.open().await;
    let quick = leased(
        "quick",
        "python",
        json!({"code": "import time\ndef main():\n    time.sleep(0.5)\n    return 1"}),
    );
    let first = leased("first", "noop", json!({}));
    outbox
        .send(tasks(vec![quick, sleeper("slow"), first]))
        .await
        .expect("send");
    // Tasks of one message begin together.
    let report = stage.report().await;
    assert_eq!(report.reports[0].token, "first");
    outbox.send(accepted(&report, Vec::new())).await.expect("send");
    stage.shutdown.cancel();
    // Given back at once or, should it come before the worker has noticed, after the grace.
    outbox.send(tasks(vec![sleeper("late")])).await.expect("send");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let report = stage.report().await;
        for item in &report.reports {
            let name = match &item.outcome {
                Some(Outcome::Succeeded(_)) => "succeeded",
                Some(Outcome::Released(_)) => "released",
                other => panic!("{other:?}"),
            };
            seen.push((item.token.clone(), name));
        }
        outbox.send(accepted(&report, Vec::new())).await.expect("send");
    }
    seen.sort();
    let seen: Vec<(&str, &str)> = seen.iter().map(|(token, name)| (token.as_str(), *name)).collect();
    assert_eq!(
        seen,
        [("late", "released"), ("quick", "succeeded"), ("slow", "released")]
    );
    assert!(matches!(stage.event().await, Event::Deregistered));
    stage.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_worker_still_stops() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    let (outbox, _) = stage.open().await;
    outbox.send(tasks(vec![sleeper("a")])).await.expect("send");
    outbox
        .send(Err(tonic::Status::unavailable("going down")))
        .await
        .expect("send");
    let started = Instant::now();
    stage.shutdown.cancel();
    drop(outbox);
    stage.ended().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_to_a_leaving_worker_is_given_back_as_not_begun() {
    let mut stage = Stage::new(2, LONG, LONG).await;
    stage.says_farewell.store(false, Ordering::SeqCst);
    let (outbox, _) = stage.open().await;
    // The first heartbeat shows that the session has begun.
    let beat = async |stage: &mut Stage| loop {
        if let Event::Said(Message::Heartbeat(beat)) = stage.any_event().await {
            return beat;
        }
    };
    assert!(!beat(&mut stage).await.leaving);
    stage.shutdown.cancel();
    assert!(beat(&mut stage).await.leaving);
    // The worker has nothing, and may not go before it hears that nothing comes.
    outbox.send(tasks(vec![sleeper("late")])).await.expect("send");
    outbox.send(farewell()).await.expect("send");
    let report = stage.report().await;
    let Some(Outcome::Released(released)) = &report.reports[0].outcome else {
        panic!("{report:?}")
    };
    assert!(released.not_started && report.free_slots == 0);
    outbox.send(accepted(&report, Vec::new())).await.expect("send");
    assert!(matches!(stage.event().await, Event::Deregistered));
    stage.ended().await;
}

/// Sends a heartbeat's answer: the same word on each of its tokens.
fn answer(
    beat: &nexus_api::worker::v1::HeartbeatTasksRequest,
    action: Action,
) -> Result<nexus_api::worker::v1::StreamTasksResponse, tonic::Status> {
    use nexus_api::worker::v1::{Directive, HeartbeatTasksResponse, StreamTasksResponse, stream_tasks_response};
    let directives = beat.tokens.iter().map(|token| Directive {
        token: token.clone(),
        action: action.into(),
        ..Directive::default()
    });
    let message = stream_tasks_response::Message::Heartbeat(HeartbeatTasksResponse {
        directives: directives.collect(),
        ..HeartbeatTasksResponse::default()
    });
    Ok(StreamTasksResponse { message: Some(message) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_unknown_age_begins_only_when_the_server_says_that_it_goes_on() {
    // The worker is sure of a lease for 300 ms and is answered nothing: all that it can say is that the lease was given
    // after its stream began, as when it lay in the socket of a worker that was frozen.
    let folder = tempfile::tempdir().expect("folder");
    for (action, begins) in [(Action::Continue, true), (Action::LeaseLost, false)] {
        let mut stage = Stage::new(2, Duration::from_millis(900), LONG).await;
        let (outbox, _) = stage.open().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let file = folder.path().join(format!("{begins}"));
        let code = format!("def main():\n    open({:?}, 'w').close()", file.display().to_string());
        let script = json!({"code": code});
        outbox
            .send(tasks(vec![leased("old", "python", script)]))
            .await
            .expect("send");
        let beat = loop {
            match stage.any_event().await {
                Event::Said(Message::Heartbeat(beat)) if beat.tokens == ["old"] => break beat,
                Event::Said(Message::Heartbeat(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(!file.exists(), "it has begun without a word");
        outbox.send(answer(&beat, action)).await.expect("send");
        if begins {
            // The lease is extended as long as the task runs, however slow the machine is.
            let report = loop {
                match stage.any_event().await {
                    Event::Said(Message::Heartbeat(beat)) => outbox.send(answer(&beat, action)).await.expect("send"),
                    Event::Said(Message::Report(report)) => break report,
                    other => panic!("{other:?}"),
                }
            };
            assert!(
                matches!(report.reports[0].outcome, Some(Outcome::Succeeded(_))),
                "{report:?}"
            );
        } else {
            let Event::Said(Message::Ready(_)) = stage.event().await else {
                panic!("a lost attempt is not reported")
            };
        }
        assert_eq!(file.exists(), begins);
    }
}

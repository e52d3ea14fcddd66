//! Receivers that are away, slow, refusing or forbidden, and a service that is killed.

use std::time::Duration;

use nexus_api::notifications::v1::delivery::State;
use nexus_api::notifications::v1::{Event, RedeliverDeliveryRequest, Rule, RunningLong};
use nexus_tests::{Dev, DevOptions};

use super::receivers::{Answer, Web};
use super::{Client, FAILS, hook, rule};

#[tokio::test]
async fn what_a_receiver_refuses_is_dead_at_once_and_can_be_sent_again_under_its_id() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client.channel("hook", hook(web.url())).await;
    client.rule(rule("failures", &[Event::Failed], &["hook"])).await;
    web.answers(Answer::status(410));
    dev.run(FAILS, "").await;
    let dead = client
        .until("a dead one", |all| all.iter().any(|one| one.state() == State::Dead))
        .await
        .remove(0);
    assert!(dead.problem.contains("410"), "{}", dead.problem);
    assert_eq!(dead.attempt_count, 1);
    web.answers(Answer::status(204));
    let request = RedeliverDeliveryRequest {
        delivery: dead.id.clone(),
    };
    client.service().redeliver_delivery(request).await.expect("again");
    client.delivered(1).await;
    let ids: Vec<String> = web
        .got()
        .iter()
        .map(|got| got.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids, [dead.id.clone(), dead.id]);
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_what_it_missed() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client.channel("hook", hook(web.url())).await;
    client.rule(rule("failures", &[Event::Failed], &["hook"])).await;
    let away = Answer {
        header: Some(("retry-after", "1")),
        ..Answer::status(503)
    };
    web.answers(away);
    dev.run(FAILS, "").await;
    let found = client
        .until("a retry", |all| all.iter().any(|one| one.state() == State::Retrying))
        .await;
    assert!(
        found[0].next_attempt_time.is_some() && found[0].problem.contains("503"),
        "{found:?}"
    );
    web.answers(Answer::status(200));
    let done = client.delivered(1).await;
    assert!(done[0].attempt_count >= 2);
}

#[tokio::test]
async fn a_slow_channel_holds_up_no_other() {
    let (dev, slow, fast) = (Dev::start(), Web::start().await, Web::start().await);
    let client = Client::of(&dev);
    slow.answers(Answer {
        pause: Duration::from_secs(25),
        ..Answer::status(200)
    });
    client.channel("slow", hook(slow.url())).await;
    client.channel("fast", hook(fast.url())).await;
    client.rule(rule("failures", &[Event::Failed], &["slow", "fast"])).await;
    for _ in 0..12 {
        dev.launch(FAILS, "").await;
    }
    fast.wait(12).await;
    let waiting = client.deliveries().await;
    let undone = waiting
        .iter()
        .filter(|one| one.channel == "slow" && one.state() != State::Delivered)
        .count();
    assert!(undone > 0, "the fast one did not wait for the slow one");
    assert!(slow.got().len() <= 4, "the slow one has a few at a time");
}

#[tokio::test]
async fn what_was_committed_is_told_after_a_kill_and_nothing_under_another_id() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    web.answers(Answer {
        pause: Duration::from_secs(20),
        ..Answer::status(200)
    });
    client.channel("hook", hook(web.url())).await;
    client.rule(rule("failures", &[Event::Failed], &["hook"])).await;
    let failed = dev.run(FAILS, "").await;
    // The receiver has it, and the answer has not come: nobody knows whether it was taken.
    web.wait(1).await;
    let id = client.deliveries().await.remove(0).id;
    web.answers(Answer::status(200));
    let dev = dev.kill_and_restart(DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    });
    let client = Client::of(&dev);
    let request = RedeliverDeliveryRequest { delivery: id.clone() };
    client.service().redeliver_delivery(request).await.expect("it is there");
    let told = client
        .until("the end", |all| all.iter().all(|one| one.state() != State::Pending))
        .await;
    assert_eq!(told.len(), 1, "one message for one event");
    assert_eq!(told[0].notice.as_ref().expect("a notice").execution, failed.id);
    assert!(
        web.got().iter().all(|got| got.header("webhook-id") == id),
        "twice only under one id"
    );
}

#[tokio::test]
async fn what_may_not_be_reached_gets_nothing_also_by_a_redirect() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    let forbidden = [
        "http://169.254.169.254/latest/meta-data",
        "http://2852039166/",
        "http://[::ffff:169.254.169.254]/",
        "http://10.0.0.1/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://[fd00::1]/",
        "http://100.64.0.1/",
    ];
    for (number, url) in forbidden.iter().enumerate() {
        client.channel(&format!("c{number}"), hook((*url).to_owned())).await;
    }
    web.answers(Answer {
        header: Some(("location", "http://169.254.169.254/")),
        ..Answer::status(307)
    });
    client.channel("redirects", hook(web.url())).await;
    let mut channels: Vec<String> = (0..forbidden.len()).map(|number| format!("c{number}")).collect();
    channels.push("redirects".to_owned());
    client
        .rule(Rule {
            channels,
            ..rule("all", &[Event::Failed], &[])
        })
        .await;
    dev.run(FAILS, "").await;
    let all = client
        .until("the end", |all| {
            all.len() == 8 && all.iter().all(|one| one.state() == State::Dead)
        })
        .await;
    for one in all {
        let why = if one.channel == "redirects" {
            "redirects are not followed"
        } else {
            "notifications.egress_allow"
        };
        assert!(one.problem.contains(why), "{}: {}", one.channel, one.problem);
    }
    assert_eq!(web.got().len(), 1);
}

#[tokio::test]
async fn an_execution_that_runs_for_long_is_told_of_once_while_it_runs() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client.channel("hook", hook(web.url())).await;
    let long = RunningLong {
        after: Some(nexus_api::time::duration(1_000_000)),
        times_median: 0.0,
    };
    client
        .rule(Rule {
            running_long: Some(long),
            ..rule("long", &[Event::RunningLong], &["hook"])
        })
        .await;
    dev.run("name: quick\ntasks:\n  a:\n    noop: {}\n", "").await;
    let slow = dev
        .launch("name: slow\ntasks:\n  a:\n    bash: {run: 'sleep 300'}\n", "")
        .await;
    let told = web.wait(1).await.remove(0).json();
    assert_eq!(
        (&told["data"]["event"], &told["data"]["execution"]),
        (&"RUNNING_LONG".into(), &slow.as_str().into())
    );
    assert_eq!(client.deliveries().await.len(), 1, "the quick one was over");
}

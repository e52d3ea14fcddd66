//! What each kind of channel gets.

use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::delivery::State;
use nexus_api::notifications::v1::email::Security;
use nexus_api::notifications::v1::{
    Channel, Discord, Email, Event, PagerDuty, Rule, Slack, Teams, TestChannelRequest, Webhook,
};
use nexus_tests::{DEADLINE, Dev};
use serde_json::json;

use super::receivers::{Web, python, smtp};
use super::{Client, FAILS, hook, rule};

const EVIL: &str = "<script>alert(1)</script> & *bold* @here";

#[tokio::test]
async fn a_failure_is_told_once_signed_by_both_secrets_while_one_is_exchanged() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    let secrets = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    client.secret("old_one", secrets[0]).await;
    client.secret("new_one", secrets[1]).await;
    client.secret("token", "t0p-s3cret-value").await;
    let signed = Webhook {
        url: web.url(),
        signing_secrets: vec!["{{ secrets.old_one }}".into(), "{{ secrets.new_one }}".into()],
        headers: [("authorization".to_owned(), "Bearer {{ secrets.token }}".to_owned())].into(),
    };
    client.channel("hook", Kind::Webhook(signed)).await;
    client
        .rule(rule("failures", &[Event::Failed, Event::Recovered], &["hook"]))
        .await;
    let failed = dev.run(FAILS, "").await;
    let got = web.wait(1).await.remove(0);
    let told = client.delivered(1).await;
    let event = got.json();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "dev.nexus.execution.failed.v1");
    assert_eq!(event["data"]["execution"], failed.id.as_str());
    assert_eq!(event["data"]["labels"], json!({"team": "data"}));
    assert_eq!(
        (&event["id"], got.header("webhook-id")),
        (&json!(told[0].id), told[0].id.as_str())
    );
    assert_eq!(got.header("authorization"), "Bearer t0p-s3cret-value");
    let verify = "
import base64, hashlib, hmac, json, sys
told = json.load(sys.stdin)
text = '.'.join([told['id'], told['time'], told['body']]).encode()
good = []
for secret in told['secrets']:
    key = base64.b64decode(secret.removeprefix('whsec_'))
    good.append('v1,' + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode())
print(json.dumps(told['signature'].split(' ') == good))
";
    let input = json!({
        "id": got.header("webhook-id"), "time": got.header("webhook-timestamp"),
        "signature": got.header("webhook-signature"), "body": got.body, "secrets": secrets,
    });
    assert_eq!(python(verify, &input.to_string()), json!(true));
    let kept = client.delivery(&told[0].id).await;
    let attempt = &kept.attempts[0];
    assert_eq!(
        (attempt.status, attempt.response.as_str()),
        (200, "the receiver's words")
    );
    assert!(
        attempt.request.contains("authorization: Bearer ***"),
        "{}",
        attempt.request
    );
    assert!(!format!("{kept:?}").contains("t0p-s3cret-value"));

    dev.run(&FAILS.replace("exit 3", "exit 0"), "").await;
    client.delivered(2).await;
    let all = web.got();
    assert_eq!(all.len(), 2, "each once");
    assert_eq!(all[1].json()["type"], "dev.nexus.workflow.recovered.v1");
}

#[tokio::test]
async fn a_mail_says_what_failed_and_nothing_in_it_means_anything() {
    let dev = Dev::start();
    let client = Client::of(&dev);
    let (port, mails) = smtp();
    let email = Email {
        host: "127.0.0.1".into(),
        port: port.into(),
        security: Security::None.into(),
        from: "NEXUS <nexus@example.com>".into(),
        to: vec!["anna@example.com".into(), "Bert <bert@example.com>".into()],
        ..Email::default()
    };
    client.channel("mail", Kind::Email(email)).await;
    client.rule(rule("failures", &[Event::Failed], &["mail"])).await;
    let source = format!(
        "name: fails\nlabels: {{note: \"{EVIL}\\r\\nBcc: evil@example.com\"}}\ntasks:\n  a:\n    python:\n      code: |\n        def main():\n            raise ValueError(\"{EVIL}\\r\\nBcc: evil@example.com\")\n"
    );
    dev.run(&source, "").await;
    let mail = mails.recv_timeout(DEADLINE).expect("a mail");
    assert_eq!(mail.to.len(), 2, "{:?}", mail.to);
    assert!(mail.to.iter().all(|to| !to.contains("evil")));
    let read = "
import email, email.policy, json, sys
mail = email.message_from_string(sys.stdin.read(), policy=email.policy.default)
print(json.dumps({
    'subject': mail['subject'], 'to': mail['to'], 'from': mail['from'], 'bcc': mail['bcc'], 'id': mail['message-id'],
    'auto': mail['auto-submitted'], 'date': mail['date'].datetime.timestamp() if mail['date'] else None,
    'text': mail.get_body(('plain',)).get_content(), 'html': mail.get_body(('html',)).get_content(),
}))
";
    let seen = python(read, &mail.text);
    assert_eq!(seen["subject"], "fails failed: ValueError");
    assert_eq!((&seen["bcc"], &seen["auto"]), (&json!(null), &json!("auto-generated")));
    assert_eq!(seen["to"], "anna@example.com, Bert <bert@example.com>");
    let (text, html) = (
        seen["text"].as_str().expect("text"),
        seen["html"].as_str().expect("html"),
    );
    assert!(text.starts_with("ValueError: ") && text.contains("<script>"), "{text}");
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
    let told = client.delivered(1).await;
    assert_eq!(seen["id"], format!("<{}@example.com>", told[0].id));
    assert_eq!(client.delivery(&told[0].id).await.attempts[0].status, 250);
}

#[tokio::test]
async fn chats_and_pagers_get_their_form_at_addresses_that_are_secrets() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client
        .secret("place", &format!("{}/T000/B000/xyz-token", web.url()))
        .await;
    client.secret("routing", "0123456789abcdef0123456789abcdef").await;
    let url = || "{{ secrets.place }}".to_owned();
    client.channel("slack", Kind::Slack(Slack { url: url() })).await;
    client.channel("teams", Kind::Teams(Teams { url: url() })).await;
    client.channel("discord", Kind::Discord(Discord { url: url() })).await;
    let duty = PagerDuty {
        routing_key: "{{ secrets.routing }}".into(),
        url: web.url(),
        ..PagerDuty::default()
    };
    client.channel("pager", Kind::PagerDuty(duty)).await;
    client
        .rule(rule(
            "all",
            &[Event::Failed, Event::Succeeded],
            &["slack", "teams", "discord", "pager"],
        ))
        .await;
    let source = format!(
        "name: fails\ntasks:\n  a:\n    python:\n      code: |\n        def main():\n            raise ValueError(\"{EVIL}\")\n"
    );
    dev.run(&source, "").await;
    client.delivered(4).await;
    let bodies: Vec<_> = web.got().iter().map(super::receivers::Got::json).collect();
    let find = |key: &str| {
        bodies
            .iter()
            .find(|body| !body[key].is_null())
            .unwrap_or_else(|| panic!("{key}: {bodies:?}"))
    };
    let slack = find("blocks");
    assert_eq!(slack["blocks"][0]["text"]["text"], "fails failed: ValueError");
    let words = slack["blocks"][1]["text"]["text"].as_str().expect("words");
    assert!(
        words.contains("&lt;script&gt;") && !words.contains("*bold*") && !words.contains("@here"),
        "{words}"
    );
    let card = &find("attachments")["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["type"], "AdaptiveCard");
    assert_eq!(find("embeds")["allowed_mentions"], json!({"parse": []}));
    let page = find("routing_key");
    assert_eq!(
        (&page["event_action"], &page["dedup_key"]),
        (&json!("trigger"), &json!("nexus/default/fails"))
    );
    assert_eq!(page["routing_key"], "0123456789abcdef0123456789abcdef");
    for delivery in client.deliveries().await {
        let kept = format!("{:?}", client.delivery(&delivery.id).await);
        assert!(
            !kept.contains("xyz-token") && !kept.contains("0123456789abcdef0123"),
            "{kept}"
        );
    }
    dev.run("name: fails\ntasks:\n  a:\n    noop: {}\n", "").await;
    client.delivered(8).await;
    let resolved = |got: &super::receivers::Got| got.json()["event_action"] == "resolve";
    assert_eq!(web.got().iter().filter(|got| resolved(got)).count(), 1);
}

#[tokio::test]
async fn a_channel_is_tried_out_before_it_is_kept_and_after() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    let request = TestChannelRequest {
        channel: Some(Channel {
            kind: Some(hook(web.url())),
            ..Channel::default()
        }),
        ..TestChannelRequest::default()
    };
    let tried = client
        .service()
        .test_channel(request.clone())
        .await
        .expect("tried")
        .into_inner()
        .attempt
        .expect("one");
    assert!(tried.delivered && tried.response == "the receiver's words", "{tried:?}");
    web.answers(super::receivers::Answer::status(404));
    let tried = client
        .service()
        .test_channel(request)
        .await
        .expect("tried")
        .into_inner()
        .attempt
        .expect("one");
    assert!(!tried.delivered && tried.permanent && tried.status == 404, "{tried:?}");
    client.channel("hook", hook(web.url())).await;
    web.answers(super::receivers::Answer::status(200));
    let kept = TestChannelRequest {
        name: "hook".into(),
        ..TestChannelRequest::default()
    };
    assert!(
        client
            .service()
            .test_channel(kept)
            .await
            .expect("tried")
            .into_inner()
            .attempt
            .expect("one")
            .delivered
    );
    assert!(client.deliveries().await.is_empty(), "a sample is no delivery");
}

#[tokio::test]
async fn a_workflow_says_itself_who_is_told_and_a_missing_channel_is_seen() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client.channel("ops", hook(web.url())).await;
    let told = FAILS.replace(
        "tasks:",
        "notify:\n  - {on: [failure], channel: ops}\n  - {on: [failure], channel: nobody}\ntasks:",
    );
    dev.run(&told, "").await;
    let all = client
        .until("both", |all| {
            all.iter().filter(|one| one.finish_time.is_some()).count() == 2
        })
        .await;
    let of = |channel: &str| all.iter().find(|one| one.channel == channel).expect("one").clone();
    assert_eq!(
        (of("ops").state(), of("ops").rule.as_str()),
        (State::Delivered, "file:1")
    );
    assert_eq!(of("nobody").state(), State::Dead);
    assert!(
        of("nobody").problem.contains("no channel nobody"),
        "{}",
        of("nobody").problem
    );
}

#[tokio::test]
async fn a_group_is_one_message_with_a_count_and_the_first_few() {
    let (dev, web) = (Dev::start(), Web::start().await);
    let client = Client::of(&dev);
    client.channel("hook", hook(web.url())).await;
    let window = Some(nexus_api::time::duration(4_000_000));
    client
        .rule(Rule {
            group_window: window,
            ..rule("storm", &[Event::Failed], &["hook"])
        })
        .await;
    for _ in 0..8 {
        dev.launch(FAILS, "").await;
    }
    let told = web.wait(1).await.remove(0).json();
    let all = client
        .until("eight", |all| {
            all.len() == 8 && all.iter().all(|one| one.finish_time.is_some())
        })
        .await;
    let sent = web.got();
    let counted: u64 = sent
        .iter()
        .map(|got| got.json()["data"]["count"].as_u64().expect("a count"))
        .sum();
    assert_eq!(counted, 8, "each event is in one message");
    assert!(sent.len() < 8, "they are gathered");
    assert!(
        told["data"]["others"]
            .as_array()
            .is_some_and(|others| others.len() <= 5)
    );
    let grouped = all.iter().filter(|one| one.state() == State::Suppressed).count();
    assert_eq!(grouped, 8 - sent.len());
}

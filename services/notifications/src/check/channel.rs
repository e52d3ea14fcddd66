//! What a channel may say.

use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::email::Security;
use nexus_api::notifications::v1::{Channel, Email, PagerDuty, Webhook};
use url::Url;

use super::Findings;
use crate::credentials::{fields, is_one, named};
use crate::message::mailbox;

/// Addresses of one mail at most.
const MAX_TO: usize = 50;
/// Bytes of an address at most.
const MAX_URL: usize = 2_048;
/// Headers of a webhook at most, and bytes of each value.
const MAX_HEADERS: usize = 20;
const MAX_VALUE: usize = 4_096;

/// Headers that carry credentials: their values are secrets.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
];
/// Headers that the message or the connection has of its own.
const OWN: &[&str] = &[
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "trailer",
    "expect",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "user-agent",
];

/// What is wrong with a channel.
pub(crate) fn problems(channel: &Channel) -> Vec<(String, String)> {
    let mut found = Findings::default();
    found.name(&channel.name);
    found.description(&channel.description);
    found.texts(channel.texts.as_ref());
    match &channel.kind {
        None => found.add("kind", "say one of email, slack, webhook, teams, discord, pager_duty"),
        Some(Kind::Email(email)) => of_email(&mut found, email),
        Some(Kind::Slack(slack)) => secret(&mut found, "slack.url", &slack.url),
        Some(Kind::Teams(teams)) => secret(&mut found, "teams.url", &teams.url),
        Some(Kind::Discord(discord)) => secret(&mut found, "discord.url", &discord.url),
        Some(Kind::PagerDuty(duty)) => of_pager(&mut found, duty),
        Some(Kind::Webhook(hook)) => of_webhook(&mut found, hook),
    }
    for text in fields(channel) {
        if let Err(problem) = named(text) {
            found.add(crate::message::kind_name(channel), problem.to_string());
        }
    }
    if let Some(limit) = &channel.rate_limit {
        let fits = (1..=10_000).contains(&limit.messages);
        found.unless(fits, "rate_limit.messages", "must be from 1 to 10000");
        found.unless(limit.period.is_some(), "rate_limit.period", "must be said, such as 60s");
        found.span("rate_limit.period", limit.period.as_ref(), 1, 86_400);
    }
    found.0
}

/// Whoever has it can do what the channel can: it is kept as a secret and named here.
fn secret(found: &mut Findings, field: &str, text: &str) {
    let problem =
        "must be {{ secrets.NAME }}: whoever knows the value can use it, so it is kept as a secret and named here";
    found.unless(is_one(text), field, problem);
}

fn of_email(found: &mut Findings, email: &Email) {
    let host = email.host.trim_matches(['[', ']']);
    let plain = !host.is_empty() && host.len() <= 253 && url::Host::parse(&email.host).is_ok();
    found.unless(plain, "email.host", "must be the name or the address of an SMTP server");
    found.unless(email.port <= 65_535, "email.port", "must be from 1 to 65535");
    found.unless(
        mailbox(&email.from).is_some(),
        "email.from",
        "must be an address such as NEXUS <nexus@example.com>",
    );
    let count = (1..=MAX_TO).contains(&email.to.len());
    found.unless(count, "email.to", format!("must have from 1 to {MAX_TO} addresses"));
    for (index, to) in email.to.iter().enumerate().take(MAX_TO) {
        found.unless(
            mailbox(to).is_some(),
            format!("email.to[{index}]"),
            "must be an address such as anna@example.com",
        );
    }
    let answers = email.reply_to.is_empty() || mailbox(&email.reply_to).is_some();
    found.unless(answers, "email.reply_to", "must be an address such as anna@example.com");
    match (email.username.is_empty(), email.password.is_empty()) {
        (true, true) => {}
        (false, false) => {
            secret(found, "email.password", &email.password);
            let open = email.security() == Security::None;
            found.unless(
                !open,
                "email.security",
                "must not be NONE with a password, which everybody on the way could read",
            );
        }
        (true, false) => found.add("email.username", "must be said with a password"),
        (false, true) => found.add("email.password", "must be said with a username, as {{ secrets.NAME }}"),
    }
}

fn of_pager(found: &mut Findings, duty: &PagerDuty) {
    secret(found, "pager_duty.routing_key", &duty.routing_key);
    let known = ["", "critical", "error", "warning", "info"].contains(&duty.severity.as_str());
    found.unless(known, "pager_duty.severity", "must be critical, error, warning or info");
    if !duty.url.is_empty() {
        address(found, "pager_duty.url", &duty.url);
    }
}

/// An address that is written out: of http, without a password in it.
fn address(found: &mut Findings, field: &str, text: &str) {
    let parsed = Url::parse(text.trim()).ok();
    let plain = parsed
        .as_ref()
        .is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    found.unless(
        plain && text.len() <= MAX_URL,
        field,
        "must be an address of http or https, or {{ secrets.NAME }}",
    );
    let bare = parsed.is_none_or(|url| url.username().is_empty() && url.password().is_none());
    found.unless(
        bare,
        field,
        "must not hold a password; keep the whole address as a secret and write {{ secrets.NAME }}",
    );
}

fn of_webhook(found: &mut Findings, hook: &Webhook) {
    if !is_one(&hook.url) {
        address(found, "webhook.url", &hook.url);
    }
    found.unless(
        hook.signing_secrets.len() <= 2,
        "webhook.signing_secrets",
        "must be at most 2",
    );
    for (index, text) in hook.signing_secrets.iter().enumerate() {
        secret(found, &format!("webhook.signing_secrets[{index}]"), text);
    }
    let many = format!("must be at most {MAX_HEADERS}");
    found.unless(hook.headers.len() <= MAX_HEADERS, "webhook.headers", many);
    for (name, value) in &hook.headers {
        let field = format!("webhook.headers.{name}");
        let lower = name.to_ascii_lowercase();
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        let plain = !name.is_empty() && name.len() <= 100 && name.bytes().all(token);
        found.unless(plain, &field, "is no name of a header");
        found.unless(
            !OWN.contains(&lower.as_str()),
            &field,
            "is a header that the message has of its own",
        );
        let visible = value.len() <= MAX_VALUE && value.bytes().all(|c| (b' '..=b'~').contains(&c));
        found.unless(
            visible,
            &field,
            format!("must be at most {MAX_VALUE} visible ASCII characters"),
        );
        let kept = !CREDENTIALS.contains(&lower.as_str()) || named(value).is_ok_and(|names| !names.is_empty());
        found.unless(
            kept,
            &field,
            "holds a credential: keep it as a secret and write {{ secrets.NAME }}",
        );
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::notifications::v1::{RateLimit, Slack};

    use super::*;

    fn fields_of(kind: Kind) -> Vec<String> {
        let channel = Channel {
            name: "c".into(),
            kind: Some(kind),
            ..Channel::default()
        };
        problems(&channel).into_iter().map(|(field, _)| field).collect()
    }

    fn hook(url: &str, headers: &[(&str, &str)]) -> Kind {
        Kind::Webhook(Webhook {
            url: url.into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Webhook::default()
        })
    }

    #[test]
    fn credentials_are_named_and_never_written_out() {
        assert!(
            fields_of(Kind::Slack(Slack {
                url: "{{ secrets.slack }}".into()
            }))
            .is_empty()
        );
        let open = Kind::Slack(Slack {
            url: "https://hooks.slack.com/services/T/B/x".into(),
        });
        assert_eq!(fields_of(open), ["slack.url"]);
        assert_eq!(fields_of(hook("https://u:p@a.example/", &[])), ["webhook.url"]);
        assert_eq!(
            fields_of(hook("https://a/", &[("Authorization", "Bearer x")])),
            ["webhook.headers.Authorization"]
        );
        assert!(
            fields_of(hook(
                "https://a/",
                &[("Authorization", "Bearer {{ secrets.x }}"), ("x-env", "prod")]
            ))
            .is_empty()
        );
        assert_eq!(fields_of(hook("https://a/", &[("x", "{{ params.x }}")])), ["webhook"]);
    }

    #[test]
    fn headers_of_the_message_and_line_breaks_are_refused() {
        for (name, value) in [
            ("webhook-id", "x"),
            ("Host", "x"),
            ("x", "a\r\nb: c"),
            ("a b", "x"),
            ("", "x"),
        ] {
            assert_eq!(
                fields_of(hook("https://a/", &[(name, value)])).len(),
                1,
                "{name} {value:?}"
            );
        }
        for url in ["ftp://a/", "a", "", "file:///etc/passwd", "http://"] {
            assert_eq!(fields_of(hook(url, &[])), ["webhook.url"], "{url}");
        }
    }

    #[test]
    fn mail_needs_a_server_and_addresses_of_one_line() {
        let email = Email {
            host: "smtp.example.com".into(),
            from: "NEXUS <nexus@example.com>".into(),
            to: vec!["anna@example.com".into()],
            ..Email::default()
        };
        assert!(fields_of(Kind::Email(email.clone())).is_empty());
        for (field, wrong) in [
            (
                "email.host",
                Email {
                    host: "a b".into(),
                    ..email.clone()
                },
            ),
            (
                "email.to",
                Email {
                    to: Vec::new(),
                    ..email.clone()
                },
            ),
            (
                "email.to",
                Email {
                    to: vec!["a@b.c".into(); MAX_TO + 1],
                    ..email.clone()
                },
            ),
            (
                "email.to[0]",
                Email {
                    to: vec!["a@b.c\r\nBcc: e@v.il".into()],
                    ..email.clone()
                },
            ),
            (
                "email.from",
                Email {
                    from: "nobody".into(),
                    ..email.clone()
                },
            ),
            (
                "email.port",
                Email {
                    port: 65_536,
                    ..email.clone()
                },
            ),
            (
                "email.username",
                Email {
                    password: "{{ secrets.p }}".into(),
                    ..email.clone()
                },
            ),
            (
                "email.password",
                Email {
                    username: "u".into(),
                    password: "plain".into(),
                    ..email.clone()
                },
            ),
        ] {
            assert_eq!(fields_of(Kind::Email(wrong)), [field]);
        }
        let open = Email {
            username: "u".into(),
            password: "{{ secrets.p }}".into(),
            security: 3,
            ..email
        };
        assert_eq!(fields_of(Kind::Email(open)), ["email.security"]);
    }

    #[test]
    fn numbers_are_bounded_just_under_and_just_over() {
        let limited = |messages, seconds: i64| {
            let period = Some(nexus_api::time::duration(seconds * 1_000_000));
            let rate_limit = Some(RateLimit {
                messages,
                period,
                excess: 0,
            });
            let kind = Some(hook("https://a/", &[]));
            problems(&Channel {
                name: "c".into(),
                kind,
                rate_limit,
                ..Channel::default()
            })
            .len()
        };
        assert_eq!((limited(1, 1), limited(10_000, 86_400)), (0, 0));
        assert_eq!(
            (limited(0, 1), limited(10_001, 1), limited(1, 0), limited(1, 86_401)),
            (1, 1, 1, 1)
        );
    }
}

//! Sends over HTTP and SMTP, to addresses that may be reached, within bounds of time and size.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use nexus_api::notifications::v1::DeliveryAttempt;
use nexus_api::notifications::v1::email::Security;
use nexus_attempt::Redactor;
use nexus_egress::{Allowed, Refused, Resolver, chain};
use tokio::time::timeout;
use url::Url;

use crate::message::{Mail, Outgoing, Post};
use crate::retry::{Ended, of_status, retry_after};
use crate::texts::cut;

/// Time for all of one attempt.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 16 << 10;
/// Characters of a request and of an answer that are kept.
const KEPT_REQUEST: usize = 16_000;
const KEPT_ANSWER: usize = 4_000;

/// What came of an attempt: what is kept of it, and what it means.
pub(crate) struct Sent {
    pub(crate) attempt: DeliveryAttempt,
    pub(crate) ended: Ended,
}

/// Sends.
pub(crate) struct Egress {
    resolver: Resolver,
    client: OnceLock<Result<reqwest::Client, String>>,
}

/// An answer, or why there is none.
struct Answer {
    status: u32,
    text: String,
    problem: String,
    ended: Ended,
}

impl Answer {
    fn none(problem: String, ended: Ended) -> Self {
        Self {
            status: 0,
            text: String::new(),
            problem,
            ended,
        }
    }
}

impl Egress {
    /// To what may be reached.
    pub(crate) fn new(allowed: Allowed) -> Self {
        Self {
            resolver: Resolver::of_system(allowed),
            client: OnceLock::new(),
        }
    }

    /// Sends, and keeps nothing that is secret. `now` is in microseconds since 1970.
    pub(crate) async fn send(&self, outgoing: Outgoing, redactor: &Redactor, now: i64) -> Sent {
        let begun = Instant::now();
        let request = shown(&outgoing);
        let sending = async {
            match outgoing {
                Outgoing::Post(post) => self.post(post, now).await,
                Outgoing::Mail(mail) => self.mail(*mail).await,
                Outgoing::Nothing => Answer::none(String::new(), Ended::Taken),
            }
        };
        let answer = timeout(LONGEST, sending)
            .await
            .unwrap_or_else(|_| Answer::none(format!("no answer within {} s", LONGEST.as_secs()), Ended::Later(None)));
        // What is secret goes before anything is cut: a half of it would not be known.
        let clean = |text: &str, most| cut(&redactor.text(text), most);
        let attempt = DeliveryAttempt {
            number: 0,
            start_time: Some(nexus_api::time::timestamp(now)),
            duration: Some(nexus_api::time::duration(
                i64::try_from(begun.elapsed().as_micros()).unwrap_or_default(),
            )),
            delivered: answer.ended == Ended::Taken,
            status: answer.status,
            request: clean(&request, KEPT_REQUEST),
            response: clean(&answer.text, KEPT_ANSWER),
            problem: clean(&answer.problem, KEPT_ANSWER),
            permanent: answer.ended == Ended::Never,
        };
        Sent {
            attempt,
            ended: answer.ended,
        }
    }

    fn client(&self) -> Result<&reqwest::Client, String> {
        let made = self
            .client
            .get_or_init(|| nexus_egress::client(&self.resolver).map_err(|error| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }

    async fn post(&self, post: Post, now: i64) -> Answer {
        let url = match Url::parse(&post.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => url,
            // What it is may be secret.
            _ => return Answer::none("the address is no address of http or https".to_owned(), Ended::Never),
        };
        if let Err(refused) = self.resolver.check(&url) {
            return Answer::none(refusal(&refused), Ended::Never);
        }
        let client = match self.client() {
            Ok(client) => client,
            Err(problem) => return Answer::none(problem, Ended::Later(None)),
        };
        let mut request = client.post(url).body(post.body);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return of_error(&error),
        };
        let status = response.status().as_u16();
        let wait = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let ended = of_status(status, wait.and_then(|text| retry_after(text, now)));
        let mut bytes = Vec::new();
        // An answer that breaks off has been given all the same: its status is what counts.
        while let Ok(Some(piece)) = response.chunk().await {
            bytes.extend_from_slice(&piece[..piece.len().min(MAX_ANSWER - bytes.len())]);
            if bytes.len() >= MAX_ANSWER {
                break;
            }
        }
        let problem = match (ended, status) {
            (Ended::Taken, _) => String::new(),
            (_, 300..=399) => {
                format!("the receiver answered {status}; redirects are not followed: set the new address")
            }
            (_, 410) => "the receiver answered 410: it is gone for good".to_owned(),
            _ => format!("the receiver answered {status}"),
        };
        Answer {
            status: u32::from(status),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            problem,
            ended,
        }
    }

    async fn mail(&self, mail: Mail) -> Answer {
        let bare = mail.host.trim_matches(['[', ']']);
        let found = match self.resolver.resolve(bare, mail.port).await {
            Ok(found) => found,
            Err(error) => {
                return match error.downcast_ref::<Refused>() {
                    Some(refused) => Answer::none(refusal(refused), Ended::Never),
                    None => Answer::none(format!("{bare} cannot be found: {error}"), Ended::Later(None)),
                };
            }
        };
        let Some(address) = found.first() else {
            return Answer::none(format!("{bare} has no address"), Ended::Later(None));
        };
        let tls = || TlsParameters::new(bare.to_owned()).map_err(|error| error.to_string());
        let tls = match mail.security {
            Security::None => Ok(Tls::None),
            Security::Tls => tls().map(Tls::Wrapper),
            Security::Unspecified | Security::Starttls => tls().map(Tls::Required),
        };
        let tls = match tls {
            Ok(tls) => tls,
            Err(problem) => return Answer::none(format!("TLS cannot be used with {bare}: {problem}"), Ended::Never),
        };
        // To the address that was looked at; the certificate is the name's.
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(address.port())
            .tls(tls)
            .timeout(Some(LONGEST));
        if let Some((user, password)) = mail.login {
            transport = transport.credentials(Credentials::new(user, password));
        }
        match transport.build().send(mail.message).await {
            Ok(reply) => Answer {
                status: code(reply.code()),
                text: reply.message().collect::<Vec<_>>().join("\n"),
                problem: String::new(),
                ended: Ended::Taken,
            },
            Err(error) => Answer {
                status: error.status().map(code).unwrap_or_default(),
                text: String::new(),
                problem: chain(&error)
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(": "),
                ended: if error.is_permanent() {
                    Ended::Never
                } else {
                    Ended::Later(None)
                },
            },
        }
    }
}

/// A reply code as a number.
fn code(code: lettre::transport::smtp::response::Code) -> u32 {
    code.to_string().parse().unwrap_or_default()
}

fn refusal(refused: &Refused) -> String {
    format!("{refused}; an operator can allow it with notifications.egress_allow")
}

fn of_error(error: &reqwest::Error) -> Answer {
    let chain = chain(error);
    if let Some(refused) = chain.iter().find_map(|error| error.downcast_ref::<Refused>()) {
        return Answer::none(refusal(refused), Ended::Never);
    }
    // The innermost says what happened; the outer ones repeat the address, which may be secret.
    let reason = chain.last().map(ToString::to_string).unwrap_or_default();
    let what = if error.is_connect() {
        "the receiver cannot be reached"
    } else if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_builder() {
        return Answer::none(format!("the request cannot be made: {reason}"), Ended::Never);
    } else {
        "the connection broke off"
    };
    Answer::none(format!("{what}: {reason}"), Ended::Later(None))
}

/// What is sent, for people.
fn shown(outgoing: &Outgoing) -> String {
    match outgoing {
        Outgoing::Nothing => String::new(),
        Outgoing::Post(post) => {
            let mut text = format!("POST {}\n", post.url);
            for (name, value) in &post.headers {
                text.push_str(&format!("{name}: {value}\n"));
            }
            text.push('\n');
            text.push_str(&post.body);
            text
        }
        Outgoing::Mail(mail) => String::from_utf8_lossy(&mail.message.formatted()).into_owned(),
    }
}

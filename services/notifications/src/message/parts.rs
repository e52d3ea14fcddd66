//! What messages are made from, and what comes out.

use lettre::message::Mailbox;
use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::{Channel, Notice};

use crate::credentials::{Missing, Values};
use crate::texts::{BadTemplate, Templates};

/// What is sent over HTTP.
#[derive(Clone)]
pub(crate) struct Post {
    /// Where to.
    pub(crate) url: String,
    /// Beside those of HTTP itself.
    pub(crate) headers: Vec<(String, String)>,
    /// JSON.
    pub(crate) body: String,
}

/// What is sent over SMTP.
#[derive(Clone)]
pub(crate) struct Mail {
    /// The server.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the connection is protected.
    pub(crate) security: nexus_api::notifications::v1::email::Security,
    /// Who logs in, and how.
    pub(crate) login: Option<(String, String)>,
    /// The message.
    pub(crate) message: lettre::Message,
}

/// What is sent.
#[derive(Clone)]
pub(crate) enum Outgoing {
    /// A POST.
    Post(Post),
    /// A mail.
    Mail(Box<Mail>),
    /// Nothing: the channel has no word for such an event.
    Nothing,
}

/// What cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsendable {
    /// A secret is not there; it may come.
    #[error(transparent)]
    Secret(#[from] Missing),
    /// A template fails.
    #[error(transparent)]
    Template(#[from] BadTemplate),
    /// Something in the channel cannot be used.
    #[error("{0}")]
    Channel(String),
}

impl Unsendable {
    /// Whether trying again cannot help.
    pub(crate) fn is_permanent(&self) -> bool {
        !matches!(self, Self::Secret(_))
    }
}

/// What a message is made from.
pub(crate) struct Order<'a> {
    /// The delivery's id.
    pub(crate) id: &'a str,
    /// Where it goes.
    pub(crate) channel: &'a Channel,
    /// What it is about.
    pub(crate) notice: &'a Notice,
    /// What it says.
    pub(crate) templates: &'a Templates,
    /// The secrets that the channel names.
    pub(crate) values: &'a Values,
    /// Now, in microseconds since 1970.
    pub(crate) now: i64,
}

/// The kind of a channel, in one word.
pub(crate) fn kind_name(channel: &Channel) -> &'static str {
    match &channel.kind {
        None => "none",
        Some(Kind::Email(_)) => "email",
        Some(Kind::Slack(_)) => "slack",
        Some(Kind::Teams(_)) => "teams",
        Some(Kind::Discord(_)) => "discord",
        Some(Kind::PagerDuty(_)) => "pager_duty",
        Some(Kind::Webhook(_)) => "webhook",
    }
}

/// An address of mail; nothing when it is none. What holds line breaks is none.
pub(crate) fn mailbox(text: &str) -> Option<Mailbox> {
    let plain = !text.chars().any(char::is_control);
    plain.then(|| text.trim().parse().ok()).flatten()
}

/// A link that people can follow, when the notice has one.
pub(super) fn page(notice: &Notice) -> Option<&str> {
    let url = notice.url.as_str();
    (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
}

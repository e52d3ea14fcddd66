//! Mail: a text part and an HTML part of the same words.

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use nexus_api::notifications::v1::Email;
use nexus_api::notifications::v1::email::Security;
use nexus_expr::text::Medium;

use super::parts::{Mail, Order, Unsendable, mailbox, page};
use crate::credentials::fill;
use crate::texts::{colour, link};

/// Says that no person wrote it, so that nobody's holiday answers it (RFC 3834).
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

pub(super) fn compose(order: &Order<'_>, email: &Email) -> Result<Mail, Unsendable> {
    let said = order.templates.say(order.notice, &link(order.notice), Medium::Plain)?;
    let wrong = |what: &str| Unsendable::Channel(format!("{what} is no address of mail"));
    let from = mailbox(&email.from).ok_or_else(|| wrong("from"))?;
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .subject(&said.subject)
        .message_id(Some(format!("<{}@{}>", order.id, from.email.domain())))
        .header(AutoSubmitted);
    if let Ok(seconds) = u64::try_from(order.now / 1_000_000) {
        builder = builder.date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    }
    for to in &email.to {
        let to: Mailbox = mailbox(to).ok_or_else(|| wrong("to"))?;
        builder = builder.to(to);
    }
    if !email.reply_to.is_empty() {
        builder = builder.reply_to(mailbox(&email.reply_to).ok_or_else(|| wrong("reply_to"))?);
    }
    let html = html(order, &said.subject, &said.body);
    let message = builder.multipart(MultiPart::alternative_plain_html(said.body, html));
    let message = message.map_err(|error| Unsendable::Channel(format!("the mail cannot be written: {error}")))?;
    let login = match email.username.is_empty() {
        true => None,
        false => Some((
            fill(&email.username, order.values)?,
            fill(email.password.trim(), order.values)?,
        )),
    };
    Ok(Mail {
        host: email.host.clone(),
        port: port(email),
        security: email.security(),
        login,
        message,
    })
}

fn port(email: &Email) -> u16 {
    match (u16::try_from(email.port), email.security()) {
        (Ok(port), _) if port > 0 => port,
        (_, Security::Tls) => 465,
        (_, Security::None) => 25,
        (_, Security::Unspecified | Security::Starttls) => 587,
    }
}

/// The words of the text part; nothing in them means anything in HTML.
fn html(order: &Order<'_>, subject: &str, body: &str) -> String {
    let escape = |text: &str| Medium::Html.escape(text);
    let (subject, body) = (escape(subject), escape(body).replace('\n', "<br>\n"));
    let button = page(order.notice).map_or_else(String::new, |url| {
        format!(
            "<p style=\"margin:24px 0 0\"><a href=\"{}\" style=\"background:#1a237e;color:#ffffff;padding:10px 16px;\
             border-radius:4px;text-decoration:none\">Open the execution</a></p>\n",
            escape(url)
        )
    });
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{subject}</title></head>\n\
         <body style=\"margin:0;padding:16px;font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#212121\">\n\
         <div style=\"border-left:4px solid #{:06x};padding:4px 16px\">\n\
         <h1 style=\"font-size:18px;margin:0 0 12px\">{subject}</h1>\n\
         <div style=\"line-height:1.5\">{body}</div>\n{button}</div>\n</body></html>\n",
        colour(order.notice.event())
    )
}

//! From a notice to what is sent to a channel. Pure.

mod chat;
mod email;
mod pager;
mod parts;
mod signature;
mod webhook;

use nexus_api::notifications::v1::channel::Kind;

pub(crate) use parts::{Mail, Order, Outgoing, Post, Unsendable, kind_name, mailbox};

/// Makes what is sent.
pub(crate) fn compose(order: &Order<'_>) -> Result<Outgoing, Unsendable> {
    match &order.channel.kind {
        None => Err(Unsendable::Channel("the channel says no kind of place".to_owned())),
        Some(Kind::Email(email)) => email::compose(order, email).map(|mail| Outgoing::Mail(Box::new(mail))),
        Some(Kind::Slack(slack)) => chat::slack(order, slack).map(Outgoing::Post),
        Some(Kind::Teams(teams)) => chat::teams(order, teams).map(Outgoing::Post),
        Some(Kind::Discord(discord)) => chat::discord(order, discord).map(Outgoing::Post),
        Some(Kind::PagerDuty(duty)) => pager::compose(order, duty),
        Some(Kind::Webhook(hook)) => webhook::compose(order, hook).map(Outgoing::Post),
    }
}

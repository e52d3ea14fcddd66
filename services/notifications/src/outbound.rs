//! One attempt to bring a message to its channel: what the channel is now, its secrets, what is said, and what came of it.

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_api::notifications::v1::{Channel, DeliveryAttempt, Notice, Texts};
use nexus_attempt::Redactor;
use secrecy::ExposeSecret;

use crate::credentials::of_channel;
use crate::message::{Order, Outgoing, compose};
use crate::retry::Ended;
use crate::secrets::Secrets;
use crate::send::{Egress, Sent};
use crate::texts::Templates;

/// What every attempt needs.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) egress: Arc<Egress>,
}

/// What is to be sent.
pub(crate) struct Letter<'a> {
    pub(crate) id: &'a str,
    pub(crate) namespace: &'a Namespace,
    pub(crate) channel: &'a Channel,
    pub(crate) notice: &'a Notice,
    /// Those of the rule.
    pub(crate) texts: Option<&'a Texts>,
}

/// What came of it.
pub(crate) enum Tried {
    /// It was sent, or could not be.
    Sent(Sent),
    /// The channel has no word for it.
    Nothing,
}

impl Outbound {
    /// Sends. `now` is in microseconds since 1970.
    pub(crate) async fn attempt(&self, letter: &Letter<'_>, now: i64) -> Tried {
        let failed = |problem: String, permanent: bool| {
            let ended = if permanent { Ended::Never } else { Ended::Later(None) };
            let attempt = DeliveryAttempt {
                start_time: Some(nexus_api::time::timestamp(now)),
                problem,
                permanent,
                ..DeliveryAttempt::default()
            };
            Tried::Sent(Sent { attempt, ended })
        };
        let templates = match Templates::of(&[letter.texts, letter.channel.texts.as_ref()]) {
            Ok(templates) => templates,
            Err(bad) => return failed(bad.to_string(), true),
        };
        let values = match self.secrets.values(letter.namespace, &of_channel(letter.channel)).await {
            Ok(values) => values,
            Err(away) => return failed(away.to_string(), false),
        };
        let order = Order {
            id: letter.id,
            channel: letter.channel,
            notice: letter.notice,
            templates: &templates,
            values: &values,
            now,
        };
        match compose(&order) {
            Ok(Outgoing::Nothing) => Tried::Nothing,
            Ok(outgoing) => {
                let redactor = Redactor::new(values.values().map(ExposeSecret::expose_secret));
                Tried::Sent(self.egress.send(outgoing, &redactor, now).await)
            }
            Err(problem) => failed(problem.to_string(), problem.is_permanent()),
        }
    }
}

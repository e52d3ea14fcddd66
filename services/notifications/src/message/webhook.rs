//! A CloudEvent in structured JSON, signed as Standard Webhooks says.

use nexus_api::notifications::v1::{Event, Notice, Webhook};
use nexus_expr::text::Medium;
use serde_json::{Value, json};

use super::parts::{Order, Post, Unsendable};
use super::signature;
use crate::credentials::fill;
use crate::texts::link;

/// The type of the event, which says its version too.
fn kind(event: Event) -> &'static str {
    match event {
        Event::Unspecified => "dev.nexus.test.v1",
        Event::Started => "dev.nexus.execution.started.v1",
        Event::Succeeded => "dev.nexus.execution.succeeded.v1",
        Event::Failed => "dev.nexus.execution.failed.v1",
        Event::Cancelled => "dev.nexus.execution.cancelled.v1",
        Event::TimedOut => "dev.nexus.execution.timed_out.v1",
        Event::TaskRetried => "dev.nexus.task.retried.v1",
        Event::TaskFailed => "dev.nexus.task.failed.v1",
        Event::Recovered => "dev.nexus.workflow.recovered.v1",
        Event::RunningLong => "dev.nexus.execution.running_long.v1",
    }
}

fn data(notice: &Notice) -> Result<Value, Unsendable> {
    nexus_api::json::to_json(notice, "nexus.notifications.v1.Notice", true)
        .map_err(|error| Unsendable::Channel(format!("the notice is no JSON: {error}")))
}

pub(super) fn compose(order: &Order<'_>, hook: &Webhook) -> Result<Post, Unsendable> {
    let notice = order.notice;
    let said = order.templates.say(notice, &link(notice), Medium::Plain)?;
    let mut data = data(notice)?;
    data["subject"] = said.subject.into();
    data["text"] = said.body.into();
    let event = json!({
        "specversion": "1.0",
        "id": order.id,
        "source": format!("/namespaces/{}/workflows/{}", notice.namespace, notice.workflow),
        "type": kind(notice.event()),
        "subject": notice.execution,
        "time": notice.time.as_ref().map(|time| time.to_string()),
        "datacontenttype": "application/json",
        "data": data,
    });
    let body = event.to_string();
    let seconds = order.now / 1_000_000;
    let mut headers = vec![
        (
            "content-type".to_owned(),
            "application/cloudevents+json; charset=utf-8".to_owned(),
        ),
        ("webhook-id".to_owned(), order.id.to_owned()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
    ];
    let secrets = hook
        .signing_secrets
        .iter()
        .map(|secret| fill(secret.trim(), order.values));
    let secrets: Vec<String> = secrets.collect::<Result<_, _>>()?;
    if !secrets.is_empty() {
        let signed = signature::header(&secrets, order.id, seconds, &body);
        let signed = signed.map_err(|error| Unsendable::Channel(format!("signing_secrets: {error}")))?;
        headers.push(("webhook-signature".to_owned(), signed));
    }
    for (name, value) in &hook.headers {
        headers.push((name.to_ascii_lowercase(), fill(value, order.values)?));
    }
    Ok(Post {
        url: fill(hook.url.trim(), order.values)?,
        headers,
        body,
    })
}

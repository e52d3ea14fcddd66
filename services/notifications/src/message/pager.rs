//! PagerDuty, by its Events API v2.

use nexus_api::notifications::v1::{Event, PagerDuty};
use nexus_expr::text::Medium;
use serde_json::json;

use super::parts::{Order, Outgoing, Post, Unsendable, page};
use crate::credentials::fill;
use crate::facts::event_name;
use crate::texts::{cut, link};

/// Where events go.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

pub(super) fn compose(order: &Order<'_>, duty: &PagerDuty) -> Result<Outgoing, Unsendable> {
    let notice = order.notice;
    let action = match notice.event() {
        Event::Failed | Event::TimedOut | Event::TaskFailed | Event::RunningLong => "trigger",
        Event::Succeeded | Event::Recovered => "resolve",
        _ => return Ok(Outgoing::Nothing),
    };
    let said = order.templates.say(notice, &link(notice), Medium::Plain)?;
    // One incident for each workflow: what ends it is that it works again.
    let mut event = json!({
        "routing_key": fill(duty.routing_key.trim(), order.values)?,
        "event_action": action,
        "dedup_key": cut(&format!("nexus/{}/{}", notice.namespace, notice.workflow), 250),
        "client": "NEXUS",
    });
    if action == "trigger" {
        let severity = if duty.severity.is_empty() {
            "error"
        } else {
            &duty.severity
        };
        event["payload"] = json!({
            "summary": cut(&said.subject, 1_000),
            "source": format!("{}/{}", notice.namespace, notice.workflow),
            "severity": severity,
            "timestamp": notice.time.as_ref().map(|time| time.to_string()),
            "component": notice.task,
            "group": notice.workflow,
            "class": event_name(notice.event()),
            "custom_details": {"text": cut(&said.body, 8_000), "execution": notice.execution, "labels": notice.labels},
        });
        if let Some(url) = page(notice) {
            event["links"] = json!([{"href": url, "text": "The execution"}]);
        }
    }
    let url = if duty.url.is_empty() { URL } else { &duty.url };
    Ok(Outgoing::Post(Post {
        url: url.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: event.to_string(),
    }))
}

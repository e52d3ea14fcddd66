//! Sends a sample to a channel.

use nexus_api::common::v1::Failure;
use nexus_api::error::ApiError;
use nexus_api::execution::v1::execution;
use nexus_api::notifications::v1::{Channel, Event, Notice, TestChannelRequest, TestChannelResponse};
use nexus_api::time::timestamp;
use tonic::Status;

use super::{Call, Context, get};
use crate::error::fields;
use crate::objects::Object;
use crate::outbound::{Letter, Tried};

pub(crate) async fn test(
    context: &Context,
    call: &Call,
    request: TestChannelRequest,
) -> Result<TestChannelResponse, Status> {
    let channel: Channel = match (request.name.as_str(), request.channel) {
        ("", Some(channel)) => {
            let name = if channel.name.is_empty() {
                "test".to_owned()
            } else {
                channel.name.clone()
            };
            let channel = channel.bare(&name);
            fields(&channel.check())?;
            channel
        }
        ("", None) => return Err(ApiError::field("channel", "must be said, or the name of one that is kept").into()),
        (_, Some(_)) => return Err(ApiError::field("channel", "must not be said with a name").into()),
        (name, None) => get::get(context, call, name).await?,
    };
    let now = (context.clock)();
    let id = format!("msg_test_{}", uuid::Uuid::new_v4().simple());
    let notice = sample(call.namespace.as_str(), context.public_url.as_deref(), now);
    let letter = Letter {
        id: &id,
        namespace: &call.namespace,
        channel: &channel,
        notice: &notice,
        texts: None,
    };
    let attempt = match context.outbound.attempt(&letter, now).await {
        Tried::Sent(sent) => sent.attempt,
        Tried::Nothing => Default::default(),
    };
    Ok(TestChannelResponse { attempt: Some(attempt) })
}

/// A failure that never was, and says so.
fn sample(namespace: &str, public_url: Option<&str>, now: i64) -> Notice {
    Notice {
        event: Event::Failed.into(),
        time: Some(timestamp(now)),
        namespace: namespace.to_owned(),
        execution: "00000000-0000-7000-8000-000000000000".to_owned(),
        workflow: "sample".to_owned(),
        revision: 1,
        labels: [("sample".to_owned(), "true".to_owned())].into(),
        state: execution::State::Failed.into(),
        error: Some(Failure {
            r#type: "Sample".to_owned(),
            message: "this is a test of the channel; nothing has failed".to_owned(),
            ..Failure::default()
        }),
        start_time: Some(timestamp(now - 1_500_000)),
        finish_time: Some(timestamp(now)),
        url: public_url.map(str::to_owned).unwrap_or_default(),
        count: 1,
        ..Notice::default()
    }
}

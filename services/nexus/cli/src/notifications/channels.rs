//! `nexus channels`.

use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::{
    Channel, CreateChannelRequest, DeleteChannelRequest, DeliveryAttempt, GetChannelRequest, ListChannelsRequest,
    TestChannelRequest, UpdateChannelRequest,
};
use nexus_cli_frame::{CliError, Exit, Output, Page, Target, output, table, time};

use super::client::{Client, facts, from_file};
use super::form;
use crate::args::{ChannelArgs, Channels};

const CHANNEL: &str = "nexus.notifications.v1.Channel";

pub(crate) async fn run(command: Channels, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut client = Client::new(target, output)?;
    match command {
        Channels::List { page } => list(page, &mut client).await?,
        Channels::Get { channel } => {
            let answer = client.service.get_channel(GetChannelRequest { channel }).await;
            show(&client.answer(answer)?.channel.unwrap_or_default(), output)?;
        }
        Channels::Create(args) => {
            let request = CreateChannelRequest {
                channel: Some(wanted(&args)?),
                request_id: uuid::Uuid::new_v4().to_string(),
            };
            let answer = client.service.create_channel(request).await;
            told(&client.answer(answer)?.channel.unwrap_or_default(), "created", output)?;
        }
        Channels::Update(args) => {
            let channel = wanted(&args)?;
            let request = UpdateChannelRequest {
                name: channel.name.clone(),
                etag: channel.etag.clone(),
                channel: Some(channel),
            };
            let answer = client.service.update_channel(request).await;
            told(&client.answer(answer)?.channel.unwrap_or_default(), "changed", output)?;
        }
        Channels::Delete { channel } => {
            let request = DeleteChannelRequest {
                channel: channel.clone(),
                etag: String::new(),
            };
            let answer = client.service.delete_channel(request).await;
            client.answer(answer)?;
            eprintln!("deleted {channel}");
        }
        Channels::Test { channel, file } => {
            let request = TestChannelRequest {
                name: channel.unwrap_or_default(),
                channel: file.as_deref().map(|path| from_file(path, CHANNEL)).transpose()?,
            };
            let answer = client.service.test_channel(request).await;
            let attempt = client.answer(answer)?.attempt.unwrap_or_default();
            return tested(&attempt, output);
        }
    }
    Ok(Exit::Ok)
}

fn wanted(args: &ChannelArgs) -> Result<Channel, CliError> {
    let Some(file) = &args.file else {
        return form::channel(args);
    };
    let mut channel: Channel = from_file(file, CHANNEL)?;
    if let Some(name) = &args.channel {
        channel.name.clone_from(name);
    }
    Ok(channel)
}

/// The kind, and where it goes.
fn place(channel: &Channel) -> (&'static str, String) {
    match &channel.kind {
        None => ("", String::new()),
        Some(Kind::Email(email)) => ("email", email.to.join(", ")),
        Some(Kind::Slack(slack)) => ("slack", slack.url.clone()),
        Some(Kind::Teams(teams)) => ("teams", teams.url.clone()),
        Some(Kind::Discord(discord)) => ("discord", discord.url.clone()),
        Some(Kind::PagerDuty(duty)) => ("pager_duty", duty.routing_key.clone()),
        Some(Kind::Webhook(hook)) => ("webhook", hook.url.clone()),
    }
}

async fn list(page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = ListChannelsRequest {
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.service.list_channels(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("channels", &list.channels, CHANNEL, &list.next_page_token)?;
        return client.output.value(&page);
    }
    let now = time::now_micros();
    let row = |channel: &Channel| {
        let (kind, place) = place(channel);
        let state = if channel.disabled { "disabled" } else { "" };
        vec![
            channel.name.clone(),
            kind.to_owned(),
            table::cut(&place, 50),
            time::ago(channel.update_time.as_ref(), now),
            state.to_owned(),
            table::cut(&channel.description, 40),
        ]
    };
    let rows: Vec<Vec<String>> = list.channels.iter().map(row).collect();
    let heads = ["CHANNEL", "KIND", "TO", "UPDATED", "STATE", "DESCRIPTION"];
    client.output.raw(&table::render(&heads, &rows))?;
    output::more(&list.next_page_token);
    Ok(())
}

fn show(channel: &Channel, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(channel, CHANNEL);
    }
    let (kind, place) = place(channel);
    let limit = channel.rate_limit.as_ref().map(|limit| {
        let period = limit.period.as_ref().map_or(0, nexus_api::time::duration_micros);
        format!("{} in {}", limit.messages, time::span(period))
    });
    facts(
        output,
        &[
            ("channel", channel.name.clone()),
            ("namespace", channel.namespace.clone()),
            ("kind", kind.to_owned()),
            ("to", place),
            ("rate limit", limit.unwrap_or_default()),
            (
                "disabled",
                if channel.disabled {
                    "yes".to_owned()
                } else {
                    String::new()
                },
            ),
            ("description", channel.description.clone()),
            ("created", time::point(channel.create_time.as_ref())),
            ("creator", channel.creator.clone()),
            ("updated", time::point(channel.update_time.as_ref())),
            ("updater", channel.updater.clone()),
        ],
    )
}

fn told(channel: &Channel, done: &str, output: &Output) -> Result<(), CliError> {
    match output.is_table() {
        true => output.line(&format!("{done} {}", channel.name)),
        false => output.message(channel, CHANNEL),
    }
}

/// What the receiver said; an error when it did not take it.
fn tested(attempt: &DeliveryAttempt, output: &Output) -> Result<Exit, CliError> {
    if !output.is_table() {
        output.message(attempt, "nexus.notifications.v1.DeliveryAttempt")?;
    } else {
        let took = attempt.duration.as_ref().map_or(0, nexus_api::time::duration_micros);
        let state = if attempt.delivered {
            "delivered"
        } else {
            "not delivered"
        };
        let status = if attempt.status == 0 {
            String::new()
        } else {
            attempt.status.to_string()
        };
        facts(
            output,
            &[
                ("result", format!("{state} after {}", time::span(took))),
                ("status", status),
                ("problem", attempt.problem.clone()),
                ("answer", table::cut(attempt.response.trim(), 500)),
            ],
        )?;
    }
    Ok(if attempt.delivered { Exit::Ok } else { Exit::Error })
}

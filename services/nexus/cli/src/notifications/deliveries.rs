//! `nexus deliveries`.

use nexus_api::notifications::v1::delivery::{State, Suppression};
use nexus_api::notifications::v1::{Delivery, GetDeliveryRequest, ListDeliveriesRequest, RedeliverDeliveryRequest};
use nexus_cli_frame::{CliError, Exit, Output, Target, output, table, time};

use super::client::{Client, facts};
use crate::args::Deliveries;

const DELIVERY: &str = "nexus.notifications.v1.Delivery";

pub(crate) async fn run(command: Deliveries, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut client = Client::new(target, output)?;
    match command {
        Deliveries::List {
            state,
            channel,
            rule,
            execution,
            page,
        } => {
            let request = ListDeliveriesRequest {
                page_size: page.limit,
                page_token: page.page_token,
                state: state.as_deref().map(read_state).transpose()?.unwrap_or_default(),
                channel: channel.unwrap_or_default(),
                rule: rule.unwrap_or_default(),
                execution: execution.unwrap_or_default(),
            };
            list(request, &mut client).await?;
        }
        Deliveries::Get { delivery } => {
            let answer = client.service.get_delivery(GetDeliveryRequest { delivery }).await;
            show(&client.answer(answer)?.delivery.unwrap_or_default(), output)?;
        }
        Deliveries::Redeliver { delivery } => {
            let answer = client
                .service
                .redeliver_delivery(RedeliverDeliveryRequest { delivery })
                .await;
            let delivery = client.answer(answer)?.delivery.unwrap_or_default();
            match output.is_table() {
                true => output.line(&format!("{} is {}", delivery.id, delivery.state().as_str_name()))?,
                false => output.message(&delivery, DELIVERY)?,
            }
        }
    }
    Ok(Exit::Ok)
}

fn read_state(text: &str) -> Result<i32, CliError> {
    let known = State::from_str_name(&text.to_ascii_uppercase()).filter(|state| *state != State::Unspecified);
    let wrong = || {
        CliError::Usage(format!(
            "there is no state `{text}`; there are PENDING, SENDING, DELIVERED, RETRYING, DEAD, SUPPRESSED"
        ))
    };
    known.map(i32::from).ok_or_else(wrong)
}

/// The state, and why it is suppressed.
fn state(delivery: &Delivery) -> String {
    match delivery.suppression() {
        Suppression::Unspecified => delivery.state().as_str_name().to_owned(),
        why => format!(
            "{} ({})",
            delivery.state().as_str_name(),
            why.as_str_name().to_ascii_lowercase()
        ),
    }
}

async fn list(request: ListDeliveriesRequest, client: &mut Client<'_>) -> Result<(), CliError> {
    let answer = client.service.list_deliveries(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("deliveries", &list.deliveries, DELIVERY, &list.next_page_token)?;
        return client.output.value(&page);
    }
    let now = time::now_micros();
    let row = |delivery: &Delivery| {
        let notice = delivery.notice.clone().unwrap_or_default();
        vec![
            delivery.id.clone(),
            state(delivery),
            notice.event().as_str_name().to_ascii_lowercase(),
            notice.workflow,
            delivery.rule.clone(),
            delivery.channel.clone(),
            delivery.attempt_count.to_string(),
            time::ago(delivery.create_time.as_ref(), now),
            table::cut(&delivery.problem, 50),
        ]
    };
    let rows: Vec<Vec<String>> = list.deliveries.iter().map(row).collect();
    let heads = [
        "DELIVERY", "STATE", "EVENT", "WORKFLOW", "RULE", "CHANNEL", "TRIES", "AGE", "PROBLEM",
    ];
    client.output.raw(&table::render(&heads, &rows))?;
    output::more(&list.next_page_token);
    Ok(())
}

fn show(delivery: &Delivery, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(delivery, DELIVERY);
    }
    let notice = delivery.notice.clone().unwrap_or_default();
    let count = if notice.count > 1 {
        notice.count.to_string()
    } else {
        String::new()
    };
    facts(
        output,
        &[
            ("delivery", delivery.id.clone()),
            ("state", state(delivery)),
            ("grouped into", delivery.grouped_into.clone()),
            ("event", notice.event().as_str_name().to_ascii_lowercase()),
            ("events", count),
            ("workflow", notice.workflow),
            ("execution", notice.execution),
            ("task", notice.task),
            ("rule", delivery.rule.clone()),
            ("channel", delivery.channel.clone()),
            ("created", time::point(delivery.create_time.as_ref())),
            ("next attempt", time::point(delivery.next_attempt_time.as_ref())),
            ("finished", time::point(delivery.finish_time.as_ref())),
            ("problem", delivery.problem.clone()),
        ],
    )?;
    for attempt in &delivery.attempts {
        let result = if attempt.delivered { "delivered" } else { "failed" };
        let at = time::point(attempt.start_time.as_ref());
        output.line(&format!(
            "\nattempt {} at {at}: {result} {} {}",
            attempt.number, attempt.status, attempt.problem
        ))?;
        for (title, text) in [("sent", &attempt.request), ("answered", &attempt.response)] {
            if !text.trim().is_empty() {
                output.line(&format!("{title}:\n{}", indented(text)))?;
            }
        }
    }
    Ok(())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

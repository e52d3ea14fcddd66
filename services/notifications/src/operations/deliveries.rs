//! Lists messages, and describes one.

use nexus_api::notifications::v1::{Delivery, ListDeliveriesRequest, ListDeliveriesResponse, delivery};
use nexus_api::time::timestamp;
use nexus_service::page;
use tonic::Status;

use super::{Call, Context};
use crate::error::{delivery_not_found, storage};
use crate::store::{DeliveryRow, Filter};

/// A message in the contract's words.
pub(crate) fn described(row: DeliveryRow) -> Delivery {
    let mut notice = row.notice;
    notice.count = u32::try_from(row.group_size).unwrap_or(u32::MAX).max(1);
    let open = row.finished_at == 0;
    Delivery {
        id: row.id,
        namespace: row.namespace,
        rule: row.rule,
        channel: row.channel,
        state: row.state.into(),
        suppression: row.suppression.into(),
        grouped_into: row.grouped_into,
        notice: Some(notice),
        attempt_count: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        next_attempt_time: (open && row.state != delivery::State::Sending).then(|| timestamp(row.due_at)),
        problem: row.problem,
        create_time: Some(timestamp(row.created_at)),
        finish_time: (!open).then(|| timestamp(row.finished_at)),
        attempts: Vec::new(),
    }
}

pub(crate) async fn list(
    context: &Context,
    call: &Call,
    request: ListDeliveriesRequest,
) -> Result<ListDeliveriesResponse, Status> {
    let size = page::size(request.page_size)?;
    let said = |text: String| (!text.is_empty()).then_some(text);
    let state = i64::from(request.state);
    let filter = Filter {
        state: (state != 0).then_some(state),
        channel: said(request.channel),
        rule: said(request.rule),
        execution: said(request.execution),
    };
    let query = format!("deliveries|{}|{filter:?}", call.namespace);
    let before = page::key(&query, &request.page_token)?;
    let before = before.as_deref().and_then(|key| key.split_once('/'));
    let before = before.and_then(|(at, id)| Some((at.parse::<i64>().ok()?, id)));
    let rows = context
        .store
        .deliveries(&call.namespace, &filter, before, size + 1)
        .await;
    let mut rows = rows.map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        let token = |last: &DeliveryRow| page::token(&query, &format!("{}/{}", last.created_at, last.id));
        next_page_token = rows.last().map(token).unwrap_or_default();
    }
    Ok(ListDeliveriesResponse {
        deliveries: rows.into_iter().map(described).collect(),
        next_page_token,
    })
}

pub(crate) async fn get(context: &Context, call: &Call, id: &str) -> Result<Delivery, Status> {
    let row = context.store.delivery(&call.namespace, id).await.map_err(storage)?;
    let row = row.ok_or_else(|| delivery_not_found(id))?;
    let attempts = context.store.attempts(id).await.map_err(storage)?;
    Ok(Delivery {
        attempts,
        ..described(row)
    })
}

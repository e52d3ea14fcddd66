//! Lists workflows by name.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{ListWorkflowsRequest, ListWorkflowsResponse};
use nexus_api::error::ApiError;
use nexus_service::page;
use nexus_storage::filter::{self, Field, Operator};
use tonic::Status;

use crate::Context;
use crate::convert;
use crate::error::storage;
use crate::store::ListFilter;

const FIELDS: &[Field] = &[
    ("name", &[Operator::Equal, Operator::Contains]),
    ("labels", &[Operator::Equal]),
];

pub(crate) async fn list(context: &Context, request: ListWorkflowsRequest) -> Result<ListWorkflowsResponse, Status> {
    let size = page::size(request.page_size)?;
    let terms = filter::parse(&request.filter, FIELDS).map_err(|error| {
        ApiError::new(ErrorReason::InvalidFilter, error.to_string()).violation("filter", error.to_string())
    })?;
    let mut wanted = ListFilter::default();
    for term in terms {
        match (term.field.as_str(), term.operator) {
            ("labels", _) => wanted.labels.push((term.key, term.value)),
            (_, Operator::Contains) => wanted.name_part = Some(term.value),
            _ => wanted.name = Some(term.value),
        }
    }
    let query = context.namespace.qualify("workflows|").into_owned() + &request.filter;
    let after = page::key(&query, &request.page_token)?.unwrap_or_default();
    let store = &context.store;
    let mut rows = store
        .list(&context.namespace, &wanted, &after, size + 1)
        .await
        .map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, &last.name))
            .unwrap_or_default();
    }
    Ok(ListWorkflowsResponse {
        workflows: rows.into_iter().map(convert::workflow).collect(),
        next_page_token,
    })
}

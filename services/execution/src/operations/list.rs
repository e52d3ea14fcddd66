//! Lists executions, newest first.

use nexus_api::error::ApiError;
use nexus_api::execution::v1::{ListExecutionsRequest, ListExecutionsResponse, execution};
use nexus_api::{ErrorReason, Namespace};
use nexus_execution_store::{ExecutionId, ListFilter, codec};
use nexus_service::page;
use nexus_storage::filter::{self, Field, Operator, Term};
use tonic::Status;

use super::get;
use crate::Context;
use crate::convert;
use crate::error::status;

const FIELDS: &[Field] = &[
    ("workflow", &[Operator::Equal]),
    ("state", &[Operator::Equal]),
    ("labels", &[Operator::Equal]),
    ("create_time", &[Operator::Before, Operator::After]),
];

pub(crate) async fn list(
    context: &Context,
    namespace: &Namespace,
    request: ListExecutionsRequest,
) -> Result<ListExecutionsResponse, Status> {
    let size = page::size(request.page_size)?;
    let wanted = ListFilter {
        namespace: namespace.clone(),
        ..read_filter(&request.filter)?
    };
    let query = namespace.qualify("executions|").into_owned() + &request.filter;
    let before: Option<ExecutionId> = page::key_as(&query, &request.page_token)?;
    let mut rows = context.reads.list(&wanted, before, size + 1).await.map_err(status)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, &last.id.to_string()))
            .unwrap_or_default();
    }
    let mut executions: Vec<_> = rows.iter().map(convert::execution).collect();
    get::count(context, &rows, &mut executions).await?;
    Ok(ListExecutionsResponse {
        executions,
        next_page_token,
    })
}

fn read_filter(text: &str) -> Result<ListFilter, Status> {
    let invalid = |problem: String| -> Status {
        ApiError::new(ErrorReason::InvalidFilter, problem.clone())
            .violation("filter", problem)
            .into()
    };
    let terms = filter::parse(text, FIELDS).map_err(|error| invalid(error.to_string()))?;
    let mut wanted = ListFilter::default();
    for Term {
        field,
        key,
        operator,
        value,
    } in terms
    {
        match field.as_str() {
            "workflow" => wanted.workflow = Some(value),
            "labels" => wanted.labels.push((key, value)),
            "state" => {
                let state = execution::State::from_str_name(&value.to_uppercase())
                    .filter(|state| *state != execution::State::Unspecified)
                    .ok_or_else(|| invalid(format!("filter: {value:?} is not a state of an execution")))?;
                wanted.state = Some(codec::execution_state(i64::from(i32::from(state))).map_err(status)?);
            }
            _ => {
                let at = nexus_api::time::parse(&value).ok_or_else(|| {
                    invalid(format!(
                        "filter: {value:?} is not a time; write it like \"2026-01-31T12:00:00Z\""
                    ))
                })?;
                match operator {
                    Operator::After => wanted.created_after = Some(at),
                    _ => wanted.created_before = Some(at),
                }
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_engine::ExecutionState;

    #[test]
    fn filters_are_read_or_refused_with_a_reason() {
        let wanted = read_filter(r#"workflow = etl AND state = failed AND labels.team = "data""#).expect("filter");
        assert_eq!(wanted.workflow.as_deref(), Some("etl"));
        assert_eq!(wanted.state, Some(ExecutionState::Failed));
        assert_eq!(wanted.labels, [("team".to_owned(), "data".to_owned())]);
        let timed = read_filter(r#"create_time > "2026-01-01T00:00:00Z""#).expect("filter");
        assert_eq!(timed.created_after, Some(1_767_225_600_000_000));
        for wrong in ["state = BROKEN", "create_time > yesterday", "nope = 1"] {
            let refused = read_filter(wrong).expect_err(wrong);
            assert_eq!(
                nexus_api::error::reason_of(&refused),
                Some(ErrorReason::InvalidFilter),
                "{wrong}"
            );
        }
    }
}

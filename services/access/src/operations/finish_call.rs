//! Notes how a call ended that its caller gave a name.

use nexus_api::access::v1::{FinishCallRequest, FinishCallResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use super::begin_call::{digest, owner};
use crate::Context;
use crate::error::{About, about};

/// Bytes of an answer at most.
const MAX_ANSWER: usize = 1 << 20;

pub(crate) async fn finish(context: &Context, request: FinishCallRequest) -> Result<FinishCallResponse, Status> {
    digest("key", &request.key)?;
    owner(&request.owner)?;
    if request.answer.len() > MAX_ANSWER {
        return Err(ApiError::field("answer", format!("has more than {MAX_ANSWER} bytes")).into());
    }
    let answer = (!request.answer.is_empty()).then_some(request.answer.as_slice());
    let noted = context.store.finish_call(&request.key, &request.owner, answer).await;
    noted.map_err(about(About::Call))?;
    Ok(FinishCallResponse {})
}

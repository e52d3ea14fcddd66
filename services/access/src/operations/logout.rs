//! Ends the session whose token the caller shows.

use nexus_api::access::v1::LogoutResponse;
use tonic::Status;

use crate::Context;
use crate::caller::Caller;
use crate::error::storage;

pub(crate) async fn logout(context: &Context, caller: &Caller) -> Result<LogoutResponse, Status> {
    if let Some(session) = caller.session() {
        let ended = context
            .telling("session", session)
            .end_session(session, (context.clock)())
            .await;
        ended.map_err(storage)?;
    }
    Ok(LogoutResponse {})
}

//! Makes a reader known.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::feed::v1::register_reader_request::Start;
use nexus_api::feed::v1::{RegisterReaderRequest, RegisterReaderResponse};
use nexus_api::time::duration_micros;
use nexus_execution_store::feed::{NewReader, READERS, Registered};
use tonic::Status;

use super::{find, name, shown};
use crate::Context;
use crate::error::status;

/// Between these a reader says after how much silence it is forgotten. What is kept at most is shorter as a rule, so a reader
/// that says more would come back to nothing.
const SHORTEST_SILENCE: i64 = 60_000_000;
const LONGEST_SILENCE: i64 = 7 * 24 * 3_600_000_000;

pub(crate) async fn register(
    context: &Context,
    request: RegisterReaderRequest,
) -> Result<RegisterReaderResponse, Status> {
    let name = name(&request.reader)?;
    let forget_after = match &request.forget_after {
        None => 0,
        Some(silence) => match duration_micros(silence) {
            silence @ SHORTEST_SILENCE..=LONGEST_SILENCE => silence,
            _ => return Err(ApiError::field("forget_after", "must be from 1 minute to 7 days").into()),
        },
    };
    let reader = NewReader {
        name,
        from_beginning: request.start() == Start::Beginning,
        forget_after,
    };
    let now = (context.clock)();
    match context.feed.register(reader, now).await.map_err(status)? {
        Registered::TooMany => {
            let message = format!("there are {READERS} readers already; delete one that is not needed any more");
            Err(ApiError::new(ErrorReason::TooManyReaders, message).into())
        }
        Registered::Incomplete => {
            let message = "replicas of an older version are at work, which tell the feed nothing; register once the \
                           upgrade is over";
            let error = ApiError::new(ErrorReason::FeedIncomplete, message);
            Err(error.retry_after(Duration::from_secs(10)).into())
        }
        registered @ (Registered::Created | Registered::Known) => Ok(RegisterReaderResponse {
            reader: Some(shown(find(context, name).await?, now)),
            created: registered == Registered::Created,
        }),
    }
}

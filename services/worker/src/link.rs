//! The way to the server: a registration and a stream.

use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::{
    DeregisterWorkerRequest, PollTasksRequest, ReceivedLeases, RegisterWorkerRequest, RegisterWorkerResponse,
    StreamTasksRequest, StreamTasksResponse, stream_tasks_request,
};
use nexus_mesh::Transport;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::options::Options;

/// The generated client over whatever way there is.
pub(crate) type Client = WorkerServiceClient<Transport>;

/// Messages that wait to be sent.
const OUTBOX: usize = 64;
/// How long a registration may take: a replica that is frozen must not keep the worker until its leases are over.
const REGISTER_LIMIT: Duration = Duration::from_secs(4);
const CALL_LIMIT: Duration = Duration::from_secs(10);
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// Which session to go on with; the default is a new one.
#[derive(Default)]
pub(crate) struct Resumption {
    pub(crate) session: String,
    /// Grows with each call for this session.
    pub(crate) number: u64,
    /// Tokens of the leases that have come so far, unless they are too many.
    pub(crate) received: Option<Vec<String>>,
}

/// An open session with its stream.
pub(crate) struct Link {
    pub(crate) session: RegisterWorkerResponse,
    /// When the stream was asked for: what comes over it was sent after that.
    pub(crate) asked: Instant,
    pub(crate) incoming: Streaming<StreamTasksResponse>,
    outgoing: mpsc::Sender<StreamTasksRequest>,
}

impl Link {
    /// Registers and opens the stream with the slots that are free.
    pub(crate) async fn open(
        client: &Client,
        options: &Options,
        free: usize,
        resumption: Resumption,
    ) -> Result<Self, Status> {
        let late = |_| Status::deadline_exceeded("the server did not answer in time");
        let register = RegisterWorkerRequest {
            name: options.name.clone(),
            queues: options.queues.clone(),
            slots: options.slots,
            labels: options.labels.clone(),
            runtime: concat!("nexus/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            resume_session: resumption.session,
            resume_number: resumption.number,
            received: resumption.received.map(|tokens| ReceivedLeases { tokens }),
        };
        // A session may be with any replica; what belongs to it must stay with that one.
        let mut register = tonic::Request::new(register);
        register.extensions_mut().insert(nexus_mesh::transport::Fresh);
        let session = timeout(REGISTER_LIMIT, client.clone().register_worker(register))
            .await
            .map_err(late)??
            .into_inner();
        check_namespace(&session, &options.namespace)?;
        let (outgoing, messages) = mpsc::channel(OUTBOX);
        let ready = PollTasksRequest {
            session: session.session.clone(),
            max_tasks: u32::try_from(free).unwrap_or(u32::MAX),
            wait: None,
        };
        let ready = StreamTasksRequest {
            message: Some(stream_tasks_request::Message::Ready(ready)),
        };
        let _just_made = outgoing.send(ready).await;
        let mut client = client.clone();
        let asked = Instant::now();
        let incoming = timeout(CALL_LIMIT, client.stream_tasks(ReceiverStream::new(messages)))
            .await
            .map_err(late)??
            .into_inner();
        Ok(Self {
            session,
            asked,
            incoming,
            outgoing,
        })
    }

    /// Sends a message; false when the stream is broken or stuck.
    pub(crate) async fn send(&self, message: stream_tasks_request::Message) -> bool {
        let message = StreamTasksRequest { message: Some(message) };
        matches!(timeout(SEND_LIMIT, self.outgoing.send(message)).await, Ok(Ok(())))
    }

    /// Ends the session, saying which leases have come.
    pub(crate) async fn close(self, client: &Client, received: Option<Vec<String>>) {
        let request = DeregisterWorkerRequest {
            session: self.session.session,
            received: received.map(|tokens| ReceivedLeases { tokens }),
        };
        match timeout(Duration::from_secs(2), client.clone().deregister_worker(request)).await {
            Ok(Ok(_)) => tracing::info!("the worker has deregistered"),
            // The server notices by itself: the stream breaks.
            Ok(Err(status)) => tracing::debug!(error = %status.message(), "deregistering failed"),
            Err(_) => tracing::debug!("deregistering took too long"),
        }
    }
}

/// A server of before namespaces opens every session in `default`, and would hand out that one's tasks. The session that was
/// opened holds nothing, and ends by itself.
fn check_namespace(session: &RegisterWorkerResponse, own: &Namespace) -> Result<(), Status> {
    if Namespace::of_field(&session.namespace).as_ref() == Ok(own) {
        return Ok(());
    }
    let problem =
        format!("the server knows no namespaces, so it cannot serve the workers of {own}; it has to be upgraded");
    Err(Status::failed_precondition(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_of_its_own_namespace_is_one() {
        let session = |namespace: &str| RegisterWorkerResponse {
            namespace: namespace.to_owned(),
            ..RegisterWorkerResponse::default()
        };
        let team: Namespace = "team-a".parse().expect("a namespace");
        assert!(check_namespace(&session("team-a"), &team).is_ok());
        for other in ["", "default", "team-b"] {
            assert!(check_namespace(&session(other), &team).is_err(), "{other}");
        }
        for own in ["", "default"] {
            assert!(check_namespace(&session(own), &Namespace::default()).is_ok(), "{own}");
        }
    }
}

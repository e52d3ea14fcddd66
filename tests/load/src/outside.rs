//! A worker outside of the server, as small as one can be: it takes tasks of its queue from a stream, notes when each
//! arrived, and reports success at once.

use std::time::{Duration, Instant};

use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::{
    HeartbeatTasksRequest, LeasedTask, PollTasksRequest, RegisterWorkerRequest, ReportTasksRequest, StreamTasksRequest,
    StreamTasksResponse, Succeeded, TaskReport, stream_tasks_request, stream_tasks_response, task_report,
};
use nexus_mesh::transport;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::error::{BenchError, broken};
use crate::workflows::OUTSIDE_QUEUE;

/// Tasks that it takes at a time.
const SLOTS: u32 = 16;
const HEARTBEAT: Duration = Duration::from_secs(3);

/// The execution of a task and when the task's lease arrived.
pub(crate) type Arrival = (String, Instant);

/// A running worker; gone when dropped.
pub(crate) struct OutsideWorker {
    task: JoinHandle<()>,
    /// A lease after the other, as they arrive.
    pub(crate) arrivals: mpsc::UnboundedReceiver<Arrival>,
}

impl OutsideWorker {
    /// Starts one, with a session at one of the replicas.
    pub(crate) async fn start(addresses: &str) -> Result<Self, BenchError> {
        let options = transport::ClientOptions::default();
        let transport = transport::connect_one(addresses, &options).map_err(|error| broken(error.to_string()))?;
        let mut client = WorkerServiceClient::new(transport);
        let register = RegisterWorkerRequest {
            name: "bench".into(),
            queues: vec![OUTSIDE_QUEUE.into()],
            slots: SLOTS,
            ..RegisterWorkerRequest::default()
        };
        let session = client.register_worker(register).await?.into_inner().session;
        let (outgoing, messages) = mpsc::channel(64);
        let (witness, arrivals) = mpsc::unbounded_channel();
        let worker = Loop {
            session,
            outgoing,
            witness,
        };
        worker.ready(SLOTS).await?;
        let incoming = client.stream_tasks(ReceiverStream::new(messages)).await?.into_inner();
        let task = tokio::spawn(async move {
            if let Err(error) = worker.serve(incoming).await {
                eprintln!("the outside worker: {error}");
            }
        });
        Ok(Self { task, arrivals })
    }

    /// When the first task of an execution arrived.
    pub(crate) async fn arrival_of(&mut self, execution: &str) -> Result<Instant, BenchError> {
        while let Some((of, at)) = self.arrivals.recv().await {
            if of == execution {
                return Ok(at);
            }
        }
        Err(broken("the outside worker has ended"))
    }
}

impl Drop for OutsideWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Loop {
    session: String,
    outgoing: mpsc::Sender<StreamTasksRequest>,
    witness: mpsc::UnboundedSender<Arrival>,
}

impl Loop {
    async fn serve(self, mut incoming: Streaming<StreamTasksResponse>) -> Result<(), BenchError> {
        use stream_tasks_response::Message;
        let mut beat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = incoming.message() => match message? {
                    Some(StreamTasksResponse { message: Some(Message::Tasks(tasks)) }) => self.take(tasks.tasks).await?,
                    Some(StreamTasksResponse { message: Some(Message::ReportResults(results)) }) => {
                        self.take(results.tasks).await?;
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
                _ = beat.tick() => {
                    let request = HeartbeatTasksRequest { session: self.session.clone(), ..HeartbeatTasksRequest::default() };
                    self.send(stream_tasks_request::Message::Heartbeat(request)).await?;
                }
            }
        }
    }

    async fn take(&self, tasks: Vec<LeasedTask>) -> Result<(), BenchError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let at = Instant::now();
        let free_slots = u32::try_from(tasks.len()).unwrap_or(SLOTS);
        let reports = tasks.into_iter().map(|task| {
            let _nobody_asks = self.witness.send((task.execution, at));
            TaskReport {
                token: task.token,
                outcome: Some(task_report::Outcome::Succeeded(Succeeded { output: "null".into() })),
            }
        });
        let request = ReportTasksRequest {
            session: self.session.clone(),
            reports: reports.collect(),
            free_slots,
        };
        self.send(stream_tasks_request::Message::Report(request)).await
    }

    async fn ready(&self, slots: u32) -> Result<(), BenchError> {
        let request = PollTasksRequest {
            session: self.session.clone(),
            max_tasks: slots,
            wait: None,
        };
        self.send(stream_tasks_request::Message::Ready(request)).await
    }

    async fn send(&self, message: stream_tasks_request::Message) -> Result<(), BenchError> {
        let message = StreamTasksRequest { message: Some(message) };
        let sent = self.outgoing.send(message).await;
        sent.map_err(|_| broken("the stream is closed"))
    }
}

//! A scripted server: what the worker says comes out as one ordered list of events, and the test answers by hand.
#![allow(dead_code, unreachable_pub)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use nexus_api::worker::v1::*;
use nexus_tasks::SecretStore;
use nexus_worker::{Options, Worker};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

pub type Outbox = mpsc::Sender<Result<StreamTasksResponse, Status>>;

#[derive(Debug)]
pub enum Event {
    Registered(RegisterWorkerRequest),
    Opened(Outbox),
    Said(stream_tasks_request::Message),
    Logs(AppendTaskLogsRequest),
    Deregistered,
}

/// Secrets that the server keeps.
#[derive(Default)]
pub struct FakeVault {
    /// How often it fails before it answers.
    pub failures: usize,
    /// What it answers with then, if not with values.
    pub refusal: Option<tonic::Code>,
    /// What it was asked for.
    pub asked: Vec<ResolveTaskSecretsRequest>,
}

struct Fake {
    events: mpsc::UnboundedSender<Event>,
    sessions: AtomicUsize,
    log_failures: Arc<AtomicUsize>,
    vault: Arc<Mutex<FakeVault>>,
    says_farewell: Arc<AtomicBool>,
    lease: Duration,
}

impl Fake {
    fn tell(&self, event: Event) {
        self.events.send(event).expect("the test listens");
    }
}

#[tonic::async_trait]
impl WorkerService for Fake {
    type StreamTasksStream = ReceiverStream<Result<StreamTasksResponse, Status>>;

    async fn register_worker(
        &self,
        request: Request<RegisterWorkerRequest>,
    ) -> Result<Response<RegisterWorkerResponse>, Status> {
        let number = self.sessions.fetch_add(1, Ordering::SeqCst) + 1;
        self.tell(Event::Registered(request.into_inner()));
        let micros = |span: Duration| nexus_api::time::duration(i64::try_from(span.as_micros()).expect("micros"));
        Ok(Response::new(RegisterWorkerResponse {
            session: format!("session-{number}"),
            heartbeat_interval: Some(micros(self.lease / 4)),
            lease_duration: Some(micros(self.lease)),
            max_output_bytes: 1 << 20,
            max_log_bytes: 10 << 20,
            namespace: String::new(),
        }))
    }

    async fn poll_tasks(&self, _: Request<PollTasksRequest>) -> Result<Response<PollTasksResponse>, Status> {
        Err(Status::unimplemented("the worker streams"))
    }

    async fn stream_tasks(
        &self,
        request: Request<Streaming<StreamTasksRequest>>,
    ) -> Result<Response<Self::StreamTasksStream>, Status> {
        let (outbox, messages) = mpsc::channel(16);
        // Weak, so that the test alone decides when the stream ends.
        let answers = outbox.downgrade();
        self.tell(Event::Opened(outbox));
        let (events, says_farewell) = (self.events.clone(), Arc::clone(&self.says_farewell));
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if let Some(message) = message.message {
                    let leaves = matches!(&message, stream_tasks_request::Message::Heartbeat(beat) if beat.leaving);
                    if let Some(outbox) = answers.upgrade()
                        && leaves
                        && says_farewell.load(Ordering::SeqCst)
                    {
                        let _over = outbox.send(farewell()).await;
                    }
                    let _over = events.send(Event::Said(message));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn report_tasks(&self, _: Request<ReportTasksRequest>) -> Result<Response<ReportTasksResponse>, Status> {
        Err(Status::unimplemented("the worker reports over the stream"))
    }

    async fn heartbeat_tasks(
        &self,
        _: Request<HeartbeatTasksRequest>,
    ) -> Result<Response<HeartbeatTasksResponse>, Status> {
        Err(Status::unimplemented("the worker's heart beats over the stream"))
    }

    async fn append_task_logs(
        &self,
        request: Request<AppendTaskLogsRequest>,
    ) -> Result<Response<AppendTaskLogsResponse>, Status> {
        if self
            .log_failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            return Err(Status::unavailable("not now"));
        }
        self.tell(Event::Logs(request.into_inner()));
        Ok(Response::new(AppendTaskLogsResponse {}))
    }

    async fn resolve_task_secrets(
        &self,
        request: Request<ResolveTaskSecretsRequest>,
    ) -> Result<Response<ResolveTaskSecretsResponse>, Status> {
        let mut vault = self.vault.lock().expect("no panic");
        let request = request.into_inner();
        let names: Vec<String> = request.names.clone();
        vault.asked.push(request);
        if vault.failures > 0 {
            vault.failures -= 1;
            return Err(Status::unavailable("not now"));
        }
        if let Some(code) = vault.refusal {
            return Err(Status::new(code, "not you"));
        }
        let kept = names.into_iter().filter(|name| name.starts_with("kept"));
        let secrets = kept.map(|name| TaskSecret {
            value: format!("{name}-value"),
            name,
        });
        Ok(Response::new(ResolveTaskSecretsResponse {
            secrets: secrets.collect(),
        }))
    }

    async fn deregister_worker(
        &self,
        _: Request<DeregisterWorkerRequest>,
    ) -> Result<Response<DeregisterWorkerResponse>, Status> {
        self.tell(Event::Deregistered);
        Ok(Response::new(DeregisterWorkerResponse {}))
    }
}

/// A worker and its scripted server.
pub struct Stage {
    pub shutdown: CancellationToken,
    pub log_failures: Arc<AtomicUsize>,
    pub vault: Arc<Mutex<FakeVault>>,
    /// Whether a worker that leaves is answered by itself; true at first.
    pub says_farewell: Arc<AtomicBool>,
    pub worker: JoinHandle<()>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Stage {
    pub async fn new(slots: u32, lease: Duration, grace: Duration) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let log_failures = Arc::new(AtomicUsize::new(0));
        let vault = Arc::new(Mutex::new(FakeVault::default()));
        let says_farewell = Arc::new(AtomicBool::new(true));
        let fake = Fake {
            events: sender,
            sessions: AtomicUsize::new(0),
            log_failures: Arc::clone(&log_failures),
            vault: Arc::clone(&vault),
            says_farewell: Arc::clone(&says_farewell),
            lease,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(WorkerServiceServer::new(fake))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let mut tasks = nexus_tasks::Options::new(nexus_tasks::Supervisor::this_program());
        tasks.kill_grace = Duration::from_millis(200);
        let env = [("NEXUS_SECRET_KEY".to_owned(), "hunter2secret".to_owned())];
        tasks.secrets = Arc::new(SecretStore::new(env, None));
        let mut options = Options::new("probe", tasks);
        options.slots = slots;
        options.drain_grace = grace;
        let transport = nexus_mesh::transport::connect(&address).expect("address");
        let shutdown = CancellationToken::new();
        let worker = Worker::new(options, WorkerServiceClient::new(transport))
            .run(nexus_supervise::Background::new(shutdown.clone()));
        Self {
            shutdown,
            log_failures,
            vault,
            says_farewell,
            worker: tokio::spawn(worker),
            events,
        }
    }

    /// The next event; heartbeats are left out.
    pub async fn event(&mut self) -> Event {
        loop {
            match self.any_event().await {
                Event::Said(stream_tasks_request::Message::Heartbeat(_)) => {}
                event => return event,
            }
        }
    }

    pub async fn any_event(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(20), self.events.recv())
            .await
            .expect("an event in time")
            .expect("event")
    }

    /// The stream of the next session, and the slots that it began with.
    pub async fn open(&mut self) -> (Outbox, u32) {
        let Event::Registered(request) = self.event().await else {
            panic!("a registration comes first")
        };
        assert_eq!(request.name, "probe");
        let mut outbox = None;
        loop {
            match self.event().await {
                Event::Opened(opened) => outbox = Some(opened),
                Event::Said(stream_tasks_request::Message::Ready(ready)) => {
                    return (outbox.expect("a stream"), ready.max_tasks);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message must be a report.
    pub async fn report(&mut self) -> ReportTasksRequest {
        match self.event().await {
            Event::Said(stream_tasks_request::Message::Report(report)) => report,
            other => panic!("{other:?}"),
        }
    }

    pub async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(20), self.worker)
            .await
            .expect("the worker ends")
            .expect("no panic");
    }
}

pub fn leased(token: &str, kind: &str, input: Value) -> LeasedTask {
    LeasedTask {
        token: token.into(),
        execution: "execution".into(),
        task: "probe".into(),
        attempt: 1,
        kind: kind.into(),
        input: input.to_string(),
        timeout: Some(nexus_api::time::duration(60_000_000)),
        ..LeasedTask::default()
    }
}

pub fn sleeper(token: &str) -> LeasedTask {
    leased(
        token,
        "python",
        json!({"code": "import time\ndef main():\n    time.sleep(600)"}),
    )
}

pub fn tasks(tasks: Vec<LeasedTask>) -> Result<StreamTasksResponse, Status> {
    let message = stream_tasks_response::Message::Tasks(PollTasksResponse { tasks, drain: false });
    Ok(StreamTasksResponse { message: Some(message) })
}

pub fn accepted(report: &ReportTasksRequest, tasks: Vec<LeasedTask>) -> Result<StreamTasksResponse, Status> {
    let results = report
        .reports
        .iter()
        .map(|report| ReportResult {
            token: report.token.clone(),
            status: report_result::Status::Accepted.into(),
            message: String::new(),
        })
        .collect();
    let message = stream_tasks_response::Message::ReportResults(ReportTasksResponse { results, tasks });
    Ok(StreamTasksResponse { message: Some(message) })
}

/// The answer to a worker that leaves.
pub fn farewell() -> Result<StreamTasksResponse, Status> {
    let message = stream_tasks_response::Message::Heartbeat(HeartbeatTasksResponse {
        leaving: true,
        ..HeartbeatTasksResponse::default()
    });
    Ok(StreamTasksResponse { message: Some(message) })
}

pub fn directive(token: &str, action: directive::Action) -> Result<StreamTasksResponse, Status> {
    let directives = vec![Directive {
        token: token.into(),
        action: action.into(),
        ..Directive::default()
    }];
    let message = stream_tasks_response::Message::Heartbeat(HeartbeatTasksResponse {
        directives,
        ..HeartbeatTasksResponse::default()
    });
    Ok(StreamTasksResponse { message: Some(message) })
}

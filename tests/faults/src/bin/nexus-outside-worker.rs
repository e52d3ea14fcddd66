//! A worker outside of NEXUS that speaks the protocol by hand, so that it can be frozen and killed in the middle of a
//! task. It takes one task at a time from the queue `outside`, tells the witness when it begins and ends, works for
//! as long as the task's input says, and writes what became of its report into the ledger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_api::worker::v1::{
    Directive, HeartbeatTasksRequest, LeasedTask, PollTasksRequest, RegisterWorkerRequest, ReportTasksRequest,
    StreamTasksRequest, Succeeded, TaskReport, directive, report_result, stream_tasks_request, stream_tasks_response,
    task_report,
};
use nexus_mesh::transport::ClientOptions;
use nexus_mesh::{Transport, transport};
use nexus_verify::ledger::{Call, Ledger, Stage, Subject};
use nexus_verify::witness::tell;
use tonic::{Code, Status};

/// How old the server's word on a lease may be when its task begins; a lease lasts 20 s.
const SURE: Duration = Duration::from_secs(10);

/// A worker that can be frozen and killed
#[derive(Debug, Parser)]
struct Args {
    /// Names this process to the witness
    #[arg(long)]
    life: String,
    /// How it gets tasks: `poll` or `stream`
    #[arg(long)]
    mode: String,
    /// Address of NEXUS; several replicas with commas between them
    #[arg(long)]
    server: String,
    /// Address of the witness
    #[arg(long)]
    witness: SocketAddr,
    /// The ledger
    #[arg(long)]
    ledger: PathBuf,
    /// Number of its first call in the ledger
    #[arg(long)]
    first_op: u64,
}

struct Worker {
    args: Args,
    ledger: Ledger,
    client: WorkerServiceClient<Transport>,
    session: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let ledger = Ledger::open(&args.ledger, args.first_op)?;
    let way = if args.server.contains(',') {
        transport::connect_one(&args.server, &ClientOptions::default())?
    } else {
        transport::connect(&args.server)?
    };
    let client = WorkerServiceClient::new(way);
    let mut worker = Worker {
        args,
        ledger,
        client,
        session: String::new(),
    };
    loop {
        if let Err(status) = worker.session().await {
            eprintln!("{}: {}: {}", worker.args.life, status.code(), status.message());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Worker {
    /// Registers and works until the session breaks.
    async fn session(&mut self) -> Result<(), Status> {
        let request = RegisterWorkerRequest {
            name: self.args.life.clone(),
            queues: vec!["outside".into()],
            slots: 1,
            runtime: "nexus-outside-worker".into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..RegisterWorkerRequest::default()
        };
        self.session = self.client.register_worker(request).await?.into_inner().session;
        if self.args.mode == "stream" {
            self.stream().await
        } else {
            self.poll().await
        }
    }

    async fn poll(&mut self) -> Result<(), Status> {
        loop {
            let request = PollTasksRequest {
                session: self.session.clone(),
                max_tasks: 1,
                wait: Some(nexus_api::time::duration(2_000_000)),
            };
            for task in self.client.poll_tasks(request).await?.into_inner().tasks {
                self.work(task).await?;
            }
        }
    }

    /// Gets tasks over a stream and reports them with single calls: what is tested is that the stream's end is noticed.
    async fn stream(&mut self) -> Result<(), Status> {
        let (outgoing, messages) = tokio::sync::mpsc::channel(8);
        let ready = |max_tasks| StreamTasksRequest {
            message: Some(stream_tasks_request::Message::Ready(PollTasksRequest {
                session: self.session.clone(),
                max_tasks,
                wait: None,
            })),
        };
        let (first, next) = (ready(1), ready(1));
        let gone = |_| Status::unavailable("the stream is over");
        outgoing.send(first).await.map_err(gone)?;
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        let mut incoming = self.client.stream_tasks(messages).await?.into_inner();
        while let Some(message) = incoming.message().await? {
            if let Some(stream_tasks_response::Message::Tasks(tasks)) = message.message {
                for task in tasks.tasks {
                    self.work(task).await?;
                    outgoing.send(next.clone()).await.map_err(gone)?;
                }
            }
        }
        Err(Status::unavailable("the stream is over"))
    }

    /// Runs one task, with heartbeats, and reports it.
    async fn work(&mut self, task: LeasedTask) -> Result<(), Status> {
        let failed = |error: std::io::Error| Status::internal(error.to_string());
        let me = format!(
            "{} {} {} {} {}",
            task.execution,
            task.task,
            task.attempt,
            self.args.life,
            std::process::id()
        );
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        if !self.is_mine(&task.token).await {
            return Ok(());
        }
        tell(self.args.witness, &format!("begin {me} token={}", task.token)).map_err(failed)?;
        let input: serde_json::Value = serde_json::from_str(&task.input).unwrap_or_default();
        let work = Duration::from_millis(input["output"]["work_ms"].as_u64().unwrap_or(100));
        self.beat_for(work, &task.token).await;
        tell(
            self.args.witness,
            &format!("end {me} ok nonce={nonce} token={}", task.token),
        )
        .map_err(failed)?;
        let subject = Subject {
            execution: task.execution.clone(),
            task: task.task.clone(),
            attempt: i64::from(task.attempt),
            ..Subject::default()
        };
        let op = self.ledger.invoke(Call::Report, &subject).map_err(failed)?;
        let outcome = Succeeded {
            output: serde_json::json!({"nonce": nonce}).to_string(),
        };
        let request = ReportTasksRequest {
            session: self.session.clone(),
            reports: vec![TaskReport {
                token: task.token,
                outcome: Some(task_report::Outcome::Succeeded(outcome)),
            }],
            free_slots: 0,
        };
        let answer = self.insist(request).await;
        let value = match &answer {
            Ok(report_result::Status::Accepted) => "accepted".to_owned(),
            Ok(report_result::Status::Stale) => "stale".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(status) => status.message().to_owned(),
        };
        let stage = if answer.is_ok() { Stage::Ok } else { Stage::Info };
        self.ledger
            .answer(op, stage, Call::Report, &subject, &value)
            .map_err(failed)?;
        answer.map(drop)
    }

    /// Reports until there is an answer: a report that is repeated is harmless.
    async fn insist(&mut self, request: ReportTasksRequest) -> Result<report_result::Status, Status> {
        for _ in 0..50 {
            match self.client.report_tasks(request.clone()).await {
                Ok(answer) => {
                    let results = answer.into_inner().results;
                    return Ok(results
                        .first()
                        .map_or(report_result::Status::Unspecified, |result| result.status()));
                }
                // The session is closed, and with it every lease that it had.
                Err(status) if status.code() == Code::NotFound || status.code() == Code::FailedPrecondition => {
                    eprintln!("{}: {}", self.args.life, status.message());
                    return Ok(report_result::Status::Stale);
                }
                Err(status) => eprintln!("{}: {}; again", self.args.life, status.message()),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Status::unavailable("no answer to a report"))
    }

    /// Whether a lease goes on, asked right before its task begins: it may have lain in the socket of a frozen process.
    async fn is_mine(&mut self, token: &str) -> bool {
        loop {
            let asked = tokio::time::Instant::now();
            let request = HeartbeatTasksRequest {
                session: self.session.clone(),
                tokens: vec![token.to_owned()],
                ..HeartbeatTasksRequest::default()
            };
            let Ok(answer) = self.client.heartbeat_tasks(request).await else {
                return false;
            };
            let directives = answer.into_inner().directives;
            if directives.first().map(Directive::action) != Some(directive::Action::Continue) {
                return false;
            }
            // An answer may lie in the socket as well.
            if asked.elapsed() < SURE {
                return true;
            }
        }
    }

    /// Works for a while; heartbeats go out every second, and an unanswered one changes nothing.
    async fn beat_for(&mut self, work: Duration, token: &str) {
        let until = tokio::time::Instant::now() + work;
        while tokio::time::Instant::now() < until {
            let request = HeartbeatTasksRequest {
                session: self.session.clone(),
                tokens: vec![token.to_owned()],
                ..HeartbeatTasksRequest::default()
            };
            let _unheard = self.client.heartbeat_tasks(request).await;
            let next = tokio::time::Instant::now() + Duration::from_secs(1);
            tokio::time::sleep_until(next.min(until)).await;
        }
    }
}

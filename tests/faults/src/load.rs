//! The load: clients that start executions, cancel some, wait for all, and never give a key up before it is answered.
//! Every call goes into the ledger before it is made and when it is answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::definitions::v1::{ApplyWorkflowRequest, GetWorkflowRequest};
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{
    CancelExecutionRequest, Execution, ListExecutionsRequest, StartExecutionRequest, WaitExecutionRequest,
};
use nexus_mesh::{Transport, transport};
use nexus_verify::ledger::{Call, Ledger, Stage, Subject};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

use crate::workflows::Workflow;
use crate::{Chance, DEADLINE};

/// Longest time that a client waits for an answer.
const CALL: Duration = Duration::from_secs(5);
/// How long an execution runs before it is cancelled.
const BEFORE_CANCEL: Duration = Duration::from_millis(300);

/// What clients start.
pub type Mix = &'static [Workflow];

/// Clients of one `nexus dev`.
#[derive(Clone)]
pub struct Load {
    transport: Transport,
    definitions: Transport,
    ledger: Arc<Ledger>,
    witness: String,
    /// A page that tasks may fetch; empty where there is none.
    pub web: String,
    ending: Arc<AtomicBool>,
    keys: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    /// Starts that were refused and are asked for until they are answered and have ended.
    owed: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// Errors by code and reason, as clients saw them.
    errors: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Load")
    }
}

impl Load {
    /// Clients of a server.
    ///
    /// # Panics
    /// When the ledger cannot be opened.
    #[must_use]
    pub fn new(server: &str, witness: String, ledger: &Path) -> Self {
        Self::numbered(server, witness, ledger, 0)
    }

    /// Clients whose keys and calls are numbered from a range of their own.
    ///
    /// # Panics
    /// When the ledger cannot be opened.
    #[must_use]
    pub fn numbered(server: &str, witness: String, ledger: &Path, number: u64) -> Self {
        let way = transport::connect(server).expect("address");
        Self::over(way.clone(), way, witness, ledger, number)
    }

    /// Clients over ways of their own to the execution and the definitions service.
    ///
    /// # Panics
    /// When the ledger cannot be opened.
    #[must_use]
    pub fn over(transport: Transport, definitions: Transport, witness: String, ledger: &Path, number: u64) -> Self {
        let first = 1_000_000_000 * number + 1;
        Self {
            transport,
            definitions,
            web: String::new(),
            ledger: Arc::new(Ledger::open(ledger, first).expect("ledger")),
            witness,
            ending: Arc::default(),
            keys: Arc::new(AtomicU64::new(first)),
            ended: Arc::default(),
            owed: Arc::default(),
            errors: Arc::default(),
        }
    }

    /// A client of the execution service.
    #[must_use]
    pub fn executions(&self) -> ExecutionServiceClient<Transport> {
        ExecutionServiceClient::new(self.transport.clone()).max_decoding_message_size(64 << 20)
    }

    /// Errors that clients saw, by code and reason.
    ///
    /// # Panics
    /// When a client panicked.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().expect("errors").clone()
    }

    /// How many executions clients have seen end.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Applies workflows, however often it takes.
    ///
    /// # Panics
    /// When one is refused, or time runs out.
    pub async fn apply(&self, mix: &[Workflow]) {
        for workflow in mix {
            let deadline = Instant::now() + DEADLINE;
            while let Err(status) = self.try_apply(workflow).await {
                assert!(
                    !is_definite(&status) && Instant::now() < deadline,
                    "{} is refused: {status:?}",
                    workflow.name
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Asks once to apply a workflow.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn try_apply(&self, workflow: &Workflow) -> Result<(), Status> {
        let request = ApplyWorkflowRequest {
            source: workflow.source(),
            ..ApplyWorkflowRequest::default()
        };
        let mut client = DefinitionsServiceClient::new(self.definitions.clone());
        client.apply_workflow(limited(request, CALL)).await.map(drop)
    }

    /// Newest revisions of workflows.
    ///
    /// # Panics
    /// When one does not exist.
    pub async fn revisions(&self, mix: &[Workflow]) -> Vec<u32> {
        let mut revisions = Vec::new();
        for workflow in mix {
            let request = GetWorkflowRequest {
                workflow: workflow.name.to_owned(),
            };
            let mut client = DefinitionsServiceClient::new(self.definitions.clone());
            let answer = client.get_workflow(limited(request, CALL)).await.expect("a workflow");
            revisions.push(answer.into_inner().workflow.unwrap_or_default().latest_revision);
        }
        revisions
    }

    /// Lets clients work until [`Load::end`], once at least: each starts an execution, cancels it if it is one of those, waits for its
    /// end and begins again.
    #[must_use]
    pub fn run(&self, clients: u64, mix: Mix, seed: u64) -> Vec<JoinHandle<()>> {
        let client = |number: u64| {
            let load = self.clone();
            let mut chance = Chance::new(seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
            tokio::spawn(async move {
                // The first round takes each workflow once over all clients, the others what comes.
                let mut next = usize::try_from(number).unwrap_or(0) % mix.len();
                loop {
                    load.one(&mix[next]).await;
                    next = usize::try_from(chance.below(mix.len() as u64)).unwrap_or(0);
                    if load.ending.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        };
        (0..clients).map(client).collect()
    }

    /// Lets clients finish what they have begun, and no more.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Lets clients work again after [`Load::end`].
    pub fn go_on(&self) {
        self.ending.store(false, Ordering::Relaxed);
    }

    /// One execution in a shard from its start to its end; how long after a moment its start was answered.
    ///
    /// # Panics
    /// When time runs out.
    pub async fn started_after(&self, workflow: &Workflow, shard: u8, moment: Instant) -> Duration {
        let mut request = self.fresh_start(workflow);
        // Which shard a key leads to is part of the contract with databases that are there: FNV-1a, its last byte.
        let leads = |key: &str| {
            let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            hash.to_le_bytes()[0] % 64 == shard
        };
        let base = request.request_id.clone();
        let keys = (0_u32..).map(|number| format!("{base}-{number}"));
        request.request_id = keys.into_iter().find(|key| leads(key)).unwrap_or(base);
        let deadline = Instant::now() + DEADLINE;
        let id = loop {
            match self.ask_to_start(&request).await {
                Ok(id) => break id,
                Err(status) => assert!(Instant::now() < deadline, "shard {shard}: {status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let took = moment.elapsed();
        self.wait(&id).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        took
    }

    /// Lets clients finish, and waits until they and whatever else is owed have.
    ///
    /// # Panics
    /// When one of them panicked.
    pub async fn settle(&self, clients: Vec<JoinHandle<()>>) {
        self.end();
        let owed = std::mem::take(&mut *self.owed.lock().expect("owed"));
        for client in clients.into_iter().chain(owed) {
            client.await.expect("a client");
        }
    }

    /// One execution from its start to its end.
    pub async fn one(&self, workflow: &Workflow) -> Execution {
        let id = self.start(workflow).await;
        if workflow.cancelled {
            tokio::time::sleep(BEFORE_CANCEL).await;
            self.cancel(&id).await;
        }
        let execution = self.wait(&id).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        execution
    }

    /// Starts an execution under a fresh key, asking until there is an answer.
    ///
    /// # Panics
    /// When the start is refused, or time runs out.
    pub async fn start(&self, workflow: &Workflow) -> String {
        let request = self.fresh_start(workflow);
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.ask_to_start(&request).await {
                Ok(id) => return id,
                Err(status) => assert!(
                    Instant::now() < deadline,
                    "{} is not started: {status:?}",
                    workflow.name
                ),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks once for a start under a fresh key; when it is refused the key is asked for until it is answered, in the
    /// background.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn try_start(&self, workflow: &Workflow) -> Result<String, Status> {
        let request = self.fresh_start(workflow);
        let asked = self.ask_to_start(&request).await;
        if asked.is_err() {
            let load = self.clone();
            let owed = tokio::spawn(async move {
                let id = loop {
                    match load.ask_to_start(&request).await {
                        Ok(id) => break id,
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                };
                load.wait(&id).await;
            });
            self.owed.lock().expect("owed").push(owed);
        }
        asked
    }

    fn fresh_start(&self, workflow: &Workflow) -> StartExecutionRequest {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        StartExecutionRequest {
            workflow: workflow.name.to_owned(),
            params: serde_json::json!({"witness": self.witness, "web": self.web}).to_string(),
            request_id: format!("key-{number}"),
            ..StartExecutionRequest::default()
        }
    }

    /// One call of a start, with its lines in the ledger.
    async fn ask_to_start(&self, request: &StartExecutionRequest) -> Result<String, Status> {
        let mut subject = Subject {
            request_id: request.request_id.clone(),
            ..Subject::default()
        };
        let op = self.ledger.invoke(Call::Start, &subject).expect("ledger");
        match self.executions().start_execution(limited(request.clone(), CALL)).await {
            Ok(answer) => {
                subject.execution = answer.into_inner().execution.unwrap_or_default().id;
                self.answer(op, Stage::Ok, Call::Start, &subject, "");
                Ok(subject.execution)
            }
            Err(status) => {
                self.failed(op, Call::Start, &subject, &status);
                Err(status)
            }
        }
    }

    /// Cancels an execution, asking until there is an answer.
    ///
    /// # Panics
    /// When time runs out.
    pub async fn cancel(&self, id: &str) {
        let subject = Subject {
            execution: id.to_owned(),
            ..Subject::default()
        };
        let request = CancelExecutionRequest {
            execution: id.to_owned(),
            reason: "the load says so".into(),
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let op = self.ledger.invoke(Call::Cancel, &subject).expect("ledger");
            match self.executions().cancel_execution(limited(request.clone(), CALL)).await {
                Ok(_) => return self.answer(op, Stage::Ok, Call::Cancel, &subject, ""),
                Err(status) => {
                    self.failed(op, Call::Cancel, &subject, &status);
                    assert!(Instant::now() < deadline, "{id} is not cancelled: {status:?}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an execution is terminal.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn wait(&self, id: &str) -> Execution {
        let request = WaitExecutionRequest {
            execution: id.to_owned(),
            timeout: Some(nexus_api::time::duration(2_000_000)),
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.executions().wait_execution(limited(request.clone(), CALL)).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    let execution = answer.execution.unwrap_or_default();
                    if answer.done {
                        return execution;
                    }
                    assert!(Instant::now() < deadline, "it does not end: {execution:?}");
                }
                Err(status) => {
                    self.note(&status);
                    assert!(Instant::now() < deadline, "{id} is not told of: {status:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Whether the server answers a question.
    pub async fn answers(&self) -> bool {
        let request = ListExecutionsRequest::default();
        self.executions().list_executions(limited(request, CALL)).await.is_ok()
    }

    fn answer(&self, op: u64, stage: Stage, call: Call, subject: &Subject, value: &str) {
        self.ledger.answer(op, stage, call, subject, value).expect("ledger");
    }

    fn failed(&self, op: u64, call: Call, subject: &Subject, status: &Status) {
        let stage = if is_definite(status) { Stage::Fail } else { Stage::Info };
        let value = format!("{:?}: {}", status.code(), status.message());
        self.answer(op, stage, call, subject, &value);
        self.note(status);
    }

    fn note(&self, status: &Status) {
        let reason = tonic_types_reason(status);
        // No server said it: the connection broke.
        let broken = reason == "-" && std::error::Error::source(status).is_some();
        let reason = if broken { "BROKEN_CONNECTION" } else { &reason };
        let key = format!("{:?} {reason}", status.code());
        *self.errors.lock().expect("errors").entry(key).or_default() += 1;
    }
}

/// The stable reason of an error, where the server gave one.
fn tonic_types_reason(status: &Status) -> String {
    use tonic_types::StatusExt;
    status
        .get_details_error_info()
        .map_or_else(|| "-".to_owned(), |info| info.reason)
}

fn limited<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// Whether an error says that nothing was done.
fn is_definite(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::ResourceExhausted
    )
}

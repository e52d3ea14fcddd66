//! A small server over real sockets, and certificates made on the spot.

#![allow(dead_code, reason = "each test uses a part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nexus_mesh::Transport;
use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Ending, Listener, ServerOptions};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// A server that answers for its health and counts the calls of a service of its own.
pub struct Server {
    pub address: SocketAddr,
    pub ending: Ending,
    pub readiness: Readiness,
    pub calls: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(options: ServerOptions) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("address"), options).await
    }

    pub async fn start_at(address: SocketAddr, options: ServerOptions) -> Self {
        Self::with(address, options, |routes, calls| {
            routes.add_service(nexus_api::worker::v1::worker_service_server::WorkerServiceServer::new(
                Worker(calls),
            ));
        })
        .await
    }

    /// With services of the test's own.
    pub async fn with(
        address: SocketAddr,
        options: ServerOptions,
        add: impl FnOnce(&mut tonic::service::RoutesBuilder, Arc<AtomicUsize>),
    ) -> Self {
        let listener = Listener::bind(address).await.expect("port");
        let address = listener.address();
        let ending = Ending::default();
        let readiness = Readiness::default();
        let calls = Arc::new(AtomicUsize::new(0));
        let mut routes = Routes::builder();
        add(&mut routes, Arc::clone(&calls));
        let health = readiness.service(ending.serving.clone());
        let serving = ending.clone();
        let serving = tokio::spawn(async move {
            listener
                .serve_with(&options, routes, None, health, serving)
                .await
                .expect("served");
        });
        Self {
            address,
            ending,
            readiness,
            calls,
            serving,
        }
    }

    pub fn count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Dies: connections are cut.
    pub async fn kill(self) {
        self.ending.accepting.cancel();
        self.ending.serving.cancel();
        self.serving.abort();
        let _aborted = self.serving.await;
    }
}

/// Counts heartbeats; everything else is not there.
pub struct Worker(pub Arc<AtomicUsize>);

use nexus_api::worker::v1 as api;

#[tonic::async_trait]
impl api::worker_service_server::WorkerService for Worker {
    type StreamTasksStream = tokio_stream::Empty<Result<api::StreamTasksResponse, Status>>;

    async fn register_worker(
        &self,
        _: Request<api::RegisterWorkerRequest>,
    ) -> Result<Response<api::RegisterWorkerResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(api::RegisterWorkerResponse::default()))
    }

    async fn poll_tasks(&self, _: Request<api::PollTasksRequest>) -> Result<Response<api::PollTasksResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn stream_tasks(
        &self,
        _: Request<tonic::Streaming<api::StreamTasksRequest>>,
    ) -> Result<Response<Self::StreamTasksStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn report_tasks(
        &self,
        _: Request<api::ReportTasksRequest>,
    ) -> Result<Response<api::ReportTasksResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn heartbeat_tasks(
        &self,
        _: Request<api::HeartbeatTasksRequest>,
    ) -> Result<Response<api::HeartbeatTasksResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(api::HeartbeatTasksResponse::default()))
    }

    async fn append_task_logs(
        &self,
        _: Request<api::AppendTaskLogsRequest>,
    ) -> Result<Response<api::AppendTaskLogsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn resolve_task_secrets(
        &self,
        _: Request<api::ResolveTaskSecretsRequest>,
    ) -> Result<Response<api::ResolveTaskSecretsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn deregister_worker(
        &self,
        _: Request<api::DeregisterWorkerRequest>,
    ) -> Result<Response<api::DeregisterWorkerResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

pub type Client = api::worker_service_client::WorkerServiceClient<Transport>;

pub async fn beat(client: &Client) -> Result<(), Status> {
    client
        .clone()
        .heartbeat_tasks(api::HeartbeatTasksRequest::default())
        .await
        .map(|_| ())
}

/// Asks for the health of the whole process.
pub async fn health(transport: Transport) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(transport).check(request).await?;
    Ok(HealthCheckResponse::status(answer.get_ref()))
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An authority that signs certificates, in a folder.
pub struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    folder: PathBuf,
    pub ca: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("key");
        let certificate = params.self_signed(&key).expect("certificate");
        let ca = folder.join(format!("{name}.pem"));
        std::fs::write(&ca, certificate.pem()).expect("written");
        Self {
            issuer: rcgen::Issuer::new(params, key),
            folder: folder.to_owned(),
            ca,
        }
    }

    /// A certificate and its key for a name, as files.
    pub fn sign(&self, file: &str, name: &str) -> (PathBuf, PathBuf) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("params");
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = rcgen::KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let paths = (
            self.folder.join(format!("{file}.crt")),
            self.folder.join(format!("{file}.key")),
        );
        std::fs::write(&paths.0, certificate.pem()).expect("written");
        std::fs::write(&paths.1, key.serialize_pem()).expect("written");
        paths
    }
}

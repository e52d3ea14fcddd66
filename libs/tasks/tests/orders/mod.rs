//! A gRPC service for tests, described by a proto file and served over a real socket: what it answers is told by the
//! request's `item`.
#![allow(dead_code, unreachable_pub)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::{FutureExt, Stream, StreamExt, stream};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

const PROTO: &str = r#"
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "common.proto";
service Orders {
  rpc Place(Order) returns (Placed);
  rpc Get(Order) returns (Placed) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Put(Order) returns (Placed) { option idempotency_level = IDEMPOTENT; }
  rpc Watch(Order) returns (stream Placed);
  rpc Mute(Order) returns (Placed);
  rpc Upload(stream Order) returns (Placed);
}
message Order {
  string item = 1;
  int64 count = 2;
  bytes blob = 3;
  google.protobuf.Timestamp at = 4;
  map<string, int32> sizes = 5;
}
message Placed {
  string item = 1;
  int64 number = 2;
  bool paid = 3;
  google.protobuf.Timestamp at = 4;
  Money price = 5;
  repeated Money refunds = 6;
}
"#;
const COMMON: &str = r#"
syntax = "proto3";
package shop.v1;
message Money { string currency = 1; double amount = 2; }
"#;

/// The compiled contract, with everything that it imports.
pub fn descriptor_set() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("orders.proto"), PROTO).expect("write");
    std::fs::write(folder.path().join("common.proto"), COMMON).expect("write");
    let set = protox::compile(["orders.proto"], [folder.path()]).expect("compiles");
    set.encode_to_vec()
}

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub calls: parking_lot::Mutex<Vec<(String, MetadataMap)>>,
    pub connections: AtomicUsize,
    pub begun: AtomicUsize,
    pub cancelled: AtomicUsize,
}

impl Seen {
    pub fn count(&self) -> usize {
        self.calls.lock().len()
    }

    pub fn last(&self) -> MetadataMap {
        self.calls.lock().last().expect("a call").1.clone()
    }
}

/// How the server describes itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reflection {
    V1,
    V1Alpha,
    None,
}

pub struct Orders {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Orders {
    pub async fn start(reflection: Reflection) -> Self {
        Self::start_with(reflection, None).await
    }

    pub async fn start_with(reflection: Reflection, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).expect("tls");
        }
        let set = descriptor_set();
        let service = Service {
            pool: DescriptorPool::decode(set.as_slice()).expect("a pool"),
            seen: Arc::clone(&seen),
        };
        let mut router = server.add_service(service);
        let builder = || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(&set);
        match reflection {
            Reflection::V1 => router = router.add_service(builder().build_v1().expect("reflection")),
            Reflection::V1Alpha => router = router.add_service(builder().build_v1alpha().expect("reflection")),
            Reflection::None => {}
        }
        let counted = Arc::clone(&seen);
        let incoming = TcpListenerStream::new(listener).inspect(move |_| {
            counted.connections.fetch_add(1, Ordering::SeqCst);
        });
        let task = tokio::spawn(async move {
            router.serve_with_incoming(incoming).await.expect("serves");
        });
        Self { address, seen, task }
    }

    pub fn target(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Clone)]
struct Service {
    pool: DescriptorPool,
    seen: Arc<Seen>,
}

impl NamedService for Service {
    const NAME: &'static str = "shop.v1.Orders";
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        async move {
            let mut grpc = Grpc::new(Raw);
            let call = Call { service, method };
            Ok(match call.method.as_str() {
                "Place" | "Get" | "Put" => grpc.unary(call, request).await,
                // What the contract calls one answer may be none or several on the wire.
                "Watch" | "Mute" => grpc.server_streaming(call, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        }
        .boxed()
    }
}

struct Call {
    service: Service,
    method: String,
}

/// Counts a call that was dropped before it was answered.
struct Running(Arc<Seen>, bool);

impl Drop for Running {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Call {
    /// What is asked for.
    fn order(&self, request: Request<Bytes>) -> DynamicMessage {
        let (metadata, _, bytes) = request.into_parts();
        self.service.seen.calls.lock().push((self.method.clone(), metadata));
        let order = self.service.pool.get_message_by_name("shop.v1.Order").expect("known");
        DynamicMessage::decode(order, bytes).expect("an order")
    }

    fn placed(pool: &DescriptorPool, order: &DynamicMessage, number: i64, padding: usize) -> Bytes {
        let descriptor = pool.get_message_by_name("shop.v1.Placed").expect("known");
        let mut placed = DynamicMessage::new(descriptor);
        let item = order
            .get_field_by_name("item")
            .expect("item")
            .as_str()
            .expect("text")
            .to_owned();
        let item = if padding > 0 { "x".repeat(padding) } else { item };
        placed.set_field_by_name("item", Value::String(item));
        placed.set_field_by_name("number", Value::I64(number));
        if order.has_field_by_name("at") {
            placed.set_field_by_name("at", order.get_field_by_name("at").expect("at").into_owned());
        }
        placed.encode_to_vec().into()
    }
}

/// The status that an item like `fail:UNAVAILABLE` asks for.
fn failure(item: &str) -> Option<Status> {
    let code = item.strip_prefix("fail:")?;
    let code = (0..17).map(Code::from).find(|known| {
        let spelled: String = format!("{known:?}").to_lowercase();
        spelled == code.replace('_', "").to_lowercase()
    })?;
    Some(Status::new(code, "as you asked"))
}

fn detailed() -> Status {
    let mut details = ErrorDetails::new();
    details
        .set_retry_info(Some(Duration::from_secs(7)))
        .set_error_info(
            "OUT_OF_STOCK",
            "shop.example.com",
            [("sku".to_owned(), "17".to_owned())],
        )
        .add_bad_request_violation("item", "there is none left");
    Status::with_error_details(Code::Unavailable, "later", details)
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = Answering<Response<Bytes>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let order = self.order(request);
        let item = order
            .get_field_by_name("item")
            .expect("item")
            .as_str()
            .expect("text")
            .to_owned();
        let count = order
            .get_field_by_name("count")
            .expect("count")
            .as_i64()
            .expect("number");
        let (pool, seen) = (self.service.pool.clone(), Arc::clone(&self.service.seen));
        async move {
            let mut running = Running(Arc::clone(&seen), false);
            seen.begun.fetch_add(1, Ordering::SeqCst);
            if item == "hang" {
                std::future::pending::<()>().await;
            }
            running.1 = true;
            match item.as_str() {
                "detailed" => Err(detailed()),
                "long wait" => {
                    let mut details = ErrorDetails::new();
                    details.set_retry_info(Some(Duration::from_secs(1_000_000)));
                    Err(Status::with_error_details(Code::Internal, "tomorrow", details))
                }
                "large" => Ok(Response::new(Self::placed(
                    &pool,
                    &order,
                    1,
                    usize::try_from(count).expect("size"),
                ))),
                // Two bytes of the wire for each refund, which are many more in JSON.
                "bomb" => Ok(Response::new(
                    [0x32, 0x00].repeat(usize::try_from(count).expect("size")).into(),
                )),
                "garbage" => Ok(Response::new(Bytes::from_static(&[0x0a, 0x7f, 0x01]))),
                item => match failure(item) {
                    Some(status) => Err(status),
                    None => Ok(Response::new(Self::placed(&pool, &order, count, 0))),
                },
            }
        }
        .boxed()
    }
}

impl ServerStreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Answering<Response<Self::ResponseStream>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let order = self.order(request);
        let item = order
            .get_field_by_name("item")
            .expect("item")
            .as_str()
            .expect("text")
            .to_owned();
        let count = order
            .get_field_by_name("count")
            .expect("count")
            .as_i64()
            .expect("number");
        let (pool, seen) = (self.service.pool.clone(), Arc::clone(&self.service.seen));
        async move {
            seen.begun.fetch_add(1, Ordering::SeqCst);
            let running = Running(seen, item != "endless");
            let last = failure(&item).map(Err);
            let numbers = if item == "endless" { i64::MAX } else { count };
            let messages = stream::iter(0..numbers).map(move |number| {
                let _alive = &running;
                Ok(Self::placed(&pool, &order, number, 0))
            });
            let stream: Self::ResponseStream = Box::pin(messages.chain(stream::iter(last)));
            Ok(Response::new(stream))
        }
        .boxed()
    }
}

struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

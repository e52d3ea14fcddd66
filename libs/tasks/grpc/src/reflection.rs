//! Asks a server what its services take: `grpc.reflection.v1`, or `v1alpha` where that is all there is. The two have the
//! same messages.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::failure::{self, Context};
use super::request::Prepared;
use super::schema::listed;
use nexus_attempt::Failure;

/// The newer one first.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// The whole conversation may take this long.
const LIMIT: Duration = Duration::from_secs(20);
/// Most files that describe one service, and most bytes of them.
const MOST_FILES: usize = 2_000;
const MOST_BYTES: usize = 16 << 20;

/// Everything that describes the request's service, and how many bytes that was.
pub(super) async fn ask(channel: &Channel, request: &Prepared) -> Result<(DescriptorPool, usize), Failure> {
    // Nothing is changed by asking, so asking may be repeated.
    let context = Context {
        shown: format!("{} (reflection)", request.target.address),
        repeatable: true,
    };
    let work = async {
        for path in PATHS {
            match converse(channel, request, path).await {
                Err(Trouble::Status(status)) if is_absent(&status) => {}
                Err(Trouble::Status(status)) => return Err(failure::of(&status, &context, false)),
                Err(Trouble::Failure(failure)) => return Err(failure),
                Ok(described) => return Ok(described),
            }
        }
        let message = format!(
            "{} does not offer reflection (grpc.reflection.v1 or v1alpha): switch it on there, or give `descriptor`",
            request.target.address
        );
        Err(Failure::new("GrpcReflection", message).final_())
    };
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        let message = format!("{}: no answer within {} s", context.shown, LIMIT.as_secs());
        Err(Failure::new("GrpcReflection", message))
    })
}

enum Trouble {
    Status(Status),
    Failure(Failure),
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// A server without the service says UNIMPLEMENTED; what answers with HTTP's 404 has no gRPC there at all.
fn is_absent(status: &Status) -> bool {
    status.code() == Code::Unimplemented
}

/// One stream of questions and answers.
struct Conversation {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl Conversation {
    /// Begins with the first question: some servers say nothing until they were asked something.
    async fn open(
        channel: &Channel,
        request: &Prepared,
        path: &'static str,
        first: MessageRequest,
    ) -> Result<(Self, MessageResponse), Status> {
        let (questions, receiver) = mpsc::channel(1);
        let _empty = questions.try_send(question(first));
        let mut asked = Request::new(ReceiverStream::new(receiver));
        *asked.metadata_mut() = request.metadata.clone();
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec: ProstCodec<ServerReflectionRequest, ServerReflectionResponse> = ProstCodec::default();
        let answers = grpc.streaming(asked, PathAndQuery::from_static(path), codec).await?;
        let mut conversation = Self {
            questions,
            answers: answers.into_inner(),
        };
        let answer = conversation.answer().await?;
        Ok((conversation, answer))
    }

    async fn ask(&mut self, asked: MessageRequest) -> Result<MessageResponse, Status> {
        // A stream that has ended says so when it is read.
        let _ended = self.questions.send(question(asked)).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<MessageResponse, Status> {
        let answer = self.answers.message().await?;
        answer
            .and_then(|answer| answer.message_response)
            .ok_or_else(|| Status::internal("the reflection service ended without an answer"))
    }
}

fn question(asked: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    }
}

async fn converse(
    channel: &Channel,
    request: &Prepared,
    path: &'static str,
) -> Result<(DescriptorPool, usize), Trouble> {
    let first = MessageRequest::FileContainingSymbol(request.service.clone());
    let refusal = match Conversation::open(channel, request, path, first).await {
        Ok((mut conversation, MessageResponse::FileDescriptorResponse(found))) => {
            return gather(&mut conversation, found.file_descriptor_proto).await;
        }
        Ok((_, MessageResponse::ErrorResponse(error))) => {
            Status::new(Code::from(error.error_code), error.error_message)
        }
        Ok(_) => Status::internal("the reflection service answered something else"),
        // Some servers end the stream instead of answering.
        Err(status) => status,
    };
    match refusal.code() {
        Code::NotFound => Err(unknown(channel, request, path).await),
        _ => Err(refusal.into()),
    }
}

/// The failure for a service that the server does not know, with those that it knows.
async fn unknown(channel: &Channel, request: &Prepared, path: &'static str) -> Trouble {
    let list = MessageRequest::ListServices(String::new());
    let known = match Conversation::open(channel, request, path, list).await {
        Ok((_, MessageResponse::ListServicesResponse(list))) => {
            let names = list.service.into_iter().map(|service| service.name);
            format!("; it has {}", listed(names))
        }
        _ => String::new(),
    };
    let message = format!("{} has no service {}{known}", request.target.address, request.service);
    Trouble::Failure(Failure::new("GrpcMethod", message).final_())
}

/// The files, and all that they import: some servers send these along, others wait to be asked.
async fn gather(conversation: &mut Conversation, first: Vec<Vec<u8>>) -> Result<(DescriptorPool, usize), Trouble> {
    let mut files: HashMap<String, FileDescriptorProto> = HashMap::new();
    let mut bytes = 0;
    let mut incoming = first;
    loop {
        for encoded in incoming.drain(..) {
            bytes += encoded.len();
            let file = FileDescriptorProto::decode(encoded.as_slice())
                .map_err(|error| bad(format!("it sent a file that cannot be read: {error}")))?;
            files.entry(file.name().to_owned()).or_insert(file);
        }
        if files.len() > MOST_FILES || bytes > MOST_BYTES {
            let limit = format!(
                "more than {MOST_FILES} files or {} MiB describe the service",
                MOST_BYTES >> 20
            );
            return Err(bad(limit));
        }
        let Some(wanted) = next_import(&files) else { break };
        let found = conversation.ask(MessageRequest::FileByFilename(wanted.clone())).await?;
        let known = DescriptorPool::global().get_file_by_name(&wanted);
        match (found, known) {
            (MessageResponse::FileDescriptorResponse(found), _) if !found.file_descriptor_proto.is_empty() => {
                incoming = found.file_descriptor_proto;
                // One under another name than it was asked for would be asked for again and again.
                let named = |file: &Vec<u8>| {
                    FileDescriptorProto::decode(file.as_slice()).is_ok_and(|file| file.name() == wanted)
                };
                if !incoming.iter().any(named) {
                    return Err(bad(format!("it imports {wanted} and sends another file for it")));
                }
            }
            // Some servers do not serve protobuf's own files.
            (_, Some(known)) => {
                files.insert(wanted, known.file_descriptor_proto().clone());
            }
            _ => return Err(bad(format!("it imports {wanted}, which it does not know"))),
        }
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files.into_values())
        .map_err(|error| unusable(error.to_string()))?;
    Ok((pool, bytes))
}

/// An import that is not there yet; always the same one of several.
fn next_import(files: &HashMap<String, FileDescriptorProto>) -> Option<String> {
    let missing: BTreeSet<&String> = files
        .values()
        .flat_map(|file| &file.dependency)
        .filter(|name| !files.contains_key(*name))
        .collect();
    missing.first().map(|name| (*name).clone())
}

/// What another description of the same service would mend.
fn bad(problem: String) -> Trouble {
    unusable(format!("{problem}; give `descriptor` instead"))
}

fn unusable(problem: String) -> Trouble {
    let message = format!("what the server's reflection says cannot be used: {problem}");
    Trouble::Failure(Failure::new("GrpcReflection", message).final_())
}

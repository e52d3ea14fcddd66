//! Every method of the contracts that is asked about an execution, a workflow or a session answers for one of another
//! namespace as for one that does not exist. Messages are filled by their descriptors, so that a method that is added later
//! is asked too.

use std::collections::BTreeMap;

use nexus_api::json::pool;
use nexus_api::method::{LoadClass, METHODS, Method};
use nexus_mesh::Transport;
use nexus_tests::Dev;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::{ONE, OTHER, Within};

/// Fields that name what belongs to a namespace.
const NAMING: [&str; 5] = ["execution", "workflow", "session", "secret", "schedule"];
/// What else a call has to say to be looked at.
const STRINGS: [(&str, &str); 1] = [("task", "a")];
const NUMBERS: [(&str, u32); 2] = [("max_tasks", 1), ("slots", 1)];

/// What one call comes down to: its first message, or the status with the name taken out of the text.
type Told = Result<Option<DynamicMessage>, (tonic::Code, String, Option<nexus_api::ErrorReason>)>;

/// Messages as their descriptors have them.
#[derive(Clone)]
struct ByDescriptor(MessageDescriptor);

impl Codec for ByDescriptor {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for ByDescriptor {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for ByDescriptor {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// A message that names these things; also within the first message of a stream.
fn filled(of: &MessageDescriptor, names: &BTreeMap<&str, String>) -> Option<DynamicMessage> {
    let mut message = DynamicMessage::new(of.clone());
    let mut names_something = false;
    for field in of.fields() {
        match field.kind() {
            Kind::String if !field.is_list() => {
                let value = names.get(field.name()).cloned();
                names_something |= value.is_some();
                let other = STRINGS.iter().find(|(name, _)| *name == field.name());
                if let Some(value) = value.or_else(|| other.map(|(_, value)| (*value).to_owned())) {
                    message.set_field(&field, Value::String(value));
                }
            }
            Kind::Uint32 => {
                if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| *name == field.name()) {
                    message.set_field(&field, Value::U32(*number));
                }
            }
            Kind::Message(inner) if field.name() == "ready" => {
                let inner = filled(&inner, names)?;
                names_something = true;
                message.set_field(&field, Value::Message(inner));
            }
            _ => {}
        }
    }
    names_something.then_some(message)
}

/// One message and what comes first; on the wire a call of one message is the same whether its method streams or not.
async fn call(way: &Transport, method: &Method, names: &BTreeMap<&str, String>) -> Option<Told> {
    let service = pool().get_service_by_name(method.service).expect("a service");
    let told = service
        .methods()
        .find(|told| told.name() == method.name)
        .expect("a method");
    let request = filled(&told.input(), names)?;
    let mut client = Grpc::new(way.clone());
    client.ready().await.expect("ready");
    let path = method.path.parse().expect("a path");
    let request = Request::new(tokio_stream::once(request));
    let answer = async {
        let mut stream = client
            .streaming(request, path, ByDescriptor(told.output()))
            .await?
            .into_inner();
        stream.message().await
    };
    Some(answer.await.map_err(|status: Status| {
        let plain = |text: String, name: &String| text.replace(name, "NAME");
        let text = names.values().fold(status.message().to_owned(), plain);
        (status.code(), text, nexus_api::error::reason_of(&status))
    }))
}

fn names(
    execution: &str,
    workflow: &str,
    session: &str,
    secret: &str,
    schedule: &str,
) -> BTreeMap<&'static str, String> {
    NAMING
        .into_iter()
        .zip([execution, workflow, session, secret, schedule].map(String::from))
        .collect()
}

#[tokio::test]
async fn whatever_is_asked_about_anothers_is_answered_as_if_it_were_not_there() {
    let dev = Dev::start();
    let (one, other) = (Within::of(&dev, ONE), Within::of(&dev, OTHER));
    one.apply("name: secret_plan\ntasks: {a: {queue: nobody, noop: {}}}\n")
        .await;
    let execution = one.start("secret_plan", "").await.id;
    let session = one.register("nobody_either").await;
    one.keep("secret_key").await;
    one.schedule("secret_times", "secret_plan").await;
    let there = names(&execution, "secret_plan", &session, "secret_key", "secret_times");
    let short = names(&execution[..13], "secret_plan", &session, "secret_key", "secret_times");
    let none = "0".repeat(32);
    let nowhere = names(
        "0198ffff-ffff-7fff-8fff-ffffffffffff",
        "no_such_plan",
        &none,
        "no_such_key",
        "no_such_times",
    );
    let nowhere_short = names("0198ffff-ffff", "no_such_plan", &none, "no_such_key", "no_such_times");
    let (mut asked, mut read) = (0, 0);
    for method in METHODS
        .iter()
        .filter(|method| !method.service.starts_with("nexus.shard."))
    {
        for (there, nowhere) in [(&there, &nowhere), (&short, &nowhere_short)] {
            let Some(told) = call(&other.way, method, there).await else {
                continue;
            };
            let expected = call(&other.way, method, nowhere).await.expect("the same fields");
            assert_eq!(told, expected, "{}", method.path);
            asked += 1;
        }
    }
    assert!(asked > 2 * 18, "{asked} calls were made");
    // None of these calls has changed anything, and in their own namespace they find what they are about.
    assert!(one.poll(&session).await.is_empty(), "its session is still open");
    let reads =
        |method: &&Method| method.permission.name().ends_with(".read") && method.load_class != LoadClass::Waiting;
    for method in METHODS.iter().filter(reads) {
        let Some(told) = call(&one.way, method, &there).await else {
            continue;
        };
        let found = told.as_ref().map_err(|(code, ..)| *code).err() != Some(tonic::Code::NotFound);
        assert!(found, "{}: {told:?}", method.path);
        read += 1;
    }
    assert!(read > 10, "{read} calls were made");
    assert_eq!(
        one.listed("state = PENDING").await,
        [execution],
        "nobody has cancelled it"
    );
}

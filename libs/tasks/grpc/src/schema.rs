//! What a method takes and gives, and both as JSON by the mapping of protobuf. Pure.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::Value;

use super::request::or_empty;
use nexus_attempt::{Failure, cut_end};

/// How much of a list of names a failure shows.
const NAMES: usize = 512;

/// A FileDescriptorSet in base64.
pub(super) fn read_descriptor(text: &str) -> Result<DescriptorPool, Failure> {
    let invalid = |problem: String| {
        let hint =
            "give what `protoc --include_imports --descriptor_set_out=…` or `buf build -o x.binpb` writes, in base64";
        Failure::invalid(format!("`descriptor` {problem}; {hint}"))
    };
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|error| invalid(format!("is not valid base64: {error}")))?;
    DescriptorPool::decode(bytes.as_slice()).map_err(|error| invalid(format!("is not a descriptor set: {error}")))
}

/// The method, or what its place has instead. `place` is where it was looked for.
pub(super) fn method(
    pool: &DescriptorPool,
    service: &str,
    name: &str,
    place: &str,
) -> Result<MethodDescriptor, Failure> {
    let unknown = |problem: String| Failure::new("GrpcMethod", problem).final_();
    let Some(found) = pool.get_service_by_name(service) else {
        let known = listed(pool.services().map(|service| service.full_name().to_owned()));
        return Err(unknown(format!("{place} has no service {service}; it has {known}")));
    };
    let Some(method) = found.methods().find(|method| method.name() == name) else {
        let known = listed(found.methods().map(|method| method.name().to_owned()));
        return Err(unknown(format!("{service} has no method {name}; it has {known}")));
    };
    if method.is_client_streaming() {
        let problem = format!("{service}/{name} takes a stream of requests; only methods that take one can be called");
        return Err(unknown(problem));
    }
    Ok(method)
}

/// Names for a message.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    cut_end(&names.join(", "), NAMES)
}

/// The request as it goes over the wire.
pub(super) fn encode(method: &MethodDescriptor, message: &Value) -> Result<Vec<u8>, Failure> {
    let input = method.input();
    let name = input.full_name().to_owned();
    let read = DynamicMessage::deserialize(input, or_empty(message)).map_err(|error| {
        let message = format!(
            "`message` does not fit {name}, which {} takes: {error}",
            method.full_name()
        );
        Failure::new("GrpcMessage", message).final_()
    })?;
    Ok(read.encode_to_vec())
}

/// True for a method of which its contract says that it changes nothing.
pub(super) fn only_reads(method: &MethodDescriptor) -> bool {
    level(method) == IdempotencyLevel::NoSideEffects
}

/// True for a method of which its contract says that to do it twice is to do it once.
pub(super) fn may_be_repeated(method: &MethodDescriptor) -> bool {
    level(method) != IdempotencyLevel::IdempotencyUnknown
}

fn level(method: &MethodDescriptor) -> IdempotencyLevel {
    let options = method.method_descriptor_proto().options.as_ref();
    options.map_or(IdempotencyLevel::IdempotencyUnknown, |options| {
        options.idempotency_level()
    })
}

/// The task's output: the response, or `{messages}` of a stream. Fields without presence are written out also when they
/// have their default, so that an expression may refer to them.
pub(super) fn output(method: &MethodDescriptor, messages: &[Bytes], most: usize) -> Result<String, Failure> {
    let mut text = Bounded {
        bytes: Vec::new(),
        most,
    };
    let broken = |error: &dyn std::fmt::Display| {
        let name = method.output().full_name().to_owned();
        Failure::new("GrpcAnswer", format!("the answer cannot be read as {name}: {error}"))
    };
    let many = method.is_server_streaming();
    if !many && messages.len() != 1 {
        return Err(broken(&format!(
            "it must be one message, and it has {}",
            messages.len()
        )));
    }
    let written = |text: &mut Bounded, part: &str| text.write_all(part.as_bytes());
    let mut ended = if many {
        written(&mut text, r#"{"messages":["#)
    } else {
        Ok(())
    };
    for (i, message) in messages.iter().enumerate() {
        let message = DynamicMessage::decode(method.output(), message.clone()).map_err(|error| broken(&error))?;
        if i > 0 {
            ended = ended.and_then(|()| written(&mut text, ","));
        }
        if ended.is_err() {
            break;
        }
        let options = SerializeOptions::new().skip_default_fields(false);
        let mut writer = serde_json::Serializer::new(&mut text);
        match message.serialize_with_options(&mut writer, &options) {
            Ok(()) => {}
            Err(error) if error.is_io() => ended = Err(std::io::Error::other(error)),
            Err(error) => return Err(broken(&error)),
        }
    }
    if many {
        ended = ended.and_then(|()| written(&mut text, "]}"));
    }
    match ended {
        Ok(()) => String::from_utf8(text.bytes).map_err(|error| broken(&error)),
        Err(_) => Err(Failure::new(
            "OutputTooLarge",
            format!("the answer has more than the {most} bytes of JSON allowed"),
        )),
    }
}

/// Takes so many bytes and no more: a small answer can be a very large JSON.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + buffer.len() > self.most {
            return Err(std::io::Error::other("more than is allowed"));
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Reads what stands under `grpc`.

use super::reader::{Missing, Shape, fields};
use super::values::Values;
use crate::codes::{self, Code};
use crate::findings::Finding;
use crate::kinds::KindName;
use crate::model::{Grpc, GrpcTls};

/// Largest answer that a file may ask for. Protobuf grows many times over when it is read, so this is not a matter of
/// the wire alone.
const MOST_ANSWER: u64 = 4 << 20;
/// Most messages of a stream, and how many when nothing is said.
const MESSAGES: (i64, i64) = (10_000, 1_000);

pub(super) const GRPC: Shape = Shape {
    name: KindName::Grpc.as_str(),
    keys: &[
        "target",
        "method",
        "message",
        "metadata",
        "deadline",
        "tls",
        "descriptor",
        "reflection",
        "idempotent",
        "max_size",
        "max_messages",
    ],
    missing: &[
        Missing {
            key: "timeout",
            instead: "write timeout on the task itself, or deadline here for the call alone",
        },
        Missing {
            key: "service",
            instead: "write the service as part of method: package.Service/Method",
        },
        Missing {
            key: "proto",
            instead: "give what `protoc --include_imports --descriptor_set_out` writes, in base64, as descriptor",
        },
    ],
};

const TLS: Shape = Shape {
    name: "tls",
    keys: &["ca", "cert", "key", "server_name"],
    missing: &[Missing {
        key: "insecure",
        instead: "give the server's own certificate as ca, or begin target with http:// for no TLS at all",
    }],
};

pub(super) fn read(values: &mut Values<'_, '_>) -> Option<Grpc> {
    let target = values.required_text("target", "grpc");
    if let Some(target) = target {
        check_target(target, values);
    }
    let method = values.required_text("method", "grpc");
    if let Some(method) = method.filter(|method| !is_method(method)) {
        let problem = format!("{method:?} is not the name of a method");
        say(
            values,
            "method",
            codes::GRPC_METHOD,
            problem,
            "write package.Service/Method, such as shop.v1.Orders/Place",
        );
    }
    let descriptor = values.text("descriptor");
    let reflection = values.fields.has("reflection").then(|| values.flag("reflection"));
    check_description(descriptor.is_some(), reflection, values);
    let tls = tls(values);
    if tls.is_some() && target.is_some_and(|target| target.starts_with("http://")) {
        let problem = "a target that begins with http:// uses no TLS".to_owned();
        say(
            values,
            "tls",
            codes::GRPC_TLS,
            problem,
            "begin target with https://, or remove tls",
        );
    }
    let message = values.fields.value("message").map(|node| node.to_value());
    Some(Grpc {
        message: message.unwrap_or_default(),
        metadata: values.flat_map(
            "metadata",
            is_metadata_name,
            "metadata of your own: lower-case letters, digits and _ - ., nothing that gRPC sets itself",
        ),
        deadline: values.positive_span("deadline"),
        tls,
        descriptor: descriptor.map(str::to_owned),
        reflection,
        idempotent: values.fields.has("idempotent").then(|| values.flag("idempotent")),
        max_size: values.size("max_size", 1, MOST_ANSWER),
        max_messages: values
            .integer("max_messages", (1, MESSAGES.0), MESSAGES.1)
            .and_then(|n| u32::try_from(n).ok()),
        target: target?.to_owned(),
        method: method?.to_owned(),
    })
}

fn say(values: &mut Values<'_, '_>, key: &str, code: Code, problem: String, fix: &str) {
    let place = values.fields.value(key).map(|node| node.place).unwrap_or_default();
    values.say(key, Finding::error(code, place, problem).fix(fix));
}

/// A target is `http(s)://host[:port]`, as far as it is known before expressions are evaluated.
fn check_target(target: &str, values: &mut Values<'_, '_>) {
    let literal = target.split("{{").next().unwrap_or_default();
    let whole = literal.len() == target.len();
    let rest = literal
        .strip_prefix("https://")
        .or_else(|| literal.strip_prefix("http://"));
    let problem = match rest {
        None if target.trim_start().starts_with("{{") => return,
        // `http{{ … }}` may still become one.
        None if !whole && ("http://".starts_with(literal) || "https://".starts_with(literal)) => return,
        None => format!("{target:?} does not begin with http:// or https://"),
        Some("") if whole => "the target has no host".to_owned(),
        Some(rest) if rest.contains(char::is_whitespace) => "the target holds a blank".to_owned(),
        Some(rest) if rest.trim_end_matches('/').contains(['/', '?', '#']) => {
            "the target has a path; the method names what is called".to_owned()
        }
        Some(rest) if rest.contains('@') => "the target holds credentials; they belong into metadata".to_owned(),
        Some(_) => return,
    };
    let fix = "write it like https://orders.example.com, or http://host:50051 for a server without TLS";
    say(values, "target", codes::GRPC_TARGET, problem, fix);
}

/// `package.Service/Method`; the package may be absent.
fn is_method(method: &str) -> bool {
    let name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    method
        .split_once('/')
        .is_some_and(|(service, method)| service.split('.').all(name) && name(method))
}

fn check_description(descriptor: bool, reflection: Option<bool>, values: &mut Values<'_, '_>) {
    let (problem, fix) = match (descriptor, reflection) {
        (true, Some(true)) => ("grpc has both descriptor and reflection", "keep one of the two"),
        (false, Some(false)) => (
            "grpc has neither descriptor nor reflection, so nothing says what the method takes",
            "add descriptor, or remove reflection: false",
        ),
        _ => return,
    };
    say(values, "reflection", codes::GRPC_DESCRIPTION, problem.to_owned(), fix);
}

/// Names of metadata in lower case; those with which gRPC and HTTP/2 work are theirs.
fn is_metadata_name(name: &str) -> bool {
    const TAKEN: &[&str] = &[
        "te",
        "content-type",
        "user-agent",
        "host",
        "connection",
        "transfer-encoding",
        "content-length",
        "upgrade",
    ];
    !name.is_empty()
        && !name.starts_with("grpc-")
        && !TAKEN.contains(&name)
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'))
}

fn tls(values: &mut Values<'_, '_>) -> Option<GrpcTls> {
    let node = values.fields.value("tls")?;
    let path = values.path.then("tls");
    let fields = fields(node, &TLS, path, values.findings)?;
    let mut inner = Values {
        fields: &fields,
        path,
        findings: values.findings,
    };
    let mut text = |key: &str| inner.text(key).map(str::to_owned);
    let tls = GrpcTls {
        ca: text("ca"),
        cert: text("cert"),
        key: text("key"),
        server_name: text("server_name"),
    };
    if fields.has("cert") != fields.has("key") {
        let problem = "a client's certificate needs both cert and key".to_owned();
        say(values, "tls", codes::GRPC_TLS, problem, "give both, or neither");
    }
    Some(tls)
}

//! What the contracts say about a method: whether it streams, whether repeating it is safe, and under which names it may
//! be counted.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What is known of a method.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: String,
    pub(crate) name: String,
    /// True when one message goes out and one comes back.
    pub(crate) unary: bool,
    /// True when doing it twice is doing it once, whatever the request says.
    pub(crate) repeatable: bool,
    /// The number of the request's field `request_id`, by which the server knows a repeated call.
    pub(crate) request_id: Option<u32>,
}

/// Reads, and reports of workers: a report carries the token of its attempt, a log line its number.
const REPEATABLE: &[&str] = &[
    "Get",
    "List",
    "Validate",
    "Diff",
    "Export",
    "Wait",
    "Heartbeat",
    "Append",
    "Deregister",
];
const REPORT: &str = "ReportTasks";
/// Methods that are not ours and that every server has.
const COMMON: &[(&str, &str)] = &[
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
];

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let services = nexus_api::json::pool().services();
    let ours = services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let name = method.name().to_owned();
            Method {
                service: method.parent_service().full_name().to_owned(),
                unary: !method.is_client_streaming() && !method.is_server_streaming(),
                repeatable: name == REPORT || REPEATABLE.iter().any(|verb| name.starts_with(verb)),
                request_id: method
                    .input()
                    .get_field_by_name("request_id")
                    .map(|field| field.number()),
                name,
            }
        });
    let common = COMMON.iter().map(|(service, name)| Method {
        service: (*service).to_owned(),
        name: (*name).to_owned(),
        unary: *name == "Check",
        repeatable: *name == "Check",
        request_id: None,
    });
    ours.chain(common)
        .map(|method| (format!("/{}/{}", method.service, method.name), method))
        .collect()
});

/// The method of a path such as `/nexus.execution.v1.ExecutionService/GetExecution`; none when no contract has it.
pub(crate) fn find(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}

/// Whether a gRPC message (a flag, a length, then protobuf) has a field that is not empty, among those of its top.
pub(crate) fn has_field(message: &[u8], number: u32) -> bool {
    let mut rest = message.get(5..).unwrap_or_default();
    while let Some(key) = varint(&mut rest) {
        let length = match key & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest),
            5 => Some(4),
            _ => None,
        };
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return false;
        };
        let Some((_, after)) = rest.split_at_checked(length) else {
            return false;
        };
        if key >> 3 == u64::from(number) && (key & 7 != 2 || length > 0) {
            return true;
        }
        rest = after;
    }
    false
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_say_what_may_be_repeated() {
        let execution = |name: &str| find(&format!("/nexus.execution.v1.ExecutionService/{name}")).expect("method");
        assert!(execution("GetExecution").repeatable && execution("GetExecution").unary);
        let start = execution("StartExecution");
        assert!(!start.repeatable && start.unary && start.request_id == Some(5));
        assert!(!execution("WatchExecution").unary);
        assert!(
            find("/nexus.worker.v1.WorkerService/ReportTasks")
                .expect("method")
                .repeatable
        );
        assert!(
            !find("/nexus.worker.v1.WorkerService/PollTasks")
                .expect("method")
                .repeatable
        );
        assert!(find("/made.up/Thing").is_none());
    }

    #[test]
    fn a_request_id_is_found_only_where_it_is_not_empty() {
        // Field 1 "ab", field 3 the number 7, field 5 "x".
        let message = [0, 0, 0, 0, 9, 0x0a, 2, b'a', b'b', 0x18, 7, 0x2a, 1, b'x'];
        assert!(has_field(&message, 5) && has_field(&message, 3) && has_field(&message, 1));
        assert!(!has_field(&message, 4));
        assert!(!has_field(&[0, 0, 0, 0, 2, 0x2a, 0], 5), "an empty one");
        for cut in 0..message.len() - 3 {
            assert!(!has_field(&message[..cut], 5), "{cut}");
        }
    }
}

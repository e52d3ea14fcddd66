//! What the frame goes by for the method of a call: what its contract says of it, or, where that is somebody else's, what
//! is said here.

use std::time::Duration;

use nexus_api::method::{Audit, Idempotency, LoadClass, Method, Permission, method};

/// The longest time of methods whose contracts say nothing about it.
const LONGEST_TIME: Duration = Duration::from_secs(90);

/// A method that no contract has, so that nothing is known of it: a call is never repeated, counts against the limit of
/// calls under way, and is measured under no name that its caller made up.
static UNKNOWN: Method = Method {
    path: "",
    service: "other",
    name: "other",
    unary: false,
    idempotency: Idempotency::Never,
    load_class: LoadClass::Interactive,
    longest_time: LONGEST_TIME,
    permission: Permission::Unspecified,
    audit: Audit::Nothing,
};

/// The methods of gRPC's own contracts, which every server has and which cannot carry options of ours. Whoever asks how a
/// server is must hear it most of all while there is much to do.
static STANDARD: [Method; 3] = [
    Method {
        unary: true,
        ..reading("/grpc.health.v1.Health/Check", "grpc.health.v1.Health", "Check")
    },
    reading("/grpc.health.v1.Health/Watch", "grpc.health.v1.Health", "Watch"),
    reading(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
    ),
];

/// A stream that only reads.
const fn reading(path: &'static str, service: &'static str, name: &'static str) -> Method {
    Method {
        path,
        service,
        name,
        unary: false,
        idempotency: Idempotency::Always,
        load_class: LoadClass::Critical,
        longest_time: LONGEST_TIME,
        permission: Permission::Unspecified,
        audit: Audit::Nothing,
    }
}

/// The method of a path such as `/nexus.execution.v1.ExecutionService/GetExecution`, which may be made up.
pub(crate) fn of(path: &str) -> &'static Method {
    let standard = || STANDARD.iter().find(|method| method.path == path);
    method(path).or_else(standard).unwrap_or(&UNKNOWN)
}

/// Whether a request may be sent again although somebody may have seen it. It is a gRPC message: a flag, a length, then
/// protobuf.
pub(crate) fn is_repeatable(method: &Method, request: &[u8]) -> bool {
    match method.idempotency {
        Idempotency::Always => true,
        Idempotency::WithRequestId { field } => has_field(request, field),
        Idempotency::Never => false,
    }
}

/// Whether a gRPC message (a flag, a length, then protobuf) has a field that is not empty, among those of its top.
fn has_field(message: &[u8], number: u32) -> bool {
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

    /// Field 1 "a", and the same with field 5 "x", the `request_id` of a start.
    const WITHOUT_ID: &[u8] = &[0, 0, 0, 0, 3, 0x0a, 1, b'a'];
    const WITH_ID: &[u8] = &[0, 0, 0, 0, 6, 0x0a, 1, b'a', 0x2a, 1, b'x'];

    #[test]
    fn what_may_be_repeated_is_what_the_contracts_say() {
        let repeatable = |path: &str, request| is_repeatable(of(path), request);
        for always in [
            "/nexus.execution.v1.ExecutionService/GetExecution",
            "/nexus.execution.v1.ExecutionService/CancelExecution",
            "/nexus.definitions.v1.DefinitionsService/ApplyWorkflow",
            "/nexus.worker.v1.WorkerService/ReportTasks",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(repeatable(always, WITHOUT_ID), "{always}");
        }
        for never in [
            "/nexus.definitions.v1.DefinitionsService/DeleteWorkflow",
            "/nexus.worker.v1.WorkerService/PollTasks",
            "/nexus.shard.v1.ShardService/GrantLeases",
            "/made.up/Thing",
        ] {
            assert!(!repeatable(never, WITH_ID), "{never}");
        }
        let start = "/nexus.execution.v1.ExecutionService/StartExecution";
        assert!(repeatable(start, WITH_ID) && !repeatable(start, WITHOUT_ID));
    }

    #[test]
    fn methods_of_other_contracts_have_what_is_said_here() {
        for (path, unary) in [
            ("/grpc.health.v1.Health/Check", true),
            ("/grpc.health.v1.Health/Watch", false),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false),
        ] {
            let method = of(path);
            assert_eq!(format!("/{}/{}", method.service, method.name), path);
            assert_eq!((method.unary, method.load_class), (unary, LoadClass::Critical));
        }
        for made_up in [
            "",
            "/",
            "/made.up/Thing",
            "/grpc.made.up/Thing",
            "/nexus.worker.v1.WorkerService/",
        ] {
            let method = of(made_up);
            assert_eq!((method.service, method.name), ("other", "other"), "{made_up}");
            assert_eq!((method.unary, method.load_class), (false, LoadClass::Interactive));
            assert_eq!(method.longest_time, LONGEST_TIME);
        }
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

//! What every method says about itself: whether it may be repeated, what becomes of it under load, how long it takes at
//! most and what a caller must be allowed to do. Made from the contracts by the build, which fails for a method that says
//! too little (`build/methods.rs`); what the words mean stands in `nexus/common/v1/method.proto`.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

pub use crate::common::v1::{Audit, LoadClass, Permission};

/// One method of the contracts.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// How calls name it: `/nexus.execution.v1.ExecutionService/GetExecution`.
    pub path: &'static str,
    /// Its service (`nexus.execution.v1.ExecutionService`).
    pub service: &'static str,
    /// Its own name (`GetExecution`).
    pub name: &'static str,
    /// True when one message goes out and one comes back.
    pub unary: bool,
    /// Whether a call may be made again when nobody knows whether it was done.
    pub idempotency: Idempotency,
    /// What becomes of it when the server has more to do than it can.
    pub load_class: LoadClass,
    /// The longest time to its answer, or until its stream is open.
    pub longest_time: Duration,
    /// What the caller must be allowed to do.
    pub permission: Permission,
    /// What the audit log is told of a call that is let in.
    pub audit: Audit,
}

/// Whether doing it twice is doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It is.
    Always,
    /// It is when the request names itself.
    WithRequestId {
        /// The number of the request's field `request_id`, a string.
        field: u32,
    },
    /// It is not.
    Never,
}

/// Every method of the contracts, service by service in the order of their files.
pub static METHODS: &[Method] = include!(concat!(env!("OUT_DIR"), "/nexus_methods.rs"));

static BY_PATH: LazyLock<HashMap<&'static str, &'static Method>> =
    LazyLock::new(|| METHODS.iter().map(|method| (method.path, method)).collect());

/// The method of a path such as `/nexus.execution.v1.ExecutionService/GetExecution`; none when no contract has it.
#[must_use]
pub fn method(path: &str) -> Option<&'static Method> {
    BY_PATH.get(path).copied()
}

impl Permission {
    /// How it is written where roles are: `workflows.read`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::WorkflowsRead => "workflows.read",
            Self::WorkflowsWrite => "workflows.write",
            Self::WorkflowsDelete => "workflows.delete",
            Self::ExecutionsRead => "executions.read",
            Self::ExecutionsStart => "executions.start",
            Self::ExecutionsCancel => "executions.cancel",
            Self::LogsRead => "logs.read",
            Self::WorkersLease => "workers.lease",
            Self::ReplicasSpeak => "replicas.speak",
            Self::FeedRead => "feed.read",
            Self::Public => "public",
            Self::Authenticated => "authenticated",
            Self::CredentialsVerify => "credentials.verify",
            Self::AccessRead => "access.read",
            Self::AccessWrite => "access.write",
            Self::AuditRead => "audit.read",
            Self::SecretsRead => "secrets.read",
            Self::SecretsWrite => "secrets.write",
            Self::SecretsResolve => "secrets.resolve",
            Self::AuditWrite => "audit.write",
            Self::SchedulesRead => "schedules.read",
            Self::SchedulesOperate => "schedules.operate",
            Self::SchedulesWrite => "schedules.write",
            Self::NotificationsRead => "notifications.read",
            Self::NotificationsWrite => "notifications.write",
        }
    }
}

#[cfg(test)]
#[path = "../build/methods.rs"]
mod table;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contracts_is_found_by_its_path() {
        let mut count = 0;
        for service in crate::json::pool().services() {
            for told in service.methods() {
                let path = format!("/{}/{}", service.full_name(), told.name());
                let found = method(&path).expect("a method of the contracts");
                assert_eq!((found.service, found.name), (service.full_name(), told.name()));
                assert_eq!(found.unary, !told.is_client_streaming() && !told.is_server_streaming());
                count += 1;
            }
        }
        assert_eq!(METHODS.len(), count);
        assert!(count > 40, "{count}");
        for unknown in [
            "",
            "/",
            "/made.up/Thing",
            "nexus.execution.v1.ExecutionService/GetExecution",
        ] {
            assert!(method(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn what_the_contracts_say_is_what_the_table_has() {
        let start = method("/nexus.execution.v1.ExecutionService/StartExecution").expect("start");
        assert_eq!(start.idempotency, Idempotency::WithRequestId { field: 5 });
        assert_eq!(
            (start.load_class, start.longest_time.as_secs()),
            (LoadClass::Interactive, 60)
        );
        assert_eq!(start.permission.name(), "executions.start");
        let watch = method("/nexus.execution.v1.ExecutionService/WatchExecution").expect("watch");
        assert!(!watch.unary);
    }

    #[test]
    fn only_replicas_may_call_what_is_between_replicas_and_only_workers_what_is_the_workers() {
        for method in METHODS {
            let expected = match method.service {
                // What a task names is for whoever may have secrets besides.
                _ if method.name == "ResolveTaskSecrets" => Some(Permission::SecretsResolve),
                "nexus.shard.v1.ShardService" => Some(Permission::ReplicasSpeak),
                "nexus.worker.v1.WorkerService" => Some(Permission::WorkersLease),
                _ => None,
            };
            let special = [Permission::ReplicasSpeak, Permission::WorkersLease];
            match expected {
                Some(expected) => assert_eq!(method.permission, expected, "{}", method.path),
                None => assert!(!special.contains(&method.permission), "{}", method.path),
            }
        }
    }

    #[test]
    fn permissions_are_written_as_the_contract_says() {
        let kind = crate::json::pool()
            .get_enum_by_name("nexus.common.v1.Permission")
            .expect("enum");
        for value in kind.values() {
            let permission = Permission::try_from(value.number()).expect("known");
            let words = value.name().trim_start_matches("PERMISSION_").to_lowercase();
            assert_eq!(permission.name(), words.replacen('_', ".", 1));
        }
    }

    /// The methods as docs/methods.md shows them, a table for each service.
    fn documented() -> String {
        let mut text = String::new();
        let mut service = "";
        for method in METHODS {
            if method.service != service {
                service = method.service;
                text += &format!("\n## {service}\n\n");
                text += "| method | may be repeated | load class | longest time | permission | audited |\n|---|---|---|---|---|---|\n";
            }
            let repeated = match method.idempotency {
                Idempotency::Always => "always",
                Idempotency::WithRequestId { .. } => "with `request_id`",
                Idempotency::Never => "never",
            };
            let class = method
                .load_class
                .as_str_name()
                .trim_start_matches("LOAD_CLASS_")
                .to_lowercase();
            let stream = if method.unary { "" } else { " (stream)" };
            let audited = if method.audit == Audit::Change { "yes" } else { "" };
            text += &format!(
                "| {}{stream} | {repeated} | {class} | {:?} | `{}` | {audited} |\n",
                method.name,
                method.longest_time,
                method.permission.name()
            );
        }
        text
    }

    #[test]
    fn the_documented_methods_are_those_of_the_contracts() {
        const BEGIN: &str = "<!-- methods: written by `NEXUS_UPDATE_DOCS=1 cargo test -p nexus-api method` -->\n";
        const END: &str = "<!-- end of methods -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/methods.md");
        let text = std::fs::read_to_string(path).expect("docs/methods.md");
        let (before, rest) = text.split_once(BEGIN).expect("the tables' beginning");
        let (shown, after) = rest.split_once(END).expect("the tables' end");
        let documented = format!("{}\n", documented());
        if std::env::var_os("NEXUS_UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{documented}{END}{after}")).expect("written");
            return;
        }
        assert_eq!(
            shown, documented,
            "NEXUS_UPDATE_DOCS=1 cargo test -p nexus-api method writes it anew"
        );
    }
}

//! The contracts as Rust: messages, clients and server traits generated from `proto/`, the descriptor set behind
//! them, what each method says about itself ([`method`]), typed errors ([`error`]) and canonical JSON ([`json`]).

pub mod error;
pub mod json;
pub mod method;
pub mod namespace;
mod secret;
pub mod time;

/// Messages that several services share.
pub mod common {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.common.v1");
    }
}

/// Who calls and what they may do: users, roles, API keys, sessions.
pub mod access {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.access.v1");
    }
}

/// Who did what: the audit log.
pub mod audit {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.audit.v1");
    }
}

/// Workflows and their revisions.
pub mod definitions {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.definitions.v1");
    }
}

/// Executions, tasks, attempts, history and logs.
pub mod execution {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.execution.v1");
    }
}

/// The durable feed of committed events.
pub mod feed {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.feed.v1");
    }
}

/// Schedules and what became of them.
pub mod scheduling {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.scheduling.v1");
    }
}

/// Channels, rules, and what became of messages.
pub mod notifications {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.notifications.v1");
    }
}

/// What the replicas of the execution service say to each other.
pub mod shard {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.shard.v1");
    }
}

/// The worker protocol.
pub mod worker {
    #[allow(missing_docs, clippy::all, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("nexus.worker.v1");
    }
}

/// The encoded `FileDescriptorSet` of every contract, with comments and options.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus_descriptor.bin"));

pub use common::v1::ErrorReason;
pub use namespace::Namespace;

//! The configuration as the program reads it. Every field is a key of `keys.rs`; a test keeps the two in step.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nexus_mesh::tls::TlsFiles;
use nexus_streams::redis::RedisTls;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values;

/// A value that is never shown.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct Secret(String);

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

impl Secret {
    /// The value itself, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A length of time, written like `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&values::span_text(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        values::span(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleName {
    Access,
    Definitions,
    Execution,
    Scheduling,
    Worker,
    Notifications,
    Gateway,
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) roles: Vec<RoleName>,
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Option<String>,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    pub(crate) otlp: Otlp,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) auth: Auth,
    pub(crate) access: Access,
    pub(crate) audit: Audit,
    pub(crate) oidc: Oidc,
    pub(crate) definitions: Service,
    pub(crate) secrets: Secrets,
    pub(crate) execution: Execution,
    pub(crate) scheduling: Scheduling,
    pub(crate) worker: Worker,
    pub(crate) notifications: Notifications,
    pub(crate) gateway: Gateway,
    pub(crate) tls: Tls,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    pub(crate) endpoint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: Option<Secret>,
    pub(crate) max_connections: u32,
    pub(crate) statement_timeout: Span,
    pub(crate) migrate: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) url: Option<Secret>,
    pub(crate) namespace: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Redis {
    pub(crate) fn tls(&self) -> RedisTls {
        RedisTls {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) mode: AuthMode,
    pub(crate) service_key: Option<Secret>,
    pub(crate) worker_key: Option<Secret>,
    pub(crate) api_key: Option<Secret>,
}

/// Whether callers are asked for a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMode {
    /// Where others than this machine can reach the port.
    Auto,
    Required,
    Off,
}

impl Auth {
    /// Whether callers of a port at this address are asked for a credential.
    pub(crate) fn is_required(&self, listen: SocketAddr) -> bool {
        match self.mode {
            AuthMode::Auto => !listen.ip().is_loopback(),
            AuthMode::Required => true,
            AuthMode::Off => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    pub(crate) address: Option<String>,
    pub(crate) session_lifetime: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    pub(crate) retention: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oidc {
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) audience: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) groups_claim: String,
    pub(crate) grants: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) keys: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Execution {
    pub(crate) address: Option<String>,
    pub(crate) max_live: usize,
    pub(crate) drain_timeout: Span,
    pub(crate) retention: Span,
    pub(crate) feed_retention: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheduling {
    pub(crate) address: Option<String>,
    pub(crate) fire_retention: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    pub(crate) name: Option<String>,
    pub(crate) namespace: String,
    pub(crate) slots: Option<u32>,
    pub(crate) queues: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) drain_grace: Span,
    pub(crate) kill_grace: Span,
    pub(crate) allow_private: bool,
    pub(crate) user: Option<String>,
    pub(crate) niceness: u8,
    pub(crate) secrets_file: Option<PathBuf>,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) python: PathBuf,
    pub(crate) python_path: Vec<PathBuf>,
    pub(crate) python_memory: u64,
    pub(crate) bash: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notifications {
    pub(crate) address: Option<String>,
    pub(crate) egress_allow: Vec<String>,
    pub(crate) public_url: Option<String>,
    pub(crate) retention: Span,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_streams: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) require_client_cert: bool,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
            ca: self.ca.clone(),
            require_client_cert: self.require_client_cert,
            server_name: self.server_name.clone(),
        }
    }

    /// True when this process serves over TLS.
    pub(crate) fn serves(&self) -> bool {
        self.cert.is_some() || self.key.is_some() || self.require_client_cert
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) max_concurrent_streams: u32,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_peer: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) calls_per_credential: u32,
    pub(crate) calls_per_namespace: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    pub(crate) notice: Span,
}

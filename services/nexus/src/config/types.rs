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
    const fn seconds(seconds: u64) -> Self {
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
    Worker,
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
    pub(crate) access: Access,
    pub(crate) oidc: Oidc,
    pub(crate) definitions: Service,
    pub(crate) execution: Execution,
    pub(crate) worker: Worker,
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
pub(crate) struct Access {
    pub(crate) session_lifetime: Span,
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
pub(crate) struct Execution {
    pub(crate) address: Option<String>,
    pub(crate) max_live: usize,
    pub(crate) drain_timeout: Span,
    pub(crate) retention: Span,
    pub(crate) feed_retention: Span,
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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    pub(crate) notice: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            advertise: None,
            metrics: Metrics {
                listen: Some(SocketAddr::from(([127, 0, 0, 1], 7071))),
            },
            log: Log {
                filter: "info".into(),
                format: LogFormat::Auto,
            },
            otlp: Otlp { endpoint: None },
            database: Database {
                url: None,
                max_connections: 10,
                statement_timeout: Span::seconds(30),
                migrate: false,
            },
            redis: Redis {
                url: None,
                namespace: "nexus".into(),
                ca: None,
                cert: None,
                key: None,
            },
            access: Access {
                session_lifetime: Span::seconds(12 * 3_600),
            },
            oidc: Oidc {
                issuer: None,
                client_id: None,
                client_secret: None,
                audience: None,
                redirect_uris: Vec::new(),
                groups_claim: "groups".into(),
                grants: BTreeMap::new(),
            },
            definitions: Service { address: None },
            execution: Execution {
                address: None,
                max_live: 200_000,
                drain_timeout: Span::seconds(30),
                retention: Span::seconds(0),
                feed_retention: Span::seconds(7 * 24 * 3_600),
            },
            worker: Worker::default(),
            gateway: Gateway {
                allowed_hosts: Vec::new(),
                cors_origins: Vec::new(),
                max_body_bytes: 16 << 20,
                max_streams: 1_000,
            },
            tls: Tls {
                cert: None,
                key: None,
                ca: None,
                require_client_cert: false,
                server_name: None,
            },
            limits: Limits {
                max_concurrent_streams: 256,
                max_connections: 10_000,
                max_connections_per_peer: 2_500,
                max_in_flight: 10_000,
            },
            drain: Drain {
                notice: Span::seconds(3),
            },
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: None,
            namespace: nexus_api::namespace::DEFAULT.into(),
            slots: None,
            queues: vec!["default".into()],
            labels: BTreeMap::new(),
            drain_grace: Span::seconds(20),
            kill_grace: Span::seconds(5),
            allow_private: false,
            user: None,
            niceness: 10,
            secrets_file: None,
            scratch: None,
            python: "python3".into(),
            python_path: Vec::new(),
            python_memory: 2 << 30,
            bash: "bash".into(),
        }
    }
}

//! What holds when nobody sets anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::types::{
    Access, Audit, Auth, AuthMode, Config, Database, Drain, Execution, Gateway, Limits, Log, LogFormat, Metrics,
    Notifications, Oidc, Otlp, Redis, Scheduling, Secrets, Service, Span, Tls, Worker,
};

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
            auth: Auth {
                mode: AuthMode::Auto,
                service_key: None,
                worker_key: None,
                api_key: None,
            },
            access: Access {
                address: None,
                session_lifetime: Span::seconds(12 * 3_600),
            },
            audit: Audit {
                retention: Span::seconds(0),
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
            secrets: Secrets {
                key_file: None,
                keys: None,
            },
            execution: Execution {
                address: None,
                max_live: 200_000,
                drain_timeout: Span::seconds(30),
                retention: Span::seconds(0),
                feed_retention: Span::seconds(7 * 24 * 3_600),
            },
            scheduling: Scheduling {
                address: None,
                fire_retention: Span::seconds(90 * 24 * 3_600),
            },
            worker: Worker::default(),
            notifications: Notifications {
                address: None,
                egress_allow: Vec::new(),
                public_url: None,
                retention: Span::seconds(30 * 24 * 3_600),
            },
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
                calls_per_credential: 1_000,
                calls_per_namespace: 0,
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

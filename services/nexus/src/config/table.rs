//! Every key: its name, the kind of its value and what it means. `docs/configuration.md` is written from this table.

use super::key::{DAY, Key, Kind, MINUTE, key};

use Kind::{Count, Flag, List, Map, Secret, Span, Text};

/// All keys, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    key(
        "roles",
        List,
        "What this process does: `access`, `definitions`, `execution`, `scheduling`, `worker`, `notifications`, `gateway`.",
    ),
    key("listen", Text, "Address for gRPC, health and reflection, and with the role gateway for REST."),
    key(
        "advertise",
        Text,
        "Address at which other replicas reach this one; from `listen` and the host's name when not set.",
    ),
    key(
        "metrics.listen",
        Text,
        "Address of `/metrics`, `/healthz` and `/readyz` over plain HTTP.",
    ),
    key(
        "log.filter",
        Text,
        "Which log lines are written, as `RUST_LOG` writes it.",
    ),
    key(
        "log.format",
        Text,
        "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere.",
    ),
    key(
        "otlp.endpoint",
        Text,
        "Address of an OpenTelemetry collector (gRPC); no traces are sent without one.",
    ),
    key(
        "database.url",
        Secret,
        "Address of Postgres, `postgres://user:password@host/database`; needed by access, definitions, execution, scheduling and notifications.",
    ),
    key(
        "database.max_connections",
        Count,
        "Connections to the database that this process opens at most.",
    )
    .from(1, 1_000),
    key(
        "database.statement_timeout",
        Span,
        "Longest time of one statement; the server ends it then.",
    )
    .from(100, 10 * MINUTE),
    key(
        "database.migrate",
        Flag,
        "Migrate the database when the process starts, instead of with `nexus migrate`.",
    ),
    key(
        "redis.url",
        Secret,
        "Address of Redis, `redis://:password@host:6379`, with TLS `rediss://…`; needed by execution.",
    ),
    key(
        "redis.namespace",
        Text,
        "What all keys in Redis begin with, for several systems on one server.",
    ),
    key(
        "redis.ca",
        Text,
        "The roots that a Redis with TLS is verified with, PEM; the public roots when not set.",
    ),
    key(
        "redis.cert",
        Text,
        "The certificate that Redis is shown, PEM, with `redis.key`.",
    ),
    key("redis.key", Text, "The key of that certificate, PEM."),
    key(
        "auth.mode",
        Text,
        "Whether callers are asked for a credential: `required`, `off`, or `auto`: where `listen` is reached from other machines (docs/access.md).",
    ),
    key(
        "auth.service_key",
        Secret,
        "By which the processes of one NEXUS know each other, the same at all of them; at least 32 characters. Several with commas: the first is shown, all are accepted.",
    ),
    key(
        "auth.worker_key",
        Secret,
        "The same for workers, which then do without `auth.service_key`: it makes a worker and nothing else. Set at workers and at those whom they call.",
    ),
    key(
        "auth.api_key",
        Secret,
        "The API key that a worker shows in the place of those, when it is not run by whoever runs the mesh.",
    ),
    key(
        "access.address",
        Text,
        "The access service, which says whose a credential is; written like the one below.",
    ),
    key(
        "access.session_lifetime",
        Span,
        "How long somebody who logged in stays logged in.",
    )
    .from(5 * MINUTE, 30 * DAY),
    key(
        "audit.retention",
        Span,
        "How long entries of the audit log are kept, such as `365d`; for ever when `0s` (docs/audit.md).",
    ),
    key(
        "oidc.issuer",
        Text,
        "The OpenID provider's issuer, `https://id.example.com`, as its tokens write it (docs/access.md).",
    ),
    key(
        "oidc.client_id",
        Text,
        "What NEXUS is called at the provider; without it nobody logs in by the provider.",
    ),
    key(
        "oidc.client_secret",
        Secret,
        "What NEXUS shows the provider; none for a public client.",
    ),
    key(
        "oidc.audience",
        Text,
        "What `aud` must hold in tokens of the provider that programs show instead of an API key; none is taken when not set.",
    ),
    key(
        "oidc.redirect_uris",
        List,
        "Where the provider may send people back to, exactly; programs on their own machine need no entry.",
    ),
    key(
        "oidc.groups_claim",
        Text,
        "The claim of the provider's tokens that has the groups.",
    ),
    key(
        "oidc.grants",
        Map,
        "What groups give: a role in EVERY namespace, or with `@` in some, `+` between them: `ops=admin,data=editor@team-a+team-b`.",
    ),
    key(
        "definitions.address",
        Text,
        "The definitions service, `http://host:7070`; a host with several addresses, or several URIs with commas, are balanced over.",
    ),
    key(
        "secrets.key_file",
        Text,
        "File with the keys that encrypt secrets, lines `ID BASE64` of 32 random bytes each: the first one encrypts, all decrypt. Read again when it changes; needed by the role definitions (docs/secrets.md).",
    ),
    key(
        "secrets.keys",
        Secret,
        "The same keys themselves, with commas between them, where there is no file.",
    ),
    key(
        "execution.address",
        Text,
        "The execution service, written like the one above; needed by workers and gateways.",
    ),
    key(
        "execution.max_live",
        Count,
        "Executions that are live at a time on this replica; more starts are refused with a delay.",
    )
    .from(1, 10_000_000),
    key(
        "execution.drain_timeout",
        Span,
        "How long handing shards and workers over may take at the end.",
    )
    .from(0, 60 * MINUTE),
    key(
        "execution.retention",
        Span,
        "How long executions are kept after their end, such as `30d`; for ever when `0s`.",
    ),
    key(
        "execution.feed_retention",
        Span,
        "How long entries of the feed are kept that one of its readers has not acknowledged.",
    )
    .from(MINUTE, 3_650 * DAY),
    key(
        "scheduling.address",
        Text,
        "The scheduling service, written like the one above; gateways pass on to it what is about schedules.",
    ),
    key(
        "scheduling.fire_retention",
        Span,
        "How long it is kept what became of a schedule's nominal times, after their end.",
    )
    .from(MINUTE, 3_650 * DAY),
    key(
        "worker.name",
        Text,
        "The worker's name for people; host and process when not set.",
    ),
    key(
        "worker.namespace",
        Text,
        "Namespace whose tasks are run (docs/namespaces.md); `NEXUS_NAMESPACE` and `--namespace` set it too.",
    ),
    key(
        "worker.slots",
        Count,
        "Tasks at a time; eight for each core and at least 16 when not set.",
    )
    .from(1, 1_000),
    key("worker.queues", List, "Queues of the namespace that tasks are taken from."),
    key("worker.labels", Map, "Names and values for people and dashboards."),
    key(
        "worker.drain_grace",
        Span,
        "How long running tasks may go on at the end; then they are stopped and given back.",
    )
    .from(0, DAY),
    key(
        "worker.kill_grace",
        Span,
        "Time between SIGTERM and SIGKILL for a task that is stopped.",
    )
    .from(0, 10 * MINUTE),
    key(
        "worker.allow_private",
        Flag,
        "Whether `http` and `grpc` tasks, and `sql` tasks by their own `url`, may reach loopback and private addresses. Connections are the operator's choice, and what `bash` and `python` tasks reach only the network bounds: neither is looked at.",
    ),
    key(
        "worker.user",
        Text,
        "The user, by name or number, that `bash` and `python` tasks run as; the worker's own when not set. Needs a worker that may change users: root's.",
    ),
    key(
        "worker.secrets_file",
        Text,
        "File with secrets and connections; also read from `NEXUS_SECRET_*` and `NEXUS_CONNECTION_*`.",
    ),
    key(
        "worker.niceness",
        Count,
        "How much the processes of `bash` and `python` tasks yield the processor to others, from 0, not at all, to 19.",
    )
    .from(0, 19),
    key(
        "worker.scratch",
        Text,
        "Where tasks' scratch folders are made; the system's when not set.",
    ),
    key(
        "worker.python",
        Text,
        "The Python interpreter: a name on `PATH` or a path.",
    ),
    key(
        "worker.python_path",
        List,
        "Where `function: module:name` is looked for first.",
    ),
    key(
        "worker.python_memory",
        Count,
        "Address space of a Python task that sets no `memory`, in bytes.",
    )
    .from(16 << 20, 1 << 40),
    key("worker.bash", Text, "The shell: a name on `PATH` or a path."),
    key(
        "notifications.address",
        Text,
        "The notifications service, written like the ones above; gateways pass its calls on.",
    ),
    key(
        "notifications.egress_allow",
        List,
        "What messages may be sent to beside the public internet: addresses, networks such as `10.0.0.0/8`, and names of hosts (docs/notifications.md).",
    ),
    key(
        "notifications.public_url",
        Text,
        "Where people look at executions, such as `https://nexus.example.com`: messages lead to `/executions/ID` below it. They name the command that shows it when not set.",
    ),
    key(
        "notifications.retention",
        Span,
        "How long messages are kept after their end, such as `30d`; for ever when `0s`.",
    ),
    key(
        "gateway.allowed_hosts",
        List,
        "Hosts that REST and gRPC-Web may be asked for, as the header `Host` names them, without ports. When empty: \
         any, and those of the machine itself where `listen` is on loopback and no credentials are asked for.",
    ),
    key(
        "gateway.cors_origins",
        List,
        "Origins of web pages that may ask, such as `https://console.example.com`; none but its own when empty.",
    ),
    key("gateway.max_body_bytes", Count, "Bytes of a REST request's body at most.").from(1 << 10, 64 << 20),
    key(
        "gateway.max_streams",
        Count,
        "Streams over REST that are open at a time; more are refused with a delay.",
    )
    .from(1, 100_000),
    key(
        "tls.cert",
        Text,
        "The own certificate and those between it and the root, PEM; with it this process serves TLS only.",
    ),
    key("tls.key", Text, "The own private key, PEM."),
    key(
        "tls.ca",
        Text,
        "The roots that peers are verified with, PEM; servers are verified with the public roots when not set.",
    ),
    key(
        "tls.require_client_cert",
        Flag,
        "Refuse clients without a certificate of `tls.ca` (mutual TLS).",
    ),
    key(
        "tls.server_name",
        Text,
        "The name that servers' certificates must have; the host of their address when not set.",
    ),
    key(
        "limits.max_concurrent_streams",
        Count,
        "Streams that one connection may have open.",
    )
    .from(1, 100_000),
    key(
        "limits.max_connections",
        Count,
        "Connections at a time; more are closed at once.",
    )
    .from(1, 1_000_000),
    key(
        "limits.max_connections_per_peer",
        Count,
        "Connections of one address at a time; more are closed at once. Raise it where many come through one proxy.",
    )
    .from(1, 1_000_000),
    key(
        "limits.max_in_flight",
        Count,
        "Calls under way at a time; more are answered RESOURCE_EXHAUSTED, except for critical and waiting ones (docs/methods.md).",
    )
    .from(1, 1_000_000),
    key(
        "limits.calls_per_credential",
        Count,
        "Calls a second of one credential at each process, twice as many at once after a pause; more are answered RATE_LIMITED with a delay. No limit when 0. What workers would lose by it is not counted.",
    )
    .from(0, 1_000_000),
    key(
        "limits.calls_per_namespace",
        Count,
        "The same for all calls about one namespace.",
    )
    .from(0, 1_000_000),
    key(
        "drain.notice",
        Span,
        "How long a server that ends still accepts, saying NOT_SERVING, so that balancers notice.",
    )
    .from(0, 10 * MINUTE),
];

//! Who may call what, at every door: each method of the contracts, by each kind of caller, over gRPC, gRPC-Web and REST,
//! against a real port with the layers of every service. What is let in is not served here: nobody is behind the door, so
//! an answer that is no refusal means that the call came through. `docs/permissions.md` is what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nexus_access_store::roles::{BUILT_IN, all_grantable};
use nexus_api::access::v1::{Allowance, Identity, IdentityKind};
use nexus_api::method::{METHODS, Method, Permission};
use nexus_auth::authorize::is_of_services;
use nexus_auth::rates::Rates;
use nexus_auth::service_key::{ServiceKey, ServiceKeys};
use nexus_auth::verify::{Verify, VerifyError};
use nexus_auth::{Caller, Guard};
use nexus_gateway::catalog::Catalog;
use nexus_gateway::{Gateway, Options};
use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Ending, Listener, ServerOptions};
use nexus_mesh::{system_clock, transport};
use reqwest::{Client, StatusCode};
use tonic::Code;
use tonic::service::Routes;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/permissions.md");
const SERVICE_KEY: &str = "the-key-of-services-0123456789abcdef";
const WORKER_KEY: &str = "the-key-of-workers-0123456789abcdef0";
/// Packages of the contracts, each with a service that people or services call.
const PACKAGES: [&str; 8] = [
    "nexus.access.",
    "nexus.audit.",
    "nexus.definitions.",
    "nexus.execution.",
    "nexus.worker.",
    "nexus.feed.",
    "nexus.notifications.",
    "nexus.scheduling.",
];

/// A token is a role, in `default` or, with a star, in every namespace; `elsewhere` is an administrator of another one.
struct Roles;

#[tonic::async_trait]
impl Verify for Roles {
    async fn verify(&self, token: &str) -> Result<(Caller, Duration), VerifyError> {
        let (role, namespace) = match token.strip_suffix('*') {
            Some(role) => (role, "*"),
            None if token == "elsewhere" => ("admin", "other"),
            None => (token, "default"),
        };
        let built_in = BUILT_IN.iter().find(|built_in| built_in.name == role);
        let built_in = built_in.ok_or_else(|| VerifyError::Invalid("it is unknown".to_owned()))?;
        let permissions = built_in
            .permissions
            .iter()
            .map(|permission| permission.name().to_owned());
        let identity = Identity {
            subject: format!("user:{token}"),
            kind: IdentityKind::User.into(),
            allowances: vec![Allowance {
                namespaces: vec![namespace.to_owned()],
                permissions: permissions.collect(),
            }],
            ..Identity::default()
        };
        Ok((Caller::new(identity), Duration::from_secs(30)))
    }
}

/// Every kind of caller, and what it shows.
fn callers() -> Vec<(&'static str, Option<String>)> {
    let now = u64::try_from(system_clock()() / 1_000_000).expect("a time");
    let token = |key: &str, role: &str| Some(ServiceKey::read(key).expect("a key").sign(role, now));
    let shown = |token: &str| Some(token.to_owned());
    vec![
        ("nobody", None),
        ("a forged credential", shown("forged")),
        ("viewer", shown("viewer")),
        ("operator", shown("operator")),
        ("editor", shown("editor")),
        ("admin", shown("admin")),
        ("admin of all", shown("admin*")),
        ("worker", shown("worker")),
        ("admin of another namespace", shown("elsewhere")),
        ("a service", token(SERVICE_KEY, "execution")),
        ("a worker of the mesh", token(WORKER_KEY, "worker")),
        ("a worker that claims to be a service", token(WORKER_KEY, "execution")),
    ]
}

/// What became of a call at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    LetIn,
    Unknown,
    Denied,
}

impl Outcome {
    fn of_grpc(code: i32) -> Self {
        match Code::from_i32(code) {
            Code::Unauthenticated => Self::Unknown,
            Code::PermissionDenied => Self::Denied,
            _ => Self::LetIn,
        }
    }

    fn of_http(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unknown,
            StatusCode::FORBIDDEN => Self::Denied,
            _ => Self::LetIn,
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::LetIn => "yes",
            Self::Unknown => "401",
            Self::Denied => "no",
        }
    }
}

/// A port with the doors of every service and nobody behind them.
async fn serve(shutdown: Ending) -> SocketAddr {
    let keys = ServiceKeys {
        service: ServiceKey::read(SERVICE_KEY).ok(),
        worker: ServiceKey::read(WORKER_KEY).ok(),
    };
    let guard = Guard::checked(keys, Arc::new(Roles), Rates::new(0, 0), system_clock());
    let behind = || transport::in_process_behind(Routes::default(), Arc::new(guard.clone()));
    let ways = PACKAGES.iter().map(|package| (*package, behind())).collect();
    let options = Options {
        door: guard.clone(),
        ..Options::default()
    };
    let readiness = Readiness::default();
    let gateway = Gateway::new(ways, options, readiness.clone()).expect("the contracts");
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a port");
    let address = listener.address();
    let options = ServerOptions {
        gate: Some(Arc::new(guard)),
        ..ServerOptions::default()
    };
    tokio::spawn(async move {
        let health = readiness.service(shutdown.serving.clone());
        let http = Some(gateway.http());
        listener
            .serve_with(&options, Routes::builder(), http, health, shutdown)
            .await
    });
    address
}

/// A caller at the port.
struct Asking {
    grpc: Client,
    plain: Client,
    address: SocketAddr,
}

impl Asking {
    async fn post(&self, client: &Client, path: &str, media_type: &str, credential: Option<&str>) -> Outcome {
        let request = client
            .post(format!("http://{}{path}", self.address))
            .header("content-type", media_type)
            .header("te", "trailers")
            .header("nexus-namespace", "default")
            .body(vec![0; 5]);
        let request = match credential {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        let code = answer
            .headers()
            .get("grpc-status")
            .and_then(|code| code.to_str().ok())
            .map(str::to_owned);
        Outcome::of_grpc(
            code.unwrap_or_else(|| panic!("{path}: no status"))
                .parse()
                .expect("a code"),
        )
    }

    async fn rest(&self, verb: &str, template: &str, credential: Option<&str>) -> Outcome {
        let mut path = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').expect("it is closed");
            path.push_str(before);
            path.push('x');
            rest = after;
        }
        path.push_str(rest);
        let request = self
            .plain
            .request(verb.parse().expect("a verb"), format!("http://{}{path}", self.address));
        let request = match credential {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        };
        let request = request.header("nexus-namespace", "default");
        let request = match verb {
            "GET" | "DELETE" => request,
            _ => request.header("content-type", "application/json").body("{}"),
        };
        Outcome::of_http(request.send().await.expect("an answer").status())
    }

    /// What becomes of a method at each of its doors, which all must say the same.
    async fn ask(&self, method: &Method, rest: &[(String, String)], credential: Option<&str>) -> Outcome {
        let outcome = self.post(&self.grpc, method.path, "application/grpc", credential).await;
        let web = self
            .post(&self.plain, method.path, "application/grpc-web+proto", credential)
            .await;
        assert_eq!(web, outcome, "gRPC-Web differs at {}", method.path);
        for (verb, template) in rest {
            let rest = self.rest(verb, template, credential).await;
            assert_eq!(rest, outcome, "REST differs at {verb} {template} with {credential:?}");
        }
        outcome
    }
}

#[test]
fn what_is_said_to_be_in_no_role_can_be_in_none() {
    let of_everybody = [Permission::Unspecified, Permission::Public, Permission::Authenticated];
    for method in METHODS {
        let permission = method.permission;
        let given = all_grantable().any(|grantable| grantable == permission);
        let expected = !given && !of_everybody.contains(&permission);
        assert_eq!(is_of_services(permission), expected, "{}", method.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_lets_in_whom_the_document_names_over_every_protocol() {
    // Clients want to know who does their TLS, even where there is none; only the first call sets it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let ending = Ending::default();
    let asking = Asking {
        grpc: Client::builder().http2_prior_knowledge().build().expect("a client"),
        plain: Client::new(),
        address: serve(ending.clone()).await,
    };
    let catalog = Catalog::read(nexus_api::json::pool()).expect("the contracts");
    let mut rest: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for operation in catalog.operations() {
        let place = (operation.verb.to_string(), operation.template.text().to_owned());
        rest.entry(&operation.rpc_path).or_default().push(place);
    }
    let callers = callers();
    let mut table = String::new();
    let mut shown = BTreeSet::new();
    for method in METHODS {
        let short = method.service.rsplit('.').next().unwrap_or_default();
        if shown.insert(short) {
            let heads: Vec<&str> = callers.iter().map(|(name, _)| *name).collect();
            let rule = "---|".repeat(heads.len() + 2);
            write!(
                table,
                "\n## {short}\n\n| method | permission | {} |\n|{rule}\n",
                heads.join(" | ")
            )
            .expect("text");
        }
        let places = rest.get(method.path).map_or(&[][..], Vec::as_slice);
        let mut cells = Vec::new();
        for (_, credential) in &callers {
            cells.push(asking.ask(method, places, credential.as_deref()).await.shown());
        }
        let permission = method.permission.name();
        writeln!(table, "| {} | `{permission}` | {} |", method.name, cells.join(" | ")).expect("text");
    }
    ending.accepting.cancel();
    ending.serving.cancel();
    compare(&table);
}

/// Compares with the document, or writes it where that is asked for.
fn compare(table: &str) {
    const MARK: &str = "<!-- written by `NEXUS_UPDATE_DOCS=1 cargo test -p nexus --test doors` -->\n";
    let document = std::fs::read_to_string(DOCUMENT).expect("docs/permissions.md");
    let (head, committed) = document.split_once(MARK).expect("the mark");
    if std::env::var_os("NEXUS_UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, format!("{head}{MARK}{table}")).expect("written");
        return;
    }
    for (number, (now, before)) in table.lines().zip(committed.lines()).enumerate() {
        assert_eq!(now, before, "docs/permissions.md, line {number} behind the mark");
    }
    assert_eq!(
        table.lines().count(),
        committed.lines().count(),
        "docs/permissions.md has other lines"
    );
}

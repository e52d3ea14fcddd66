//! Who is let in, and as whom.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, header};
use nexus_api::access::v1::{Allowance, Identity};
use nexus_mesh::system_clock;
use tonic::Code;
use tower::ServiceExt;

use super::*;
use crate::ServiceKey;
use crate::verify::VerifyError;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const LIST: &str = "/nexus.execution.v1.ExecutionService/ListExecutions";
const WATCH: &str = "/nexus.execution.v1.ExecutionService/WatchExecution";
const LOGIN: &str = "/nexus.access.v1.AuthenticationService/Login";
const AUTHENTICATE: &str = "/nexus.access.v1.AuthenticationService/Authenticate";

/// Knows `good`, who may read executions in `team`, until it is revoked.
#[derive(Default)]
struct One {
    revoked: AtomicBool,
}

#[tonic::async_trait]
impl Verify for One {
    async fn verify(&self, credential: &str) -> Result<(Caller, Duration), VerifyError> {
        if credential != "good" || self.revoked.load(Ordering::Relaxed) {
            return Err(VerifyError::Invalid("it is unknown".to_owned()));
        }
        let identity = Identity {
            subject: "user:anna".to_owned(),
            allowances: vec![Allowance {
                namespaces: vec!["team".to_owned()],
                permissions: vec!["executions.read".to_owned()],
            }],
            ..Identity::default()
        };
        Ok((Caller::new(identity), Duration::from_secs(30)))
    }
}

fn guard() -> (Guard, Arc<One>) {
    let one = Arc::new(One::default());
    let keys = ServiceKeys {
        service: ServiceKey::read(KEY).ok(),
        worker: None,
    };
    let rates = Rates::new(1_000, 0);
    (Guard::checked(keys, one.clone(), rates, system_clock()), one)
}

fn call(path: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers
        .iter()
        .fold(Request::builder().uri(path), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(()).expect("a request").into_parts().0
}

async fn ask(guard: &Guard, call: &mut Parts) -> Result<Option<Ended>, Code> {
    let method = nexus_api::method::method(call.uri.path()).expect("a method");
    let admitted = guard.admit(method, call).await;
    admitted.map(|admitted| admitted.ended).map_err(|status| status.code())
}

#[tokio::test]
async fn a_credential_is_let_in_where_it_may_and_its_only_namespace_is_meant() {
    let (guard, _) = guard();
    let good = ("authorization", "Bearer good");
    let mut own = call(LIST, &[good]);
    assert!(ask(&guard, &mut own).await.is_ok());
    assert_eq!(own.headers[METADATA], "team");
    assert_eq!(own.extensions.get::<Caller>().map(Caller::subject), Some("user:anna"));
    let named = |name| [good, (METADATA, name)];
    assert!(ask(&guard, &mut call(LIST, &named("team"))).await.is_ok());
    for (headers, code) in [
        (&named("default")[..], Code::PermissionDenied),
        (&named("Not One"), Code::InvalidArgument),
        (
            &[good, (METADATA, "team"), (METADATA, "default")],
            Code::InvalidArgument,
        ),
        (&[], Code::Unauthenticated),
        (&[("authorization", "Bearer bad")], Code::Unauthenticated),
        (&[("authorization", "Basic good")], Code::Unauthenticated),
        (&[good, good], Code::Unauthenticated),
        (
            &[("authorization", "Bearer nxm_execution.9999999999.AAAA")],
            Code::Unauthenticated,
        ),
    ] {
        let refused = ask(&guard, &mut call(LIST, headers)).await.err();
        assert_eq!(refused, Some(code), "{headers:?}");
    }
    let start = call("/nexus.execution.v1.ExecutionService/StartExecution", &[good]);
    let refused = ask(&guard, &mut { start }).await.err();
    assert_eq!(refused, Some(Code::PermissionDenied));
}

#[tokio::test]
async fn everybody_may_log_in_and_nobody_but_services_asks_whose_a_credential_is() {
    let (guard, _) = guard();
    assert!(ask(&guard, &mut call(LOGIN, &[])).await.is_ok());
    let refused = ask(&guard, &mut call(AUTHENTICATE, &[("authorization", "Bearer good")]))
        .await
        .err();
    assert_eq!(refused, Some(Code::PermissionDenied));
    let echo = tower::service_fn(|request: Request<tonic::body::Body>| async move {
        let mut answer = http::Response::new(tonic::body::Body::empty());
        *answer.headers_mut() = request.headers().clone();
        Ok::<_, Status>(answer)
    });
    let shown = crate::outgoing::Shown::Service {
        role: "execution",
        key: ServiceKey::read(KEY).ok(),
    };
    let way = crate::outgoing::showing(tower::util::BoxCloneSyncService::new(echo), shown);
    let sent = way
        .oneshot(Request::new(tonic::body::Body::empty()))
        .await
        .expect("an answer");
    let token = sent.headers()[header::AUTHORIZATION].to_str().expect("text").to_owned();
    let mut asked = call(AUTHENTICATE, &[("authorization", &token)]);
    assert!(ask(&guard, &mut asked).await.is_ok());
    assert_eq!(
        asked.extensions.get::<Caller>().map(Caller::subject),
        Some("service:execution")
    );
}

#[tokio::test]
async fn whom_this_process_asked_already_is_judged_by_what_they_may() {
    let (guard, _) = guard();
    let (anna, _) = One::default().verify("good").await.expect("she is known");
    let mut passed = call(LIST, &[]);
    passed.extensions.insert(anna.clone());
    assert!(ask(&guard, &mut passed).await.is_ok());
    let mut denied = call(AUTHENTICATE, &[]);
    denied.extensions.insert(anna);
    assert_eq!(ask(&guard, &mut denied).await.err(), Some(Code::PermissionDenied));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_within_a_minute_of_the_revocation() {
    let (guard, one) = guard();
    let mut watch = call(WATCH, &[("authorization", "Bearer good")]);
    let ended = ask(&guard, &mut watch).await.expect("let in").expect("a stream");
    let mut ended = Box::pin(ended);
    let early = tokio::time::timeout(Duration::from_secs(300), &mut ended).await;
    assert!(early.is_err(), "it goes on");
    one.revoked.store(true, Ordering::Relaxed);
    let status = tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("it ends");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_open_door_lets_everybody_in_as_whoever_uses_the_machine() {
    let guard = Guard::open();
    let mut any = call(LIST, &[("authorization", "Bearer whatever")]);
    assert!(ask(&guard, &mut any).await.is_ok());
    assert_eq!(any.extensions.get::<Caller>().map(Caller::subject), Some("local"));
}

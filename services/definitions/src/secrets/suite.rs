//! What the service promises over every adapter: that values come out as they went in and for nobody else, and that whatever
//! somebody changes in the database is found.

mod rotation;
mod tampering;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use nexus_api::definitions::v1::{
    DeleteSecretRequest, GetSecretRequest, ListSecretUsesRequest, ListSecretsRequest, ResolveSecretsRequest, Secret,
    SetSecretRequest,
};
use nexus_api::error::reason_of;
use nexus_api::{ErrorReason, Namespace};
use nexus_auth::Caller;
use tonic::{Code, Status};

use super::keys::{KeyRing, Keys};
use super::operations::{Call, Context, delete, get, list, resolve, set, uses};
use super::random::system_random;
use super::sealing::Sealer;
use crate::store::postgres::PostgresStore;
use crate::store::secrets::SecretStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Expected, NewRevision, Store, StoreError, Write};

/// A store to which somebody has access.
#[async_trait]
trait Reached: SecretStore + Store + Clone + 'static {
    async fn execute(&self, sql: String) -> u64;
}

#[async_trait]
impl Reached for SqliteStore {
    async fn execute(&self, sql: String) -> u64 {
        self.execute(sql).await
    }
}

#[async_trait]
impl Reached for PostgresStore {
    async fn execute(&self, sql: String) -> u64 {
        self.execute(sql).await
    }
}

const OLD: &str = "old AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new //79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

/// The service over a store, at a time that passes with each call.
struct Served(Context);

impl Served {
    fn new(store: &impl Reached, keys: Arc<dyn Keys>) -> Self {
        let now = AtomicI64::new(1_000);
        Self(Context {
            store: Arc::new(store.clone()),
            sealer: Sealer::new(Arc::clone(&keys), system_random()),
            keys,
            clock: Arc::new(move || now.fetch_add(1, Ordering::Relaxed)),
            recorder: nexus_audit::Recorder::off(),
        })
    }

    fn with(store: &impl Reached, keys: &str) -> Self {
        let ring = KeyRing::parse(keys, system_random()).expect("a ring");
        Self::new(store, Arc::new(ring))
    }

    async fn try_set(&self, namespace: &str, request: SetSecretRequest) -> Result<Secret, Status> {
        let answer = set::set(&self.0, &call(namespace), request).await?;
        Ok(answer.secret.expect("a secret"))
    }

    async fn set(&self, namespace: &str, name: &str, value: &str) -> Secret {
        self.try_set(namespace, setting(name, value)).await.expect("set")
    }

    async fn value(&self, namespace: &str, name: &str) -> Result<Option<String>, Status> {
        let request = ResolveSecretsRequest {
            names: vec![name.to_owned()],
        };
        let answer = resolve::resolve(&self.0, &call(namespace), request).await?;
        let secret = answer.secrets.into_iter().next();
        Ok(secret.map(|secret| {
            assert_eq!(secret.name, name, "as it was asked for");
            secret.value
        }))
    }
}

fn call(namespace: &str) -> Call {
    Call {
        caller: Caller::service("execution"),
        namespace: namespace.parse().expect("a namespace"),
        origin: nexus_audit::Origin::none(),
    }
}

fn setting(name: &str, value: &str) -> SetSecretRequest {
    SetSecretRequest {
        secret: name.to_owned(),
        value: value.to_owned(),
        ..SetSecretRequest::default()
    }
}

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

async fn values_come_out_as_they_went_in_and_only_in_their_namespace(store: &impl Reached) {
    let served = Served::with(store, OLD);
    let first = served.set("default", "Api_Key", "hunter2 ☃\n").await;
    assert_eq!(
        (first.name.as_str(), first.version, first.versions_kept),
        ("api_key", 1, 1)
    );
    assert_eq!(
        (first.creator.as_str(), first.updater.as_str()),
        ("service:execution", "service:execution")
    );
    for spelled in ["api_key", "API_KEY"] {
        assert_eq!(
            served.value("default", spelled).await.expect("read"),
            some("hunter2 ☃\n")
        );
    }
    assert_eq!(served.value("team-a", "api_key").await.expect("read"), None);
    served.set("team-a", "api_key", "theirs").await;
    let told = SetSecretRequest {
        description: some("for the shop"),
        ..setting("api_key", "second")
    };
    served.try_set("default", told).await.expect("set");
    let third = served.set("default", "api_key", "third").await;
    assert_eq!((third.description.as_str(), third.version), ("for the shop", 3));
    assert_eq!(third.create_time, first.create_time);
    assert_ne!(third.update_time, first.update_time);
    assert_eq!(served.value("default", "api_key").await.expect("read"), some("third"));
    assert_eq!(served.value("team-a", "api_key").await.expect("read"), some("theirs"));
    let request = GetSecretRequest {
        secret: "API_KEY".into(),
    };
    let known = get::get(&served.0, &call("default"), &request).await.expect("get");
    assert_eq!(known.secret, Some(third));
    assert!(!format!("{known:?}").contains("third"));
    let request = DeleteSecretRequest {
        secret: "api_key".into(),
    };
    delete::delete(&served.0, &call("default"), &request)
        .await
        .expect("deleted");
    let gone = delete::delete(&served.0, &call("default"), &request)
        .await
        .expect_err("gone");
    assert_eq!(reason_of(&gone), Some(ErrorReason::SecretNotFound));
    assert_eq!(served.value("default", "api_key").await.expect("read"), None);
    let fourth = served.set("default", "api_key", "again").await;
    assert_eq!((fourth.version, fourth.description.as_str()), (4, ""), "numbers go on");
    assert_eq!(served.value("team-a", "api_key").await.expect("read"), some("theirs"));
}

async fn a_call_that_is_repeated_is_done_once(store: &impl Reached) {
    let served = Served::with(store, OLD);
    let request = |name: &str, value: &str| SetSecretRequest {
        request_id: "id".into(),
        ..setting(name, value)
    };
    for _ in 0..2 {
        let secret = served.try_set("default", request("a", "hunter2")).await.expect("set");
        assert_eq!(secret.version, 1);
    }
    for other in [request("a", "two"), request("b", "hunter2")] {
        let refused = served.try_set("default", other).await.expect_err("reused");
        assert_eq!(reason_of(&refused), Some(ErrorReason::RequestIdReused));
        assert!(!refused.message().contains("hunter2"));
    }
    assert_eq!(
        served
            .try_set("team-a", request("a", "two"))
            .await
            .expect("set")
            .version,
        1
    );
    let both = futures::future::join_all((0..4).map(|_| {
        let request = SetSecretRequest {
            request_id: "other".into(),
            ..setting("a", "three")
        };
        served.try_set("default", request)
    }));
    for answer in both.await {
        assert_eq!(answer.expect("set").version, 2);
    }
}

async fn an_earlier_version_can_be_taken_back_while_it_is_kept(store: &impl Reached) {
    let served = Served::with(store, OLD);
    for number in 1..=7 {
        served.set("default", "a", &format!("value {number}")).await;
    }
    let restoring = |version| SetSecretRequest {
        restore_version: version,
        ..setting("a", "")
    };
    let gone = served.try_set("default", restoring(2)).await.expect_err("too old");
    assert_eq!(reason_of(&gone), Some(ErrorReason::SecretNotFound));
    let restored = served.try_set("default", restoring(3)).await.expect("restored");
    assert_eq!((restored.version, restored.versions_kept), (8, 5));
    assert_eq!(served.value("default", "a").await.expect("read"), some("value 3"));
    assert!(served.try_set("team-a", restoring(3)).await.is_err(), "another's");
}

async fn sizes_and_counts_are_bounded(store: &impl Reached) {
    let served = Served::with(store, OLD);
    let most = set::MAX_VALUE;
    let value = "v".repeat(most);
    served.set("default", "a", &value).await;
    assert_eq!(served.value("default", "a").await.expect("read"), Some(value));
    let over = served.try_set("default", setting("a", &"v".repeat(most + 1))).await;
    let over = over.expect_err("too long");
    assert!(
        over.message().contains("65536") && !over.message().contains("vv"),
        "{over}"
    );
    let described = |length| SetSecretRequest {
        description: Some("d".repeat(length)),
        ..setting("a", "v")
    };
    assert!(served.try_set("default", described(1_024)).await.is_ok());
    assert!(served.try_set("default", described(1_025)).await.is_err());
    let names = |count| ResolveSecretsRequest {
        names: (0..count).map(|number| format!("n{number}")).collect(),
    };
    assert!(resolve::resolve(&served.0, &call("default"), names(100)).await.is_ok());
    let many = resolve::resolve(&served.0, &call("default"), names(101)).await;
    assert_eq!(many.expect_err("too many").code(), Code::InvalidArgument);
}

async fn lists_page_by_name(store: &impl Reached) {
    let served = Served::with(store, OLD);
    for name in ["c", "a", "b"] {
        served.set("default", name, "v").await;
    }
    served.set("team-a", "d", "v").await;
    let page = async |page_token: String| {
        let request = ListSecretsRequest {
            page_size: 2,
            page_token,
        };
        let page = list::list(&served.0, &call("default"), &request).await.expect("a page");
        let names: Vec<String> = page.secrets.into_iter().map(|secret| secret.name).collect();
        (names, page.next_page_token)
    };
    let (first, token) = page(String::new()).await;
    assert_eq!(first, ["a", "b"]);
    assert_eq!(page(token).await, (vec!["c".to_owned()], String::new()));
}

async fn only_services_are_given_values(store: &impl Reached) {
    let served = Served::with(store, OLD);
    served.set("default", "a", "hunter2").await;
    let call = Call {
        caller: Caller::worker(),
        namespace: Namespace::default(),
        origin: nexus_audit::Origin::none(),
    };
    let request = ResolveSecretsRequest {
        names: vec!["a".into()],
    };
    let refused = resolve::resolve(&served.0, &call, request).await.expect_err("a worker");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

async fn without_a_key_nothing_is_set_and_everything_else_works(store: &impl Reached) {
    let served = Served::new(store, Arc::new(KeyRing::empty(system_random())));
    let refused = served
        .try_set("default", setting("a", "hunter2"))
        .await
        .expect_err("no key");
    assert_eq!(reason_of(&refused), Some(ErrorReason::SecretKeyMissing));
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("secrets.key_file"), "{refused}");
    let request = ListSecretsRequest::default();
    assert!(list::list(&served.0, &call("default"), &request).await.is_ok());
    assert_eq!(served.value("default", "a").await.expect("read"), None);
}

async fn uses_are_those_of_newest_revisions(store: &impl Reached) {
    let served = Served::with(store, OLD);
    let names =
        |secret: &str| format!(r#"{{"tasks":{{"t":{{"bash":{{"env":{{"A":"{{{{ secrets.{secret} }}}}"}}}}}}}}}}"#);
    let write = async |name: &str, expected: Expected, document: String| {
        let written = Store::write(
            store,
            Write {
                expected,
                namespace: Namespace::default(),
                name: name.to_owned(),
                description: String::new(),
                labels: std::collections::BTreeMap::default(),
                revision: Some(NewRevision {
                    digest: String::new(),
                    source: String::new(),
                    document,
                    message: String::new(),
                    task_count: 1,
                }),
                request: None,
                at: 1,
            },
        );
        written.await.expect("written");
    };
    for number in 0..40 {
        write(&format!("w{number:02}"), Expected::Absent, names("Api")).await;
    }
    write("other", Expected::Absent, names("api_2")).await;
    write("w00", Expected::Version(1), names("other")).await;
    Store::delete(store, &Namespace::default(), "w01", None, 5)
        .await
        .expect("deleted");
    let page = async |page_size, page_token: String| {
        let request = ListSecretUsesRequest {
            secret: "API".into(),
            page_size,
            page_token,
        };
        let page = uses::uses(&served.0, &call("default"), &request).await.expect("a page");
        let names: Vec<String> = page.uses.into_iter().map(|found| found.workflow).collect();
        (names, page.next_page_token)
    };
    let (first, token) = page(20, String::new()).await;
    assert_eq!((first.len(), first[0].as_str(), first[19].as_str()), (20, "w02", "w21"));
    let (rest, token) = page(20, token).await;
    assert_eq!((rest.len(), rest[0].as_str(), token.as_str()), (18, "w22", ""));
    let elsewhere = ListSecretUsesRequest {
        secret: "api".into(),
        ..ListSecretUsesRequest::default()
    };
    let elsewhere = uses::uses(&served.0, &call("team-a"), &elsewhere)
        .await
        .expect("a page");
    assert!(elsewhere.uses.is_empty());
}

nexus_service::conformance! {
    adapters: { sqlite: SqliteStore::open, postgres: in_postgres },
    tests: [
        values_come_out_as_they_went_in_and_only_in_their_namespace,
        a_call_that_is_repeated_is_done_once,
        an_earlier_version_can_be_taken_back_while_it_is_kept,
        sizes_and_counts_are_bounded,
        lists_page_by_name,
        only_services_are_given_values,
        without_a_key_nothing_is_set_and_everything_else_works,
        uses_are_those_of_newest_revisions,
        whatever_column_is_changed_is_found,
        keys_are_exchanged_while_values_are_read,
        a_key_that_is_still_needed_is_named,
    ],
}

use rotation::{a_key_that_is_still_needed_is_named, keys_are_exchanged_while_values_are_read};
use tampering::whatever_column_is_changed_is_found;

async fn in_postgres(path: &Path) -> Result<PostgresStore, StoreError> {
    crate::store::suite::in_postgres(path).await
}

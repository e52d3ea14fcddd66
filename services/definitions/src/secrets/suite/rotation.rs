//! Keys come and go while values are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{RotateSecretKeysRequest, RotateSecretKeysResponse};
use nexus_api::error::reason_of;
use nexus_auth::Caller;
use tonic::{Code, Status};

use super::{NEW, OLD, Reached, Served, call, some};
use crate::secrets::file::FileKeys;
use crate::secrets::operations::{Call, rotate};
use crate::secrets::random::system_random;

async fn rotate(
    served: &Served,
    namespace: Option<&str>,
    batch_size: i32,
    page_token: String,
) -> Result<RotateSecretKeysResponse, Status> {
    let request = RotateSecretKeysRequest {
        batch_size,
        page_token,
        all_namespaces: namespace.is_none(),
    };
    rotate::rotate(&served.0, &call(namespace.unwrap_or("default")), &request).await
}

pub(super) async fn keys_are_exchanged_while_values_are_read(store: &impl Reached) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    std::fs::write(&file, OLD).expect("written");
    let keys = FileKeys::open(file.clone(), system_random()).expect("keys");
    let served = Served::new(store, Arc::new(keys));
    let name = |number: u32| format!("s{number:02}");
    for number in 0..25 {
        served.set("default", &name(number), &format!("value {number}")).await;
    }
    served.set("team-a", "theirs", "value").await;
    std::fs::write(&file, format!("{NEW}\n{OLD}\n")).expect("written");
    let over = AtomicBool::new(false);
    let reading = async {
        let mut rounds = 0;
        while rounds == 0 || !over.load(Ordering::Relaxed) {
            for number in 0..25 {
                let value = served.value("default", &name(number)).await;
                assert_eq!(value.expect("read"), some(&format!("value {number}")));
            }
            rounds += 1;
        }
    };
    let rotating = async {
        let (mut token, mut rewrapped, mut calls) = (String::new(), 0, 0);
        loop {
            let answer = rotate(&served, Some("default"), 7, token).await.expect("rotated");
            assert!(answer.rewrapped <= 7 && answer.failed == 0);
            rewrapped += answer.rewrapped;
            calls += 1;
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        (rewrapped, calls)
    };
    let ((), (rewrapped, calls)) = tokio::join!(reading, rotating);
    assert_eq!((rewrapped, calls), (25, 4));
    let again = rotate(&served, Some("default"), 0, String::new())
        .await
        .expect("rotated");
    assert_eq!((again.rewrapped, again.keys.len()), (0, 1));
    let rest = rotate(&served, None, 1_000, String::new()).await.expect("rotated");
    assert_eq!(rest.rewrapped, 1, "that of the other namespace");
    std::fs::write(&file, NEW).expect("written");
    for number in 0..25 {
        assert_eq!(
            served.value("default", &name(number)).await.expect("read"),
            some(&format!("value {number}"))
        );
    }
}

pub(super) async fn a_key_that_is_still_needed_is_named(store: &impl Reached) {
    let old = Served::with(store, OLD);
    old.set("default", "a", "value").await;
    let new = Served::with(store, NEW);
    let refused = new.value("default", "a").await.expect_err("its key is gone");
    assert_eq!(reason_of(&refused), Some(ErrorReason::SecretKeyMissing));
    assert!(refused.message().contains("the key old"), "{refused}");
    new.set("default", "b", "value").await;
    let answer = rotate(&new, Some("default"), 0, String::new()).await.expect("rotated");
    assert_eq!((answer.rewrapped, answer.failed), (0, 1));
    let keys: Vec<_> = answer
        .keys
        .iter()
        .map(|key| (key.key.as_str(), key.versions, key.newest, key.missing))
        .collect();
    assert_eq!(keys, [("new", 1, true, false), ("old", 1, false, true)]);
    assert_eq!(old.value("default", "a").await.expect("the key is back"), some("value"));
    for size in [-1, 1_001] {
        assert!(rotate(&new, Some("default"), size, String::new()).await.is_err());
    }
    let one = Call {
        caller: Caller::worker(),
        namespace: "default".parse().expect("a namespace"),
        origin: nexus_audit::Origin::none(),
    };
    let request = RotateSecretKeysRequest {
        all_namespaces: true,
        ..RotateSecretKeysRequest::default()
    };
    let refused = rotate::rotate(&new.0, &one, &request)
        .await
        .expect_err("not everywhere");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

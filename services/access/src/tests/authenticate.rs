//! Whose a credential is.

use std::sync::Arc;

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use nexus_api::time::micros;

use super::{NOW, PASSWORD, SECOND, World, why};

#[tokio::test]
async fn what_is_no_credential_is_refused_and_told_nothing() {
    let world = World::new().await;
    let root = world.administrator().await;
    let key = world.key(&root, "", &[("viewer", "*")]).await.expect("a key").secret;
    let session = world.login("root", PASSWORD).await.expect("logged in").token;
    let mut wrong: Vec<String> = ["x", "nxk_", "Bearer x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "nxk_\0"]
        .map(str::to_owned)
        .into();
    for good in [&key, &session] {
        let last = if good.ends_with('A') { "B" } else { "A" };
        wrong.push(format!("{}{last}", &good[..good.len() - 1]));
        wrong.push(format!("{good}A"));
        wrong.push(good.to_uppercase());
    }
    wrong.push(key.replacen("nxk_", "nxs_", 1));
    wrong.push(session.replacen("nxs_", "nxk_", 1));
    for wrong in wrong {
        let refused = world.whose(&wrong).await.expect_err("no credential");
        assert_eq!(
            nexus_api::error::reason_of(&refused),
            Some(ErrorReason::CredentialInvalid),
            "{wrong}"
        );
        assert!(wrong.len() < 5 || !refused.message().contains(&wrong), "{refused}");
    }
    for wrong in [String::new(), "x".repeat((8 << 10) + 1)] {
        assert_eq!(why(world.whose(&wrong).await), ErrorReason::InvalidField);
    }
    assert!(world.whose(&key).await.is_ok() && world.whose(&session).await.is_ok());
}

#[tokio::test]
async fn an_answer_is_kept_for_thirty_seconds_at_most() {
    let world = World::new().await;
    let root = world.administrator().await;
    let key = world.key(&root, "", &[("viewer", "*")]).await.expect("a key").secret;
    let kept = world.whose(&key).await.expect("known").keep_for.expect("a time");
    assert_eq!((kept.seconds, kept.nanos), (30, 0));
}

#[tokio::test]
async fn the_last_use_is_written_to_a_minute() {
    let world = World::new().await;
    let root = world.administrator().await;
    let made = world.key(&root, "", &[("viewer", "*")]).await.expect("a key");
    let id = made.api_key.expect("a key").id;
    let used = async || {
        let context = &world.access.context;
        context.uses.write(&*context.store).await.expect("written");
        let request = api::GetApiKeyRequest { key: id.clone() };
        let key = world
            .people
            .clone()
            .get_api_key(root.asks(request))
            .await
            .expect("there");
        let key = key.into_inner().api_key.expect("a key");
        key.last_use_time.as_ref().map(micros)
    };
    assert_eq!(used().await, None);
    world.whose(&made.secret).await.expect("known");
    assert_eq!(used().await, Some(NOW));
    world.pass(59 * SECOND);
    world.whose(&made.secret).await.expect("known");
    assert_eq!(used().await, Some(NOW), "within the minute");
    world.pass(SECOND);
    world.whose(&made.secret).await.expect("known");
    assert_eq!(used().await, Some(NOW + 60 * SECOND));
}

#[tokio::test]
async fn background_work_ends_with_the_shutdown_and_writes_what_is_left() {
    let world = World::new().await;
    let root = world.administrator().await;
    let made = world.key(&root, "", &[("viewer", "*")]).await.expect("a key");
    let background = nexus_service::Background::new(tokio_util::sync::CancellationToken::new());
    let tasks = world.access.start(&background);
    world.whose(&made.secret).await.expect("known");
    background.shutdown().cancel();
    for task in tasks {
        task.await.expect("it ends");
    }
    let store = Arc::clone(&world.access.context.store);
    let key = store
        .key(&made.api_key.expect("a key").id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(key.last_used_at, Some(NOW));
}

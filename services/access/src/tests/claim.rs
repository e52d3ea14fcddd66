//! The first administrator.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;

use super::{PASSWORD, World, allows, said, why};

fn claim(token: &str) -> api::ClaimAdministratorRequest {
    api::ClaimAdministratorRequest {
        claim_token: token.to_owned(),
        user: "root".to_owned(),
        password: PASSWORD.to_owned(),
        client: String::new(),
    }
}

#[tokio::test]
async fn the_first_administrator_is_who_shows_the_last_token() {
    let world = World::new().await;
    let mut door = world.door.clone();
    let methods = async || {
        let told = said(
            world
                .door
                .clone()
                .list_login_methods(api::ListLoginMethodsRequest {})
                .await,
        );
        told.expect("told")
    };
    assert!(!methods().await.claimable, "nothing was offered");
    let first = world.access.claim().await.expect("offered").expect("there is none yet");
    let second = world.access.claim().await.expect("offered").expect("there is none yet");
    assert!(methods().await.claimable);
    for wrong in ["", "nxc_", first.expose()] {
        let refused = door.claim_administrator(claim(wrong)).await;
        assert_eq!(why(refused), ErrorReason::CredentialInvalid, "{wrong}");
    }
    let weak = api::ClaimAdministratorRequest {
        password: "short".to_owned(),
        ..claim(second.expose())
    };
    assert_eq!(why(door.claim_administrator(weak).await), ErrorReason::InvalidField);
    let begun = said(door.claim_administrator(claim(second.expose())).await).expect("claimed");
    let identity = begun.identity.expect("an identity");
    assert!(allows(&identity, "access.write", "*") && !allows(&identity, "secrets.resolve", "*"));
    assert_eq!(world.whose(&begun.token).await.expect("known").identity, Some(identity));
    assert!(!methods().await.claimable);
    let again = door.claim_administrator(claim(second.expose())).await;
    assert_eq!(why(again), ErrorReason::CredentialInvalid, "once");
    assert!(
        world.access.claim().await.expect("asked").is_none(),
        "and none is made any more"
    );
    world.login("root", PASSWORD).await.expect("the password works");
}

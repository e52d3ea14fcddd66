//! Calls that their callers gave a name.

use super::{NOW, Refused, Store, refused};
use crate::store::Cutoffs;
use crate::store::calls::NewCall;

const MOST: i64 = 5;

fn call(key: &str, owner: &str, at: i64) -> NewCall {
    NewCall {
        key: key.as_bytes().to_vec(),
        subject: "user:anna".to_owned(),
        fingerprint: b"a request".to_vec(),
        owner: owner.to_owned(),
        at,
        expires_at: at + 100,
        most: MOST,
    }
}

pub(super) async fn a_call_is_begun_once_and_remembered_with_its_answer(store: &dyn Store) {
    let begun = store.begin_call(&call("a", "first", NOW)).await.expect("begun");
    assert_eq!((begun.owner.as_str(), begun.answer), ("first", None));
    let second = store.begin_call(&call("a", "second", NOW + 1)).await.expect("looked");
    assert_eq!(
        (second.owner.as_str(), second.begun_at),
        ("first", NOW),
        "it is the first's"
    );
    store
        .finish_call(b"a", "second", Some(b"wrong"))
        .await
        .expect("ignored");
    store.finish_call(b"a", "second", None).await.expect("ignored");
    store.finish_call(b"a", "first", Some(b"answer")).await.expect("noted");
    store
        .finish_call(b"a", "first", Some(b"another"))
        .await
        .expect("ignored");
    store.finish_call(b"a", "first", None).await.expect("ignored");
    let done = store.begin_call(&call("a", "third", NOW + 2)).await.expect("looked");
    assert_eq!(done.answer.as_deref(), Some(b"answer".as_slice()));

    // What did nothing is free again, and what is old too.
    store.begin_call(&call("b", "first", NOW)).await.expect("begun");
    store.finish_call(b"b", "first", None).await.expect("forgotten");
    let anew = store.begin_call(&call("b", "second", NOW)).await.expect("begun");
    assert_eq!(anew.owner, "second");
    let anew = store.begin_call(&call("a", "fourth", NOW + 100)).await.expect("begun");
    assert_eq!((anew.owner.as_str(), anew.answer), ("fourth", None));

    let cutoffs = |at| Cutoffs {
        keys: 0,
        sessions: 0,
        logins: 0,
        failures: 0,
        calls: at,
    };
    assert_eq!(store.remove_ended(cutoffs(NOW + 101), 10).await.expect("removed"), 1);
    assert_eq!(store.remove_ended(cutoffs(NOW + 101), 10).await.expect("nothing"), 0);

    for number in 1..MOST {
        let key = format!("full-{number}");
        store.begin_call(&call(&key, "first", NOW)).await.expect("begun");
    }
    let one_more = store.begin_call(&call("one more", "first", NOW)).await;
    assert_eq!(refused(one_more), Refused::Full(MOST));
    let mut another = call("of another", "first", NOW);
    another.subject = "user:otto".to_owned();
    store.begin_call(&another).await.expect("others are not full");
}

pub(super) async fn of_calls_begun_at_once_one_is_done(store: &dyn Store) {
    let owners: Vec<String> = (0..8).map(|number| format!("owner-{number}")).collect();
    let begun = owners.iter().map(|owner| async move {
        let row = store
            .begin_call(&call("at once", owner, NOW))
            .await
            .expect("begun or looked");
        row.owner == *owner
    });
    let begun = futures::future::join_all(begun).await;
    assert_eq!(begun.into_iter().filter(|begun| *begun).count(), 1);
}

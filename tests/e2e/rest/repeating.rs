//! Calls that are repeated with the name that they had: what is done once, and what is told.

use nexus_tests::Dev;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");

fn file(task: &str) -> String {
    json!({"source": format!("name: etl\ntasks:\n  {task}: {{noop: {{}}}}\n")}).to_string()
}

#[tokio::test]
async fn a_change_is_done_once_and_answered_the_same() {
    let dev = Dev::start();
    let made = dev.ask("POST", "/api/v1/workflows", &[JSON], &file("a")).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let (key, other) = (("idempotency-key", "change-1"), ("idempotency-key", "change-2"));
    let change = |key, task: &str| {
        let (dev, body) = (&dev, file(task));
        async move { dev.ask("PUT", "/api/v1/workflows/etl", &[JSON, key], &body).await }
    };
    let first = change(key, "b").await;
    assert_eq!(first.status, 200, "{}", first.text);
    // Somebody changes it meanwhile: a repetition must not put it back.
    assert_eq!(change(other, "c").await.status, 200);
    let again = change(key, "b").await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    let now = dev.get("/api/v1/workflows/etl").await;
    assert_eq!(now.json()["latest_revision"], 3, "{}", now.text);
    let different = change(key, "d").await;
    assert_eq!(different.status, 409, "{}", different.text);
    assert_eq!(different.json()["reason"], "REQUEST_ID_REUSED");
    // The same name is another call's where it is another method.
    let deleted = dev.ask("DELETE", "/api/v1/workflows/etl", &[key], "").await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    let repeated = dev.ask("DELETE", "/api/v1/workflows/etl", &[key], "").await;
    assert_eq!((repeated.status, repeated.text), (200, deleted.text), "not 404");
}

#[tokio::test]
async fn what_did_nothing_may_be_tried_again_under_its_name() {
    let dev = Dev::start();
    let key = ("idempotency-key", "later");
    let absent = dev.ask("PUT", "/api/v1/workflows/etl", &[JSON, key], &file("a")).await;
    assert_eq!(absent.status, 404, "{}", absent.text);
    let made = dev.ask("POST", "/api/v1/workflows", &[JSON], &file("a")).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let done = dev.ask("PUT", "/api/v1/workflows/etl", &[JSON, key], &file("a")).await;
    assert_eq!(done.status, 200, "{}", done.text);
}

#[tokio::test]
async fn of_many_at_once_one_is_done_and_a_secret_that_was_said_is_said_again() {
    let dev = Dev::start();
    let key = ("idempotency-key", "0f8b3a52-7c1e-4d59-9a34-6f0d2f6f1e11");
    let user =
        json!({"name": "ci", "kind": "USER_KIND_SERVICE_ACCOUNT", "grants": [{"role": "viewer", "namespaces": ["*"]}]});
    let user = user.to_string();
    let headers = [JSON, key];
    let ask = || dev.ask("POST", "/api/v1/users", &headers, &user);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let mut texts = Vec::new();
    for answer in [a, b, c, d] {
        match answer.status {
            200 => texts.push(answer.text),
            _ => assert_eq!(answer.json()["reason"], "REQUEST_OUTCOME_UNKNOWN", "{}", answer.text),
        }
    }
    assert!(!texts.is_empty());
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");

    let asked = json!({"user": "ci", "grants": [{"role": "viewer", "namespaces": ["default"]}]}).to_string();
    let first = dev.ask("POST", "/api/v1/keys", &[JSON, key], &asked).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = dev.ask("POST", "/api/v1/keys", &[JSON, key], &asked).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    let secret = first.json()["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("nxk_"));
    let listed = dev.get("/api/v1/keys?user=ci").await;
    assert_eq!(
        listed.json()["api_keys"].as_array().map(Vec::len),
        Some(1),
        "{}",
        listed.text
    );
    // It is not there for whoever reads the files.
    let shown = secret.rsplit('_').next().expect("the secret part");
    for entry in std::fs::read_dir(dev.folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("read");
            let found = bytes.windows(shown.len()).any(|window| window == shown.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

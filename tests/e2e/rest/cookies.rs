//! Sessions of browsers: a login that sets a cookie, what that is good for, and what a page of somebody else can do with it.

use nexus_tests::{Dev, DevOptions};
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");
const COOKIE: (&str, &str) = ("nexus-session", "cookie");

fn claim_token(dev: &mut Dev) -> String {
    let line = dev.wait_for_line("nxc_");
    let claim = &line[line.find("nxc_").expect("the token")..];
    let end = claim.find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-')));
    claim[..end.unwrap_or(claim.len())].to_owned()
}

#[tokio::test]
async fn a_browser_logs_in_by_a_cookie_that_no_script_and_no_other_site_can_use() {
    let mut dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into(), "--credentials".into()],
        ..DevOptions::default()
    });
    let claim = claim_token(&mut dev);
    let own = format!("http://{}", dev.address().trim_start_matches("http://"));
    let page = ("origin", own.as_str());
    let who = json!({"claim_token": claim, "user": "anna", "password": "purple lamp 9 herring"}).to_string();
    let wrong = dev
        .ask(
            "POST",
            "/api/v1/login/claim",
            &[JSON, page, ("nexus-session", "both")],
            &who,
        )
        .await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
    let claimed = dev
        .ask("POST", "/api/v1/login/claim", &[JSON, page, COOKIE], &who)
        .await;
    assert_eq!(claimed.status, 200, "{}", claimed.text);
    assert_eq!(claimed.json()["token"], "", "the page's script has no need of it");
    let set = claimed.header("set-cookie").expect("a cookie").to_owned();
    for part in [
        "nexus-session=nxs_",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
        "Expires=",
    ] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = ("cookie", set.split(';').next().expect("the pair"));

    let read = dev.ask("GET", "/api/v1/workflows", &[cookie], "").await;
    assert_eq!(read.status, 200, "{}", read.text);
    let file = "{\"source\": \"name: one\\ntasks:\\n  a: {noop: {}}\\n\"}";
    let written = dev.ask("POST", "/api/v1/workflows", &[JSON, cookie, page], file).await;
    assert_eq!(written.status, 200, "{}", written.text);

    // What another site's form or script has a browser send.
    let trigger = "/api/v1/workflows/one/trigger";
    for other in [("origin", "https://evil.example"), ("origin", "null"), ("x", "y")] {
        let refused = dev.ask("POST", trigger, &[JSON, cookie, other], "{}").await;
        assert_eq!(refused.status, 403, "{other:?} {}", refused.text);
    }
    let started = dev.ask("GET", "/api/v1/executions", &[cookie], "").await;
    assert_eq!(started.json()["executions"], json!([]), "nothing was started");
    // It is a credential for requests over plain HTTP, not for gRPC-Web, where pages have other means.
    let web = [
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
        cookie,
        page,
    ];
    let path = "/nexus.definitions.v1.DefinitionsService/ListWorkflows";
    let answer = dev.ask("POST", path, &web, "\0\0\0\0\0").await;
    let status = answer.header("grpc-status").map(str::to_owned);
    assert_eq!(status.as_deref(), Some("16"), "{}", answer.text);

    let out = dev.ask("POST", "/api/v1/logout", &[JSON, cookie, page], "{}").await;
    assert_eq!(out.status, 200, "{}", out.text);
    assert!(
        out.header("set-cookie")
            .expect("it is taken back")
            .contains("Max-Age=0")
    );
    // The access service looks anew; the other doors hear of it within a minute.
    let after = dev.ask("GET", "/api/v1/keys", &[cookie], "").await;
    assert_eq!(after.status, 401, "{}", after.text);
}

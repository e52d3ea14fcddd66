//! A provider that others have written and that is certified, `oidc-provider` of npm: what the tests' own one does as it
//! was told, this one does as the specifications say. Left out, with a word, where there is no node or npm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nexus_api::access::v1 as api;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use url::Url;

use super::provider::{AUDIENCE, CLIENT};
use super::{World, allows, said};
use crate::oidc::settings::{Given, Settings};
use crate::tokens::Secret;

const VERSION: &str = "9.13.3";
const BACK: &str = "https://console.example/callback";
/// The oldest major version of Node that it runs on.
const OLDEST_NODE: u32 = 20;
/// How long installing it, and starting it, may take.
const INSTALLING: Duration = Duration::from_secs(300);
const STARTING: Duration = Duration::from_secs(60);

/// Where it is installed; why it is not otherwise.
async fn installed() -> Result<PathBuf, String> {
    for (program, oldest) in [("node", OLDEST_NODE), ("npm", 0)] {
        let there = Command::new(program).arg("--version").output().await;
        let Some(said) = there.ok().filter(|there| there.status.success()) else {
            return Err(format!("{program} is not installed"));
        };
        let said = String::from_utf8_lossy(&said.stdout)
            .trim()
            .trim_start_matches('v')
            .to_owned();
        let major = said.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < oldest) {
            return Err(format!("{program} {said} is older than {oldest}"));
        }
    }
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/oidc-provider");
    let module = home.join("node_modules/oidc-provider/lib/index.js");
    if !module.is_file() {
        std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--prefix"]).arg(&home);
        npm.arg(format!("oidc-provider@{VERSION}")).kill_on_drop(true);
        let done = timeout(INSTALLING, npm.output()).await;
        if !done.is_ok_and(|done| done.is_ok_and(|done| done.status.success())) || !module.is_file() {
            return Err("npm cannot install it".to_owned());
        }
    }
    Ok(module)
}

/// Its process, and what it writes: it ends with them.
type Running = (Child, Lines<BufReader<ChildStdout>>);

/// Starts it; gives its issuer.
async fn start(module: &Path) -> (Running, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/provider.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(module)
        .args([CLIENT.0, CLIENT.1, AUDIENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let issuer = timeout(STARTING, lines.next_line()).await.expect("in time");
    ((child, lines), issuer.expect("a line").expect("its issuer"))
}

/// A browser: it keeps cookies, and stops at the address that NEXUS is to be told of.
struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Follows an address, and from page to page agrees to what it is asked, until it is sent back.
    async fn agree(&mut self, address: &str) -> Url {
        let mut next = self.visit(self.client.get(address), address).await;
        for _ in 0..20 {
            match next {
                Some(url) if url.as_str().starts_with(BACK) => return url,
                Some(url) if url.path().starts_with("/interaction/") => {
                    // The first page asks who it is, the second whether they agree: whichever it is, the other is refused.
                    let said = self.page(&url).await;
                    let prompt = if said.contains("name=\"login\"") {
                        "login"
                    } else {
                        "consent"
                    };
                    let form = [("prompt", prompt), ("login", "anna-at-home"), ("password", "x")];
                    next = self
                        .visit(self.client.post(url.clone()).form(&form), url.as_str())
                        .await;
                }
                Some(url) => next = self.visit(self.client.get(url.clone()), url.as_str()).await,
                None => break,
            }
        }
        panic!("it does not come back");
    }

    async fn page(&mut self, url: &Url) -> String {
        let answer = self.send(self.client.get(url.clone())).await;
        answer.text().await.expect("a page")
    }

    /// Where a request leads to.
    async fn visit(&mut self, request: reqwest::RequestBuilder, from: &str) -> Option<Url> {
        let answer = self.send(request).await;
        let to = answer.headers().get("location")?.to_str().expect("an address");
        Some(Url::parse(from).expect("an address").join(to).expect("an address"))
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let all: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let answer = request
            .header("cookie", all.join("; "))
            .send()
            .await
            .expect("an answer");
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().expect("text").split(';').next().unwrap_or_default();
            let (name, value) = set.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}

fn settings(issuer: &str) -> Settings {
    let given = Given {
        issuer: Some(issuer.to_owned()),
        client_id: Some(CLIENT.0.to_owned()),
        client_secret: Some(Secret::new(CLIENT.1)),
        audience: Some(AUDIENCE.to_owned()),
        redirect_uris: vec![BACK.to_owned()],
        groups_claim: "groups".to_owned(),
        grants: BTreeMap::from([
            ("ops".to_owned(), "operator".to_owned()),
            ("data".to_owned(), "editor@team-a".to_owned()),
        ]),
    };
    Settings::read(given).expect("settings").expect("a provider")
}

#[tokio::test]
async fn people_and_programs_come_by_a_provider_that_others_have_written() {
    let module = match installed().await {
        Ok(module) => module,
        Err(why) => {
            println!("left out: {why}");
            return;
        }
    };
    let (_running, issuer) = start(&module).await;
    let world = World::with(Some(settings(&issuer))).await;
    world.time.store(nexus_mesh::system_clock()(), Ordering::SeqCst);

    let request = api::BeginOidcLoginRequest {
        redirect_uri: BACK.to_owned(),
    };
    let begun = said(world.door.clone().begin_oidc_login(request).await).expect("begun");
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.build().expect("a client");
    let mut browser = Browser {
        client: client.clone(),
        cookies: BTreeMap::new(),
    };
    let back = browser.agree(&begun.authorization_url).await;
    let answer: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
    assert_eq!(answer["state"], begun.state);
    let request = api::CompleteOidcLoginRequest {
        state: begun.state,
        code: answer["code"].clone(),
        client: "a browser".to_owned(),
    };
    let entered = said(world.door.clone().complete_oidc_login(request).await).expect("logged in");
    let identity = world
        .whose(&entered.token)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert_eq!(
        (identity.subject.as_str(), identity.display_name.as_str()),
        ("user:anna", "Anna B.")
    );
    assert!(
        allows(&identity, "workflows.write", "team-a"),
        "its groups: {identity:?}"
    );

    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "api"),
        ("resource", AUDIENCE),
    ];
    let secret: String = url::form_urlencoded::byte_serialize(CLIENT.1.as_bytes()).collect();
    let asked = client
        .post(format!("{issuer}/token"))
        .basic_auth(CLIENT.0, Some(secret))
        .form(&form);
    let answer: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
    let token = answer["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("a token: {answer}"));
    let identity = world.whose(token).await.expect("known").identity.expect("an identity");
    assert_eq!(identity.subject, format!("oidc:{}", CLIENT.0));
    assert!(allows(&identity, "executions.start", "*"), "{identity:?}");
}

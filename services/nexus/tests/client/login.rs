//! Logging in and out, and to whom the credential is shown.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::fake::{CLAIM, Fake, KEY, PASSWORD, TOKEN};
use super::{Home, Ran};

fn login(home: &Home, fake: &Fake) -> Ran {
    let args = ["login", "--server", &fake.address, "--user", "anna", "--password-stdin"];
    home.run_with(&[], &args, &format!("{PASSWORD}\n"))
}

#[test]
fn a_session_is_kept_for_its_server_until_it_is_ended() {
    let (home, fake) = (Home::new(), Fake::start());
    let told = login(&home, &fake).well();
    assert!(told.out.contains("user:anna") && told.out.contains("2096-"), "{told:?}");
    let kept = fs::read_to_string(home.file("credentials.yaml")).expect("credentials");
    assert!(kept.contains(TOKEN));
    let mode = fs::metadata(home.file("credentials.yaml"))
        .expect("credentials")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !fs::read_to_string(home.file("contexts.yaml"))
            .expect("contexts")
            .contains(TOKEN)
    );

    let who = home.run(&["whoami"]).well();
    assert!(
        who.out.contains("user:anna") && who.out.contains("workflows.read"),
        "{who:?}"
    );
    assert_eq!(
        home.run(&["whoami", "-o", "json"]).well().json()["subject"],
        "user:anna"
    );
    assert_eq!(fake.shown("GetIdentity"), [format!("{TOKEN}0"), format!("{TOKEN}0")]);
    assert_eq!(fake.shown("Login"), [""], "who logs in has no credential yet");
    assert!(
        fake.state().clients[0].starts_with("nexus "),
        "{:?}",
        fake.state().clients
    );

    home.run(&["logout"]).well();
    assert!(fake.state().sessions.is_empty());
    assert!(
        !fs::read_to_string(home.file("credentials.yaml"))
            .expect("credentials")
            .contains(TOKEN)
    );
    home.run(&["whoami"]).fails(4, "nexus login");
    home.run(&["logout"]).well();
}

#[test]
fn a_session_is_shown_to_no_other_server() {
    let (home, fake, other) = (Home::new(), Fake::start(), Fake::start());
    login(&home, &fake).well();
    let refused = home
        .run(&["whoami", "--server", &other.address])
        .fails(4, "and not for");
    assert!(refused.err.contains(&other.address), "{refused:?}");
    home.run_with(&[("NEXUS_ADDRESS", &other.address)], &["whoami"], "")
        .fails(4, "and not for");
    home.run(&["context", "set", "default", "--server", &other.address])
        .well();
    home.run(&["whoami"]).fails(4, "and not for");
    assert!(
        other.shown("GetIdentity").iter().all(String::is_empty),
        "{:?}",
        other.shown("GetIdentity")
    );
    let shown = home.run(&["context", "show"]).well();
    assert!(shown.out.contains("not shown"), "{shown:?}");
}

#[test]
fn a_key_that_is_given_is_over_the_session() {
    let (home, fake) = (Home::new(), Fake::start());
    login(&home, &fake).well();
    let variable = [("NEXUS_API_KEY", "nxk_of_variable")];
    home.run_with(&variable, &["whoami"], "").well();
    home.run_with(&variable, &["whoami", "--key", "nxk_of_flag"], "").well();
    home.run_with(&variable, &["logout"], "").fails(1, "no session");
    assert_eq!(fake.shown("GetIdentity"), ["nxk_of_variable", "nxk_of_flag"]);
    let broken = home.run(&["whoami", "--key", "nxk_a\nb"]).fails(1, "--key");
    assert!(!broken.err.contains("nxk_a"), "{broken:?}");
    let unknown = home.run_with(&[("NEXUS_API_KEY", "nothing-known")], &["whoami"], "");
    let unknown = unknown.fails(4, "NEXUS_API_KEY");
    assert!(!unknown.err.contains("nothing-known"), "{unknown:?}");
}

#[test]
fn a_wrong_password_is_no_login() {
    let (home, fake) = (Home::new(), Fake::start());
    let args = ["login", "--server", &fake.address, "--user", "anna", "--password-stdin"];
    let refused = home.run_with(&[], &args, "wrong-guess\n").fails(4, "in 60 s");
    assert!(!refused.err.contains("wrong-guess"), "{refused:?}");
    assert!(!home.file("credentials.yaml").exists());
    home.run_with(&[], &args, "").fails(1, "no password");
    home.run_with(&[], &args[..5], "").fails(1, "--password-stdin");
    assert_eq!(fake.shown("Login").len(), 1);
}

#[test]
fn the_first_administrator_claims_with_the_token() {
    let (home, fake) = (Home::new(), Fake::start());
    let claim = |token: &str| {
        let args = [
            "login",
            "--server",
            &fake.address,
            "--claim",
            token,
            "--user",
            "anna",
            "--password-stdin",
        ];
        home.run_with(&[], &args, &format!("{PASSWORD}-new\n"))
    };
    claim("another").fails(4, "wrong");
    claim(CLAIM).well();
    assert_eq!(fake.state().passwords, [format!("{PASSWORD}-new")]);
    home.run(&["whoami"]).well();
}

/// As the provider would send a browser back.
fn come_back(address: &str, query: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    let request = format!("GET /callback?{query} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn the_provider_sends_the_browser_back_to_the_command() {
    let (home, fake) = (Home::new(), Fake::start());
    for refused in [true, false] {
        let args = ["login", "--server", &fake.address, "--oidc", "--no-browser"];
        let mut child = home.command(&[], &args).stdin(Stdio::null()).spawn().expect("nexus");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let page = lines.find_map(|line| line.ok().filter(|line| line.starts_with("https://id.example/")));
        let page = page.expect("the provider's page");
        let back = page.split("redirect_uri=http://").nth(1).expect("an address");
        let address = back.strip_suffix("/callback").expect("the path of the contract");
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert!(come_back(address, "state=another&code=evil").starts_with("HTTP/1.1 400"));
        let answer = match refused {
            true => come_back(address, "state=a-state&error=access_denied"),
            false => come_back(address, "state=a-state&code=a-code"),
        };
        assert!(
            answer.starts_with("HTTP/1.1 200") && !answer.contains("a-code"),
            "{answer}"
        );
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        let ended = child.wait().expect("ended");
        assert_eq!(ended.code(), Some(if refused { 4 } else { 0 }), "{said:?}");
        assert_eq!(
            said.iter().any(|line| line.contains("access_denied")),
            refused,
            "{said:?}"
        );
    }
    assert_eq!(fake.shown("CompleteOidcLogin").len(), 1);
    home.run(&["whoami"]).well();
}

#[test]
fn a_credential_in_a_file_is_used_when_others_cannot_read_it() {
    let (home, fake) = (Home::new(), Fake::start());
    let file = home.path().join("token");
    fs::write(&file, format!("{KEY}\n")).expect("write");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    let set = [
        "context",
        "set",
        "ci",
        "--server",
        &fake.address,
        "--credential-file",
        "token",
    ];
    home.run(&set).well();
    home.run(&["--context", "ci", "whoami"]).well();
    assert_eq!(fake.shown("GetIdentity"), [KEY]);
    home.run(&["--context", "ci", "login", "--user", "anna"])
        .fails(1, "--unset credential-file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("mode");
    let refused = home.run(&["--context", "ci", "whoami"]).fails(1, "chmod 600");
    assert!(!refused.err.contains(KEY), "{refused:?}");
}

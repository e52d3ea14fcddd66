//! Keys, users, roles and sessions.

use super::Home;
use super::fake::{Fake, KEY, PASSWORD};

fn run(home: &Home, fake: &Fake, line: &str) -> super::Ran {
    run_with(home, fake, line, "")
}

fn run_with(home: &Home, fake: &Fake, line: &str, stdin: &str) -> super::Ran {
    let args: Vec<&str> = line.split(' ').collect();
    let variables = [("NEXUS_ADDRESS", fake.address.as_str()), ("NEXUS_API_KEY", "nxk_admin")];
    home.run_with(&variables, &args, stdin)
}

#[test]
fn a_key_is_shown_once_and_has_what_it_was_asked_to_have() {
    let (home, fake) = (Home::new(), Fake::start());
    let line = "keys create --description nightly --role worker --role editor@team-a,team-b --role viewer@* \
                --queue gpu --queue cpu --expires 90d --namespace team-c";
    let created = run(&home, &fake, line).well();
    assert_eq!(created.out, format!("{KEY}\n"), "the secret alone goes to stdout");
    assert!(
        !created.err.contains(KEY) && created.err.contains("never again"),
        "{created:?}"
    );
    let asked = fake.state().keys[0].0.clone();
    let places = |number: usize| asked.grants[number].namespaces.join(",");
    assert_eq!(
        (places(0), places(1), places(2)),
        ("team-c".into(), "team-a,team-b".into(), "*".into())
    );
    assert_eq!(asked.queues, ["gpu", "cpu"]);
    assert_eq!(asked.lifetime.expect("a lifetime").seconds, 90 * 86_400);
    let json = run(&home, &fake, "keys create --role viewer -o json").well().json();
    assert_eq!(
        (json["secret"].as_str(), json["api_key"]["id"].as_str()),
        (Some(KEY), Some("k1"))
    );

    let list = run(&home, &fake, "keys list").well();
    assert!(
        list.out.contains("nightly") && list.out.contains("editor@team-a,team-b"),
        "{list:?}"
    );
    assert!(list.err.contains("--page-token next"), "{list:?}");
    let got = run(&home, &fake, "keys get k1").well();
    assert!(got.out.contains("good") && !got.out.contains(KEY), "{got:?}");
    run(&home, &fake, "keys revoke k1").well();
    assert!(run(&home, &fake, "keys list --all").well().out.contains("revoked"));
    assert_eq!(
        run(&home, &fake, "keys list -o json").well().json()["api_keys"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    run(&home, &fake, "keys get k9").fails(1, "no key");
    run(&home, &fake, "keys create --role viewer@Team").fails(1, "viewer@Team");
    assert_eq!(
        run(&home, &fake, "keys create").code,
        2,
        "a key without a role is worth nothing"
    );
}

#[test]
fn users_are_created_changed_and_deleted() {
    let (home, fake) = (Home::new(), Fake::start());
    let create = "users create anna --display-name Anna --role admin@* --password-stdin";
    run_with(&home, &fake, create, &format!("{PASSWORD}\n")).well();
    run(&home, &fake, "users create robot --service-account").well();
    run(&home, &fake, "users create ben").fails(1, "--password-stdin");
    assert_eq!(fake.state().passwords, [PASSWORD, ""]);
    let list = run(&home, &fake, "users list").well();
    assert!(
        list.out.contains("admin@*") && list.out.contains("service account"),
        "{list:?}"
    );

    run(&home, &fake, "users disable anna").well();
    assert!(run(&home, &fake, "users get anna").well().out.contains("disabled"));
    let anna = run(&home, &fake, "users enable anna -o json").well().json();
    assert_eq!(
        (anna["disabled"].as_bool(), anna["display_name"].as_str()),
        (Some(false), Some("Anna"))
    );
    run(&home, &fake, "users update anna").fails(1, "--display-name");
    let anna = run(&home, &fake, "users update anna --role viewer@team-a -o json")
        .well()
        .json();
    assert_eq!(
        (anna["grants"][0]["role"].as_str(), anna["display_name"].as_str()),
        (Some("viewer"), Some("Anna"))
    );
    let anna = run(&home, &fake, "users update anna --no-roles -o json").well().json();
    assert_eq!(anna["grants"].as_array().map(Vec::len), Some(0));

    run_with(
        &home,
        &fake,
        "users set-password anna --password-stdin",
        &format!("{PASSWORD}-2\n"),
    )
    .well();
    let own = format!("{PASSWORD}\n{PASSWORD}-3\n");
    run_with(&home, &fake, "users set-password --password-stdin", &own).well();
    assert_eq!(
        fake.state().passwords[2..],
        [format!("{PASSWORD}-2"), PASSWORD.to_owned(), format!("{PASSWORD}-3")]
    );
    run(&home, &fake, "users delete anna").well();
    run(&home, &fake, "users get anna").fails(1, "no user");
}

#[test]
fn roles_and_sessions_are_shown_and_changed() {
    let (home, fake) = (Home::new(), Fake::start());
    run(
        &home,
        &fake,
        "roles create deployer --permission workflows.write --permission workflows.read",
    )
    .well();
    run(&home, &fake, "roles update deployer").fails(1, "--permission");
    run(
        &home,
        &fake,
        "roles update deployer --description x --permission workflows.read",
    )
    .well();
    let role = run(&home, &fake, "roles get deployer -o json").well().json();
    assert_eq!(
        (role["description"].as_str(), role["permissions"].to_string().as_str()),
        (Some("x"), "[\"workflows.read\"]")
    );
    assert!(run(&home, &fake, "roles list").well().out.contains("deployer"));
    run(&home, &fake, "roles delete deployer").well();
    run(&home, &fake, "roles get deployer").fails(1, "no role");

    let login = ["login", "--server", &fake.address, "--user", "anna", "--password-stdin"];
    home.run_with(&[], &login, PASSWORD).well();
    let sessions = run(&home, &fake, "sessions list").well();
    assert!(
        sessions.out.contains("s1") && sessions.out.contains("password"),
        "{sessions:?}"
    );
    run(&home, &fake, "sessions revoke s1").well();
    home.run(&["whoami"])
        .fails(4, "has ended; log in again with `nexus login`");
}

#[test]
fn who_may_not_is_told_which_permission_is_missing() {
    let (home, fake) = (Home::new(), Fake::start());
    let variables = [
        ("NEXUS_ADDRESS", fake.address.as_str()),
        ("NEXUS_API_KEY", "nxk_powerless"),
    ];
    let denied = home
        .run_with(&variables, &["users", "list"], "")
        .fails(4, "access.write in every namespace");
    assert!(denied.err.contains("nexus whoami"), "{denied:?}");
    let api = home.run_with(&variables, &["api", "GET", "/api/v1/users"], "");
    assert_eq!(api.code, 4, "{api:?}");
    let variables = [("NEXUS_ADDRESS", fake.address.as_str())];
    home.run_with(&variables, &["users", "list"], "")
        .fails(4, "nexus login");
    home.run_with(&variables, &["api", "GET", "/api/v1/users"], "")
        .fails(4, "nexus login");
}

#[test]
fn a_server_without_a_service_is_told_from_one_that_refuses() {
    let (home, fake) = (Home::new(), Fake::start());
    run(&home, &fake, "workflows list").fails(1, "does not know this call");
}

#[test]
fn every_command_of_access_can_be_completed() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completion", shell]).well().out;
        for word in [
            "whoami",
            "set-password",
            "password-stdin",
            "revoke",
            "credential-file",
            "definitions-address",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

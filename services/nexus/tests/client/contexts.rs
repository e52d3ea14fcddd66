//! Contexts: what they are made of, which one holds, and what is over them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Home;

#[test]
fn contexts_are_made_used_changed_shown_and_deleted() {
    let home = Home::new();
    let list = home.run(&["context", "list"]).well();
    assert!(list.out.contains("* ") && list.out.contains("default"), "{list:?}");
    home.run(&[
        "context",
        "set",
        "prod",
        "--server",
        "https://p:7070",
        "--namespace",
        "team-a",
        "--ca",
        "ca.pem",
    ])
    .well();
    home.run(&["context", "set", "here", "--server", "http://127.0.0.1:1"])
        .well();
    home.run(&["context", "use", "nowhere"]).fails(1, "here, prod");
    home.run(&["context", "use", "prod"]).well();
    let contexts = home.run(&["context", "list", "-o", "json"]).well().json();
    let names = |current: bool| {
        let all = contexts["contexts"].as_array().expect("contexts").iter();
        all.filter(|context| context["current"] == current)
            .map(|context| context["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!((names(true), names(false)), (vec!["prod".into()], vec!["here".into()]));

    home.run(&["context", "set", "prod", "--namespace", "team-b", "--unset", "ca"])
        .well();
    let shown = home.run(&["context", "show", "-o", "json"]).well().json();
    assert_eq!(shown["namespace"]["value"], "team-b");
    assert_eq!(shown["namespace"]["from"], "context");
    assert_eq!(shown["address"]["value"], "https://p:7070");
    assert_eq!(shown["context"]["from"], "nexus context use");
    assert!(shown.get("ca").is_none(), "{shown}");

    home.run(&["context", "delete", "prod"]).well();
    home.run(&["context", "delete", "prod"]).fails(1, "no context prod");
    let shown = home.run(&["context", "show"]).well();
    assert!(shown.out.contains("http://127.0.0.1:7070"), "{shown:?}");
}

#[test]
fn what_is_typed_is_over_the_environment_and_that_over_the_context() {
    let home = Home::new();
    home.run(&[
        "context",
        "set",
        "prod",
        "--server",
        "https://p:7070",
        "--namespace",
        "team-a",
    ])
    .well();
    let variables = [("NEXUS_CONTEXT", "prod"), ("NEXUS_ADDRESS", "http://v:1")];
    let args = ["context", "show", "--namespace", "team-f", "-o", "json"];
    let shown = home.run_with(&variables, &args, "").well().json();
    let told = |name: &str| {
        (
            shown[name]["value"].as_str().expect(name),
            shown[name]["from"].as_str().expect(name),
        )
    };
    assert_eq!(told("context"), ("prod", "NEXUS_CONTEXT"));
    assert_eq!(told("address"), ("http://v:1", "NEXUS_ADDRESS"));
    assert_eq!(told("namespace"), ("team-f", "--namespace"));
    let keyed = [("NEXUS_API_KEY", "nxk_k_murmur")];
    let shown = home.run_with(&keyed, &["context", "show"], "").well();
    assert!(
        shown.out.contains("NEXUS_API_KEY") && !shown.out.contains("murmur"),
        "{shown:?}"
    );
}

#[test]
fn what_makes_no_context_is_refused_and_changes_nothing() {
    let home = Home::new();
    for (args, told) in [
        (&["context", "set", "a b", "--server", "http://h:1"][..], "letters"),
        (&["context", "set", "a", "--server", "h:1"], "http://"),
        (
            &["context", "set", "a", "--server", "http://user:pass@h:1"],
            "no password",
        ),
        (
            &["context", "set", "a", "--namespace", "x", "--namespace", "y"],
            "one namespace",
        ),
        (&["context", "set", "a", "--key", "nxk_a_b"], "--credential-file"),
        (&["--context", "gone", "workflows", "list"], "no context gone"),
    ] {
        home.run(args).fails(1, told);
    }
    assert!(!home.file("contexts.yaml").exists());
    assert_eq!(home.run(&["context", "set", "a", "--unset", "everything"]).code, 2);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let home = Home::new();
    home.run(&["context", "set", "prod", "--server", "http://h:1"]).well();
    fs::write(home.file("contexts.yaml"), "version: 1\ncontexts: {a: {sever: x}}\n").expect("write");
    home.run(&["workflows", "list"]).fails(1, "contexts.yaml");
    home.run(&["version"]).well();
    fs::write(home.file("contexts.yaml"), "version: 1\ncontexts: {}\n").expect("write");
    fs::write(home.file("credentials.yaml"), "version: 1\ncredentials: {}\n").expect("write");
    fs::set_permissions(home.file("credentials.yaml"), fs::Permissions::from_mode(0o644)).expect("mode");
    home.run(&["workflows", "list"]).fails(1, "chmod 600");
    let keyed = [("NEXUS_API_KEY", "nxk_a_b"), ("NEXUS_ADDRESS", "http://127.0.0.1:1")];
    // A key that is given needs no file.
    home.run_with(&keyed, &["workflows", "list"], "")
        .fails(7, "http://127.0.0.1:1");
}

#[test]
fn many_commands_at_a_time_lose_no_context() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let home = &home;
            scope.spawn(move || {
                let name = format!("c{number}");
                home.run(&["context", "set", &name, "--server", "http://h:1"]).well();
            });
        }
    });
    let contexts = home.run(&["context", "list", "-o", "json"]).well().json();
    assert_eq!(contexts["contexts"].as_array().map(Vec::len), Some(7), "{contexts}");
}

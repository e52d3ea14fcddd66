//! Which of a flag, a variable, a context and the default holds.

use std::collections::BTreeMap;

use clap::Parser;
use secrecy::ExposeSecret;

use super::*;

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    global: Global,
}

fn settings(line: &str, variables: &[(&str, &str)], contexts: &Contexts) -> Result<Settings, CliError> {
    let typed = Typed::try_parse_from(line.split(' ')).expect(line);
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let look = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    Settings::resolve(&typed.global, &look, contexts)
}

fn contexts() -> Contexts {
    let text = "version: 1\ncurrent: prod\ncontexts:\n  prod: {server: 'https://p:1', definitions_server: 'https://d:1', \
                namespace: team-a, ca: /ca, client_cert: /c, client_key: /k}\n  other: {server: 'http://o:1', \
                credential_file: /token}\n";
    serde_saphyr::from_str(text).expect("contexts")
}

#[test]
fn a_flag_is_over_a_variable_over_the_context_over_the_default() {
    let variables = [("NEXUS_ADDRESS", "http://v:1"), ("NEXUS_NAMESPACE", "of-variable")];
    let address = |line: &str, variables: &[(&str, &str)], contexts: &Contexts| {
        let settings = settings(line, variables, contexts).expect(line);
        (
            settings.address.value,
            settings.address.origin.to_string(),
            settings.namespace.value.to_string(),
            settings.namespace.origin.to_string(),
        )
    };
    let told = |a: &str, b: &str, c: &str, d: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
    assert_eq!(
        address(
            "nexus --address http://f:1 --namespace of-flag",
            &variables,
            &contexts()
        ),
        told("http://f:1", "--address", "of-flag", "--namespace")
    );
    assert_eq!(
        address("nexus", &variables, &contexts()),
        told("http://v:1", "NEXUS_ADDRESS", "of-variable", "NEXUS_NAMESPACE")
    );
    assert_eq!(
        address("nexus", &[], &contexts()),
        told("https://p:1", "context", "team-a", "context")
    );
    assert_eq!(
        address("nexus", &[], &Contexts::default()),
        told(DEFAULT_ADDRESS, "default", "default", "default")
    );
    assert_eq!(address("nexus --server http://f:1", &[], &contexts()).0, "http://f:1");
}

#[test]
fn a_context_is_named_by_flag_variable_or_use_and_must_be_there() {
    let name = |line: &str, variables: &[(&str, &str)]| {
        settings(line, variables, &contexts()).map(|settings| (settings.context.value, settings.context.origin))
    };
    let variable = [("NEXUS_CONTEXT", "other")];
    assert_eq!(
        name("nexus", &variable).expect("other"),
        ("other".to_owned(), Origin::Variable("NEXUS_CONTEXT"))
    );
    assert_eq!(name("nexus --context prod", &variable).expect("prod").0, "prod");
    assert_eq!(
        name("nexus --context default", &[])
            .expect("the default one is always there")
            .0,
        "default"
    );
    let error = name("nexus --context prdo", &[]).expect_err("unknown").to_string();
    assert!(error.contains("prdo") && error.contains("other, prod"), "{error}");
}

#[test]
fn another_server_is_not_mixed_with_parts_of_the_context() {
    let other = settings("nexus --address http://f:1", &[], &contexts()).expect("settings");
    assert_eq!(other.definitions_address.value, None);
    let own = settings("nexus", &[], &contexts()).expect("settings");
    assert_eq!(own.definitions_address.value.as_deref(), Some("https://d:1"));
    assert!(other.ca.value.is_none() && other.client_key.value.is_none() && own.ca.value.is_some());
    let same = settings("nexus --address https://P:1/", &[], &contexts()).expect("settings");
    assert!(same.ca.value.is_some() && same.definitions_address.value.is_some());
}

#[test]
fn a_certificate_and_its_key_have_one_origin() {
    let mixed = settings("nexus", &[("NEXUS_TLS__CERT", "/own")], &contexts()).expect("settings");
    assert_eq!(mixed.client_cert.value, Some(PathBuf::from("/own")));
    assert_eq!(mixed.client_key.value, None);
    let own = settings("nexus", &[], &contexts()).expect("settings");
    assert_eq!(
        (own.client_cert.value, own.client_key.value),
        (Some("/c".into()), Some("/k".into()))
    );
    assert_eq!(own.ca.value, Some("/ca".into()));
}

#[test]
fn a_key_that_is_given_is_over_what_the_context_has_and_is_not_shown() {
    let given = |line: &str, variables: &[(&str, &str)]| settings(line, variables, &contexts()).expect(line);
    let variable = [("NEXUS_API_KEY", "nxk_v_hush")];
    let flag = given("nexus --key nxk_f_hush", &variable);
    assert!(!format!("{flag:?}").contains("hush"));
    match (&flag.credential.value, flag.credential.origin) {
        (Credential::Given(key), Origin::Flag("--key")) => assert_eq!(key.expose_secret(), "nxk_f_hush"),
        other => panic!("{other:?}"),
    }
    let variable = given("nexus", &variable).credential;
    assert!(matches!(variable.value, Credential::Given(_)) && variable.origin == Origin::Variable(KEY_VARIABLE));
    let typed = ["nexus", "--key", ""];
    let typed = Typed::try_parse_from(typed).expect("an empty key");
    assert!(
        Settings::resolve(&typed.global, &|_| None, &contexts()).is_err(),
        "an empty key is a mistake"
    );
    let file = given("nexus --context other", &[]).credential.value;
    assert!(matches!(file, Credential::File(path) if path.display().to_string() == "/token"));
    assert!(matches!(given("nexus", &[]).credential.value, Credential::Kept));
}

#[test]
fn a_command_is_about_one_namespace() {
    let error = settings("nexus --namespace a --namespace b", &[], &contexts()).expect_err("two");
    assert!(error.to_string().contains("one namespace"), "{error}");
}

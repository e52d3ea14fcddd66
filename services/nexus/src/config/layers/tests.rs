//! Each layer, their order, and each error.

use super::*;

fn file(text: &str) -> (tempfile::TempDir, Option<PathBuf>) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("nexus.toml");
    std::fs::write(&path, text).expect("file");
    (folder, Some(path))
}

fn load(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Effective, ConfigError> {
    let (_folder, file) = file(text);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let flags = flags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), format!("--set {key}")));
    Effective::load(&Sources {
        file,
        env,
        flags: flags.collect(),
    })
}

fn problem(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    load(text, env, flags).expect_err("refused").to_string()
}

fn origin(effective: &Effective, key: &str) -> Origin {
    let key = keys::find(key).expect("key");
    effective.shown(key).expect("set").1.clone()
}

#[test]
fn the_table_of_keys_is_the_structure() {
    // Every optional field set, so that each is written.
    let full = r#"
        advertise = "http://a:1"
        metrics = {listen = "127.0.0.1:1"}
        otlp = {endpoint = "http://a:1"}
        database = {url = "postgres://a"}
        redis = {url = "redis://a", ca = "a", cert = "a", key = "a"}
        oidc = {issuer = "https://a", client_id = "a", client_secret = "a", audience = "a"}
        auth = {service_key = "a", worker_key = "a", api_key = "a"}
        access = {address = "http://a:1"}
        definitions = {address = "http://a:1"}
        secrets = {key_file = "a", keys = "a"}
        execution = {address = "http://a:1"}
        scheduling = {address = "http://a:1"}
        worker = {name = "a", slots = 1, secrets_file = "a", scratch = "a", user = "a"}
        notifications = {address = "http://a:1", public_url = "http://a:1"}
        tls = {cert = "a", key = "a", ca = "a", server_name = "a"}
    "#;
    let effective = load(full, &[], &[]).expect("config");
    let mut values = Values::new();
    let written = Table::try_from(&effective.config).expect("table");
    flatten(&written, "", &Origin::Default, &mut values).expect("every field is a key");
    let mut keys: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    keys.sort_unstable();
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), keys, "every key is a field");
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let text = "[database]\nmax_connections = 11\nstatement_timeout = \"5s\"\n[log]\nfilter = \"debug\"";
    let env = [("NEXUS_DATABASE__MAX_CONNECTIONS", "12"), ("NEXUS_LOG__FILTER", "warn")];
    let effective = load(text, &env, &[("log.filter", "error")]).expect("config");
    let config = &effective.config;
    assert_eq!(config.redis.namespace, "nexus");
    assert_eq!(config.database.statement_timeout.0.as_secs(), 5);
    assert_eq!(config.database.max_connections, 12);
    assert_eq!(config.log.filter, "error");
    assert_eq!(origin(&effective, "redis.namespace"), Origin::Default);
    assert!(matches!(
        origin(&effective, "database.statement_timeout"),
        Origin::File(_)
    ));
    assert_eq!(
        origin(&effective, "database.max_connections"),
        Origin::Env("NEXUS_DATABASE__MAX_CONNECTIONS".into())
    );
    assert_eq!(
        origin(&effective, "log.filter"),
        Origin::Flag("--set log.filter".into())
    );
}

#[test]
fn variables_and_flags_are_read_as_their_key_wants() {
    let env = [
        ("NEXUS_ROLES", "execution, worker"),
        ("NEXUS_REDIS__NAMESPACE", "7"),
        ("NEXUS_WORKER__LABELS", "team=data,zone=a"),
        ("NEXUS_WORKER__ALLOW_PRIVATE", "true"),
        ("NEXUS_WORKER__DRAIN_GRACE", "1m"),
        // Not ours: a cluster's, another command's, a secret's.
        ("NEXUS_EXECUTION_PORT", "tcp://10.0.0.1:7070"),
        ("NEXUS_ADDRESS", "http://a:1"),
        ("NEXUS_SECRET_A__B", "x"),
        ("NEXUS_DEFINITIONS__ADDRESS", ""),
    ];
    let config = load("", &env, &[]).expect("config").config;
    assert_eq!(config.roles, [RoleName::Execution, RoleName::Worker]);
    assert_eq!(config.redis.namespace, "7");
    assert_eq!(config.worker.labels["zone"], "a");
    assert!(config.worker.allow_private);
    assert_eq!(config.worker.drain_grace.0.as_secs(), 60);
    assert_eq!(config.definitions.address, None, "empty is not set");
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_the_nearest() {
    let told = problem("[databse]\nurl = \"x\"", &[], &[]);
    assert!(told.contains("`databse`") && told.contains("nexus.toml"), "{told}");
    let told = problem("[database]\nmax_conections = 1", &[], &[]);
    assert!(told.contains("did you mean `database.max_connections`?"), "{told}");
    let told = problem("", &[("NEXUS_DATABASE__ULR", "x")], &[]);
    assert!(
        told.contains("env NEXUS_DATABASE__ULR") && told.contains("`database.url`"),
        "{told}"
    );
    let told = problem("", &[], &[("max_in_flight", "1")]);
    assert!(
        told.contains("flag --set max_in_flight") && told.contains("`limits.max_in_flight`"),
        "{told}"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_key_and_source() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[database]\nmax_connections = \"many\"",
            &["database.max_connections", "whole number", "nexus.toml"],
        ),
        ("[worker]\ndrain_grace = 30", &["worker.drain_grace", "span"]),
        ("listen = \"localhost\"", &["`listen`", "nexus.toml"]),
        ("roles = [\"wroker\"]", &["`roles`", "wroker"]),
        ("[log]\nformat = \"xml\"", &["log.format", "xml"]),
        (
            "[execution]\naddress = \"execution:7070\"",
            &["execution.address", "http://"],
        ),
        ("[worker]\nslots = 0", &["worker.slots", "from 1 to 1000"]),
        ("worker = 7", &["`worker`"]),
    ];
    for (text, parts) in cases {
        let told = problem(text, &[], &[]);
        assert!(parts.iter().all(|part| told.contains(part)), "{text}: {told}");
    }
    let told = problem("", &[("NEXUS_DATABASE__MIGRATE", "perhaps")], &[]);
    assert!(
        told.contains("env NEXUS_DATABASE__MIGRATE") && told.contains("true or false"),
        "{told}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named_and_their_secrets_are_not_shown() {
    let error = Effective::load(&Sources {
        file: Some("/nowhere/nexus.toml".into()),
        ..Sources::default()
    });
    assert!(error.expect_err("no file").to_string().contains("/nowhere/nexus.toml"));
    let told = problem("[database]\nurl = \"postgres://u:hunter2@h\n", &[], &[]);
    assert!(told.contains("line 2") && !told.contains("hunter2"), "{told}");
    let told = problem("[database]\nurl = [\"hunter2\"]", &[], &[]);
    assert!(told.contains("database.url") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_role_says_what_it_needs() {
    let needs = |roles: &str, env: &[(&str, &str)]| {
        let effective = load("", env, &[("roles", roles)]).expect("config");
        effective.check_roles().map_err(|error| error.to_string())
    };
    assert!(
        needs("worker", &[])
            .expect_err("no address")
            .contains("NEXUS_EXECUTION__ADDRESS")
    );
    assert!(needs("worker", &[("NEXUS_EXECUTION__ADDRESS", "http://a:1")]).is_ok());
    assert!(
        needs("definitions", &[])
            .expect_err("no database")
            .contains("database.url")
    );
    let all = [
        ("NEXUS_DATABASE__URL", "postgres://a"),
        ("NEXUS_REDIS__URL", "redis://a"),
    ];
    assert!(
        needs("definitions,execution,worker", &all).is_ok(),
        "one process needs no addresses"
    );
    assert!(
        needs("execution", &all)
            .expect_err("no definitions")
            .contains("definitions.address")
    );
}

#[test]
fn secrets_are_never_shown() {
    let effective = load("", &[("NEXUS_DATABASE__URL", "postgres://u:hunter2@h")], &[]).expect("config");
    let shown = effective
        .shown(keys::find("database.url").expect("key"))
        .expect("set")
        .0;
    assert_eq!(shown.as_str(), Some("***"));
    assert!(!format!("{:?}", effective.config).contains("hunter2"));
    assert_eq!(
        effective.config.database.url.as_ref().map(|url| url.expose()),
        Some("postgres://u:hunter2@h")
    );
}

#[test]
fn every_number_is_bounded_just_over_and_not_just_under() {
    let mut bounded = 0;
    for key in KEYS.iter().filter(|key| key.range().is_some()) {
        let (least, most) = key.bounds;
        let written = |number: u64| match key.kind {
            Kind::Span => format!("{number}ms"),
            _ => number.to_string(),
        };
        for fits in [least, least + 1, most - 1, most] {
            load("", &[], &[(key.name, &written(fits))]).unwrap_or_else(|error| panic!("{fits}: {error}"));
        }
        for over in least.checked_sub(1).into_iter().chain([most + 1, i64::MAX as u64]) {
            let told = problem("", &[], &[(key.name, &written(over))]);
            assert!(
                told.contains(key.name) && told.contains(&key.range().expect("range")),
                "{told}"
            );
            let usual = usual(key);
            assert!(usual.is_none_or(|usual| told.contains(&usual)), "{told}");
        }
        assert!(problem("", &[], &[(key.name, "99999999999999999999")]).contains(key.name));
        bounded += 1;
    }
    assert!(bounded > 10);
}

#[test]
fn the_workers_namespace_is_that_of_all_commands_unless_it_has_one_of_its_own() {
    let (own, all) = ("NEXUS_WORKER__NAMESPACE", "NEXUS_NAMESPACE");
    let file = "worker = {namespace = \"team-a\"}";
    let flag = ("worker.namespace", "team-d");
    for (text, env, flags, expected) in [
        ("", &[][..], &[][..], "default"),
        (file, &[], &[], "team-a"),
        (file, &[(all, "")], &[], "default"),
        (file, &[(all, "team-b")], &[], "team-b"),
        (file, &[(all, "team-b"), (own, "team-c")], &[], "team-c"),
        (file, &[(all, "team-b"), (own, "team-c")], &[flag], "team-d"),
    ] {
        let effective = load(text, env, flags).expect("config");
        assert_eq!(effective.config.worker.namespace, expected);
    }
    let told = problem("", &[(all, "Team A")], &[]);
    assert!(told.contains(all) && told.contains("lower-case letters"), "{told}");
}

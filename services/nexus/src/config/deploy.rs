//! Test: `deploy/` holds together. No Docker runs here; files are parsed, and what they name is looked up in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::layers::{Effective, Sources};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder with one of the extensions.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, extensions));
        } else if path
            .extension()
            .is_some_and(|end| extensions.iter().any(|wanted| end == *wanted))
        {
            found.push(path);
        }
    }
    found
}

fn yaml(path: &Path) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in a text, without what Prometheus adds to histograms.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("nexus_") || word.starts_with("process_"));
    ours.map(|word| {
        let bare = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end));
        bare.unwrap_or(word).to_owned()
    })
    .collect()
}

#[test]
fn every_file_can_be_parsed() {
    let deploy = root().join("deploy");
    for path in files(&deploy, &["yaml", "yml"]) {
        assert!(yaml(&path).is_object(), "{}", path.display());
    }
    for path in files(&deploy, &["json"]) {
        serde_json::from_str::<Value>(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn dashboards_and_alerts_use_only_metrics_that_exist() {
    let mut known = BTreeSet::new();
    for folder in ["libs", "services"] {
        for path in files(&root().join(folder), &["rs"])
            .iter()
            .filter(|path| !path.ends_with("config/deploy.rs"))
        {
            let text = read(path);
            // A name in the code is a text of its own.
            known.extend(
                text.split('"')
                    .filter(|text| text.starts_with("nexus_"))
                    .map(str::to_owned),
            );
        }
    }
    // Those that the crate metrics-process gives.
    for process in ["cpu_seconds_total", "resident_memory_bytes", "open_fds"] {
        known.insert(format!("process_{process}"));
    }
    let mut used = BTreeSet::new();
    let deploy = root().join("deploy");
    for path in files(&deploy.join("grafana/dashboards"), &["json"]) {
        let board: Value = serde_json::from_str(&read(&path)).expect("JSON");
        let targets = board["panels"]
            .as_array()
            .expect("panels")
            .iter()
            .flat_map(|panel| panel["targets"].as_array());
        for target in targets.flatten() {
            used.extend(metrics(target["expr"].as_str().expect("expr")));
        }
    }
    let rules = yaml(&deploy.join("prometheus/rules.yml"));
    let readme = read(&deploy.join("README.md")).to_lowercase();
    for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
        used.extend(metrics(rule["expr"].as_str().expect("expr")));
        let alert = rule["alert"].as_str().expect("name").to_lowercase();
        assert!(
            readme.contains(&format!("### {alert}\n")),
            "{alert} has no runbook in deploy/README.md"
        );
    }
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty() && used.len() > 20, "not in the code: {unknown:?}");
}

#[test]
fn the_page_of_metrics_has_those_of_the_code_and_no_others() {
    let mut named = BTreeSet::new();
    for folder in ["libs", "services"] {
        for path in files(&root().join(folder), &["rs"]) {
            let text = read(&path);
            let constants = text
                .lines()
                .filter(|line| line.starts_with("const ") && line.contains("\"nexus_"));
            named.extend(constants.filter_map(|line| line.split('"').nth(1)).map(str::to_owned));
        }
    }
    let page = read(&root().join("docs/metrics.md"));
    let told = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(told.map(str::to_owned).collect::<BTreeSet<_>>(), named);
}

#[test]
fn the_services_of_the_composition_have_valid_configurations_and_no_passwords() {
    let path = root().join("deploy/compose/compose.yaml");
    let text = read(&path);
    for line in text.lines().filter(|line| line.contains("PASSWORD")) {
        assert!(
            line.contains("${") && line.contains(":?"),
            "a password that is not asked for: {line}"
        );
    }
    let example = read(&root().join("deploy/compose/.env.example"));
    let asked = text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split([':', '}']).next());
    for name in asked.filter(|name| *name != "NEXUS_LOG") {
        assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
    }
    let compose = yaml(&path);
    let image = read(&root().join("deploy/Dockerfile"));
    for role in [
        "definitions",
        "execution",
        "scheduling",
        "worker",
        "notifications",
        "gateway",
    ] {
        let mut env = BTreeMap::new();
        for word in image.split_whitespace().filter(|word| word.starts_with("NEXUS_")) {
            let (name, value) = word.split_once('=').expect("NAME=VALUE");
            env.insert(name.to_owned(), value.to_owned());
        }
        for (name, value) in compose["services"][role]["environment"]
            .as_object()
            .expect("environment")
        {
            env.insert(name.clone(), filled(value));
        }
        let flags = Vec::new();
        let effective = Effective::load(&Sources { file: None, env, flags }).expect(role);
        effective.check_roles().expect(role);
    }
}

/// A value as compose would fill it in: defaults are taken, and what must be given is given.
fn filled(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("a closed brace");
        filled += variable.split_once(":-").map_or("given", |(_, default)| default);
        filled += rest;
    }
    filled
}

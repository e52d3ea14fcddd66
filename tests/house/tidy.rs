//! The house's rules that a program can hold: where crates may lean, how large they and their files are, and how each
//! file begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the house each one may depend on. An arrow that is missing here is a question to ask first: leaves
/// depend on nothing, services on no other service, and only the binary on all of them.
const ARROWS: &[(&str, &[&str])] = &[
    ("nexus-api", &[]),
    ("nexus-expr", &[]),
    ("nexus-schedule", &[]),
    ("nexus-failpoint", &[]),
    ("nexus-graph", &[]),
    ("nexus-storage", &[]),
    ("nexus-supervise", &[]),
    ("nexus-telemetry", &[]),
    ("nexus-duration", &[]),
    (
        "nexus-spec",
        &["nexus-duration", "nexus-expr", "nexus-graph", "nexus-schedule"],
    ),
    ("nexus-engine", &["nexus-expr", "nexus-spec"]),
    ("nexus-egress", &[]),
    ("nexus-attempt", &["nexus-egress", "nexus-spec"]),
    ("nexus-tasks-grpc", &["nexus-attempt", "nexus-spec"]),
    ("nexus-tasks-sql", &["nexus-attempt"]),
    (
        "nexus-tasks",
        &[
            "nexus-attempt",
            "nexus-egress",
            "nexus-spec",
            "nexus-tasks-grpc",
            "nexus-tasks-sql",
        ],
    ),
    ("nexus-mesh", &["nexus-api"]),
    ("nexus-auth", &["nexus-api", "nexus-mesh"]),
    (
        "nexus-audit",
        &["nexus-api", "nexus-auth", "nexus-mesh", "nexus-storage"],
    ),
    ("nexus-gateway", &["nexus-api", "nexus-auth", "nexus-mesh"]),
    ("nexus-streams", &["nexus-supervise"]),
    (
        "nexus-service",
        &["nexus-api", "nexus-mesh", "nexus-storage", "nexus-supervise"],
    ),
    (
        "nexus-definitions",
        &[
            "nexus-api",
            "nexus-audit",
            "nexus-auth",
            "nexus-failpoint",
            "nexus-graph",
            "nexus-mesh",
            "nexus-service",
            "nexus-spec",
            "nexus-storage",
        ],
    ),
    (
        "nexus-scheduling",
        &[
            "nexus-api",
            "nexus-audit",
            "nexus-auth",
            "nexus-failpoint",
            "nexus-mesh",
            "nexus-schedule",
            "nexus-service",
            "nexus-storage",
        ],
    ),
    (
        "nexus-notifications",
        &[
            "nexus-api",
            "nexus-attempt",
            "nexus-audit",
            "nexus-auth",
            "nexus-egress",
            "nexus-expr",
            "nexus-failpoint",
            "nexus-mesh",
            "nexus-service",
            "nexus-storage",
        ],
    ),
    ("nexus-access-store", &["nexus-api", "nexus-audit", "nexus-storage"]),
    (
        "nexus-access",
        &[
            "nexus-access-store",
            "nexus-api",
            "nexus-audit",
            "nexus-auth",
            "nexus-mesh",
            "nexus-service",
        ],
    ),
    // The execution service: what is kept, the databases, the owner, and the service over them.
    (
        "nexus-execution-store",
        &["nexus-api", "nexus-engine", "nexus-service", "nexus-storage"],
    ),
    (
        "nexus-execution-sql",
        &[
            "nexus-api",
            "nexus-engine",
            "nexus-execution-store",
            "nexus-failpoint",
            "nexus-storage",
        ],
    ),
    (
        "nexus-execution-owner",
        &[
            "nexus-api",
            "nexus-engine",
            "nexus-execution-store",
            "nexus-expr",
            "nexus-failpoint",
            "nexus-mesh",
            "nexus-spec",
            "nexus-storage",
            "nexus-streams",
            "nexus-supervise",
        ],
    ),
    (
        "nexus-execution-sessions",
        &[
            "nexus-api",
            "nexus-auth",
            "nexus-execution-owner",
            "nexus-execution-store",
            "nexus-mesh",
        ],
    ),
    (
        "nexus-execution",
        &[
            "nexus-api",
            "nexus-audit",
            "nexus-auth",
            "nexus-engine",
            "nexus-execution-owner",
            "nexus-execution-sessions",
            "nexus-execution-store",
            "nexus-expr",
            "nexus-failpoint",
            "nexus-mesh",
            "nexus-service",
            "nexus-spec",
            "nexus-storage",
            "nexus-streams",
        ],
    ),
    (
        "nexus-worker",
        &[
            "nexus-api",
            "nexus-failpoint",
            "nexus-mesh",
            "nexus-spec",
            "nexus-supervise",
            "nexus-tasks",
        ],
    ),
    // The client: what its commands stand on, those about access, and all. It transcodes by itself what the gateway would, and
    // checks files without a server.
    ("nexus-cli-frame", &["nexus-api", "nexus-mesh"]),
    (
        "nexus-cli-access",
        &["nexus-api", "nexus-audit", "nexus-cli-frame", "nexus-mesh"],
    ),
    (
        "nexus-cli",
        &[
            "nexus-api",
            "nexus-cli-access",
            "nexus-cli-frame",
            "nexus-gateway",
            "nexus-mesh",
            "nexus-schedule",
            "nexus-spec",
            "nexus-telemetry",
        ],
    ),
];

/// Lines of a crate at most, its tests included: what one person can hold in mind.
const MOST_LINES_OF_A_CRATE: usize = 8_000;
/// Lines of a file at most.
const MOST_LINES: usize = 400;
/// Files that are longer, with what they may have: fewer from time to time, never more.
const LONGER: &[(&str, usize)] = &[
    ("libs/spec/src/parse/tests.rs", 486),
    ("libs/storage/tests/postgres.rs", 413),
    ("libs/tasks/tests/grpc.rs", 426),
    ("tests/e2e/executions.rs", 488),
    ("tests/faults/src/load.rs", 433),
    ("tests/mesh/tests/mistakes.rs", 497),
    ("tests/simulation/src/workers.rs", 434),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the tests stand in the house")
        .to_owned()
}

/// Every Rust file of the house, by its path from the root.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = ["libs", "services", "tests"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(root()).expect("in the house").display().to_string();
                found.insert(path, text);
            }
        }
    }
    assert!(found.len() > 300, "the house was found");
    found
}

/// The folders of the crates in a part of the house, those within other crates' folders too.
fn crates(part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(part)];
    while let Some(folder) = folders.pop() {
        if folder.join("Cargo.toml").is_file() {
            found.push(folder.clone());
        }
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["src", "target", "node_modules"].contains(&name) {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn crates_lean_only_where_they_may() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for folder in ["libs", "services"].into_iter().flat_map(crates) {
        let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let name = text.lines().find_map(|line| line.strip_prefix("name = \""));
        let name = name.expect("a name").trim_end_matches('"').to_owned();
        let section = text.split("\n[").find(|section| section.starts_with("dependencies]"));
        let lines = section.unwrap_or_default().lines();
        let words = lines.map(|line| line.split([' ', '.', '=']).next().unwrap_or_default());
        let leans: Vec<&str> = words.filter(|word| word.starts_with("nexus-")).collect();
        seen += 1;
        if name == "nexus" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(crate_name, _)| *crate_name == name);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| *allowed);
        let more = leans.iter().filter(|lean| !allowed.contains(lean));
        wrong.extend(more.map(|lean| format!("{name} -> {lean}")));
    }
    assert!(seen > 20, "the crates were found");
    assert_eq!(wrong, Vec::<String>::new(), "arrows that ARROWS does not have");
}

#[test]
fn crates_stay_small() {
    let folders: Vec<PathBuf> = ["libs", "services", "tests"].into_iter().flat_map(crates).collect();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in files() {
        let path = root().join(path);
        let own = folders.iter().filter(|folder| path.starts_with(folder));
        let own = own.max_by_key(|folder| folder.components().count()).expect("a crate");
        let own = own.strip_prefix(root()).expect("in the house").display().to_string();
        *lines.entry(own).or_default() += text.lines().count();
    }
    let wrong: Vec<_> = lines
        .into_iter()
        .filter(|(_, lines)| *lines > MOST_LINES_OF_A_CRATE)
        .collect();
    assert_eq!(wrong, Vec::new(), "crates of more than {MOST_LINES_OF_A_CRATE} lines");
}

#[test]
fn every_file_says_first_what_lives_there() {
    let silent: Vec<String> = files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "files that do not begin with //!");
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    let files = files();
    for (path, text) in &files {
        let lines = text.lines().count();
        let known = LONGER.iter().find(|(longer, _)| longer == path);
        let most = known.map_or(MOST_LINES, |(_, most)| *most);
        if lines > most {
            wrong.push(format!("{path} has {lines} lines, at most {most} are wanted"));
        }
        if known.is_some() && lines <= MOST_LINES {
            wrong.push(format!("{path} has {lines} lines: take it off the list"));
        }
    }
    let gone = LONGER.iter().filter(|(path, _)| !files.contains_key(*path));
    wrong.extend(gone.map(|(path, _)| format!("{path} is gone: take it off the list")));
    assert_eq!(wrong, Vec::<String>::new());
}

/// Callers come over gRPC, REST and the command line: what a service says has to hold for all of them.
#[test]
fn what_services_say_is_in_no_words_of_the_command_line() {
    let services = [
        "services/definitions/",
        "services/execution/",
        "services/gateway/",
        "services/notifications/",
        "libs/service/",
    ];
    let mut wrong = Vec::new();
    for (path, text) in files() {
        if services.iter().any(|service| path.starts_with(service)) {
            let said = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let of_commands = said.filter(|line| line.contains("`nexus "));
            wrong.extend(of_commands.map(|line| format!("{path}: {}", line.trim())));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Whether a word begins as an execution's id does: eight hex digits, a dash, and at least four more.
fn is_id(word: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = word.split('-');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    first.len() == 8 && second.len() >= 4 && is_hex(first) && is_hex(second)
}

/// What is copied has to work for whoever copies it: an id is taken from an answer.
#[test]
fn lines_for_copying_name_nobodys_executions() {
    let docs = fs::read_dir(root().join("docs")).expect("a folder");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let mut wrong = Vec::new();
    for path in docs.chain([root().join("README.md")]) {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a text");
        for block in text.split("```sh\n").skip(1) {
            let lines = block.split("```").next().unwrap_or_default().lines();
            let has_id = |line: &str| {
                line.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '-')
                    .any(is_id)
            };
            let named = lines.filter(|line| has_id(line));
            wrong.extend(named.map(|line| format!("{}: {line}", path.display())));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_module_is_named_by_its_file() {
    let named_mod = |path: &&String| path.ends_with("/mod.rs") && !path.contains("/tests/");
    let wrong: Vec<String> = files().keys().filter(named_mod).cloned().collect();
    assert_eq!(wrong, Vec::<String>::new(), "name them after their folder, beside it");
}

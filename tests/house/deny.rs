//! What may be depended on, as `deny.toml` says it: licences, banned crates and where crates come from. `make deny` asks
//! cargo-deny, which knows more; this needs nothing that is not built anyway, so it is part of every run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, Licensee};

struct Rules {
    allowed: Vec<Licensee>,
    banned: BTreeSet<String>,
}

fn rules(text: &str) -> Rules {
    let rules: toml::Table = text.parse().expect("deny.toml is TOML");
    let allowed = rules["licenses"]["allow"].as_array().expect("a list");
    let licensee = |name: &toml::Value| Licensee::parse(name.as_str().expect("a name")).expect("a known licence");
    let banned = rules["bans"]["deny"].as_array().expect("a list");
    let name = |entry: &toml::Value| entry["crate"].as_str().expect("a name").to_owned();
    Rules {
        allowed: allowed.iter().map(licensee).collect(),
        banned: banned.iter().map(name).collect(),
    }
}

/// What is wrong with a package; nothing when it may be depended on.
fn wrong(package: &Value, rules: &Rules) -> Option<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let named = format!("{} {}", text("name"), text("version"));
    if rules.banned.contains(text("name")) {
        return Some(format!("{named} is banned"));
    }
    // Those of this house have none.
    let source = text("source");
    if !source.is_empty() && source != "registry+https://github.com/rust-lang/crates.io-index" {
        return Some(format!("{named} comes from {source}"));
    }
    let allows = |wanted: &LicenseReq| rules.allowed.iter().any(|licensee| licensee.satisfies(wanted));
    // Some write "MIT/Apache-2.0", which Cargo once took.
    match Expression::parse_mode(text("license"), spdx::ParseMode::LAX) {
        Ok(licence) if licence.evaluate(allows) => None,
        Ok(licence) => Some(format!("{named} has the licence {licence}")),
        Err(error) => Some(format!("{named} has no licence that can be read: {error}")),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the tests stand in the house")
}

/// The platform that everything is built for.
fn host() -> String {
    let told = Command::new(env!("CARGO")).arg("-vV").output().expect("cargo");
    let told = String::from_utf8(told.stdout).expect("text");
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("cargo names its host").to_owned()
}

#[test]
fn nothing_is_depended_on_that_may_not_be() {
    let rules = rules(&std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml"));
    // Of other platforms nothing has been downloaded, and nothing of them is shipped.
    let asked = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            &host(),
        ])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let metadata: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 100, "all of them are looked at");
    let wrong: Vec<String> = packages.iter().filter_map(|package| wrong(package, &rules)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_may_not_be_is_found() {
    let rules = rules(
        r#"
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        deny = [{ crate = "openssl-sys" }]
        "#,
    );
    let package = |name: &str, license: &str, source: &str| {
        let package = serde_json::json!({"name": name, "version": "1.0.0", "license": license, "source": source});
        wrong(&package, &rules)
    };
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    for fine in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert_eq!(package("a", fine, registry), None, "{fine}");
    }
    for not in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", ""] {
        assert!(package("a", not, registry).is_some(), "{not}");
    }
    assert!(package("openssl-sys", "MIT", registry).is_some());
    assert!(package("a", "MIT", "git+https://example.com/a").is_some());
}

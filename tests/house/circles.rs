//! No circles of imports: the files of a crate stand in an order, and each leans only on those below it. Whoever reads one
//! then has an end to come to, and whoever changes one knows whom it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module of a crate: its path in it, empty for the root, and what its file says outside of tests and comments.
struct Module {
    file: String,
    text: String,
    /// Names that it hands on from elsewhere, with their paths from the root.
    handed_on: BTreeMap<String, Vec<String>>,
}

/// The modules of one crate by their paths.
type Modules = BTreeMap<Vec<String>, Module>;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .ancestors()
        .nth(2)
        .expect("the tests stand in the house")
        .to_owned()
}

/// The sources of every crate: each folder `src` beside a manifest.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["libs", "services"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        if folder.join("Cargo.toml").is_file() && folder.join("src").is_dir() {
            found.push(folder.join("src"));
        }
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["src", "target", "node_modules", "libfuzzer"].contains(&name) {
                folders.push(path);
            }
        }
    }
    assert!(found.len() > 20, "the crates were found");
    found
}

/// The text without comments, string literals and the modules of tests.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut left = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        left.extend(line.split('"').step_by(2));
        left.push('\n');
    }
    left
}

/// Reads the modules of a crate, as far as they are declared and not for tests alone.
fn modules(source: &Path) -> Modules {
    let mut modules = Modules::new();
    let start = ["lib.rs", "main.rs"].map(|name| source.join(name));
    let mut waiting: Vec<(Vec<String>, PathBuf)> = start.into_iter().map(|file| (Vec::new(), file)).collect();
    while let Some((path, file)) = waiting.pop() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let text = code(&text);
        let folder = source.join(path.iter().collect::<PathBuf>());
        let mut before = "";
        for line in text.lines() {
            let words = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let name = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = name.filter(|_| !before.starts_with("#[cfg(test)]")) {
                let child = [path.clone(), vec![name.to_owned()]].concat();
                waiting.push((child, folder.join(format!("{name}.rs"))));
            }
            before = line;
        }
        let file = file.strip_prefix(root()).expect("in the house").display().to_string();
        let module = Module {
            file,
            text,
            handed_on: BTreeMap::new(),
        };
        modules.entry(path).or_insert(module);
    }
    modules
}

/// What stands in a tree of a `use`, each with its path.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let (head, inner) = match tree.split_once('{') {
        Some((head, rest)) => (head, rest.strip_suffix('}').unwrap_or(rest)),
        None => (tree, ""),
    };
    let own = head
        .split("::")
        .map(|word| word.split(" as ").next().unwrap_or_default().trim());
    let own: Vec<String> = own.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if inner.is_empty() {
        return vec![own];
    }
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for character in inner.chars() {
        depth += i32::from(character == '{') - i32::from(character == '}');
        match character {
            ',' if depth == 0 => parts.push(String::new()),
            other => parts.last_mut().expect("one at least").push(other),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| leaves(part))
        .map(|leaf| [own.clone(), leaf].concat())
        .collect()
}

/// A path as it is written in a module, from the root of the crate; nothing when it leads out of the crate.
fn resolved(modules: &Modules, at: &[String], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => at.to_vec(),
        "super" => {
            let mut up = at.split_last()?.1.to_vec();
            let further = rest.iter().take_while(|word| *word == "super").count();
            up.truncate(up.len().checked_sub(further)?);
            return Some([&up[..], &rest[further..]].concat());
        }
        _ => {
            let child = [at, std::slice::from_ref(first)].concat();
            return modules.contains_key(&child).then(|| [at, path].concat());
        }
    };
    Some([&base[..], rest].concat())
}

/// The module in which what a path names is defined, through those that hand it on.
fn home(modules: &Modules, path: &[String], steps: usize) -> Option<Vec<String>> {
    let length = (0..=path.len())
        .rev()
        .find(|length| modules.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(length);
    match rest.first().and_then(|name| modules[module].handed_on.get(name)) {
        Some(further) if steps > 0 && further != path => home(modules, further, steps - 1),
        _ => Some(module.to_vec()),
    }
}

/// The `use` items of a text, each with whether it hands on what it names, and its tree.
fn uses(text: &str) -> Vec<(bool, String)> {
    let items = text.split("\n").scan((), |(), line| Some(line)).collect::<Vec<_>>();
    let mut found = Vec::new();
    let mut at = 0;
    while at < items.len() {
        let line = items[at].trim_start();
        let rest = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        let Some(start) = rest.iter().find(|start| line.starts_with(*start)) else {
            at += 1;
            continue;
        };
        let mut tree = line[start.len()..].to_owned();
        while !tree.trim_end().ends_with(';') && at + 1 < items.len() {
            at += 1;
            tree.push_str(items[at]);
        }
        found.push((*start != "use ", tree.trim_end().trim_end_matches(';').to_owned()));
        at += 1;
    }
    found
}

/// Paths that are written out in the middle of the code.
fn inline(text: &str) -> Vec<Vec<String>> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let paths = words.filter(|word| word.contains("::"));
    let split = paths.map(|path| path.split("::").map(str::to_owned).collect::<Vec<_>>());
    split.filter(|path| path.iter().all(|word| !word.is_empty())).collect()
}

/// Which files each file of a crate leans on. That a module leans on one in which it stands is not counted: the two are
/// one, and the outer one is its face.
fn arrows(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = modules(source);
    let paths: Vec<Vec<String>> = modules.keys().cloned().collect();
    for path in &paths {
        let handed = uses(&modules[path].text).into_iter().filter(|(on, _)| *on);
        let leaves: Vec<Vec<String>> = handed.flat_map(|(_, tree)| leaves(&tree)).collect();
        for leaf in leaves {
            let (Some(name), Some(target)) = (leaf.last().cloned(), resolved(&modules, path, &leaf)) else {
                continue;
            };
            let module = modules.get_mut(path).expect("it is there");
            module.handed_on.insert(name, target);
        }
    }
    let mut arrows = BTreeMap::new();
    for path in &paths {
        let text = &modules[path].text;
        // Handing on is no leaning: whoever uses the name leans on where it comes from.
        let used = uses(text).into_iter().filter(|(on, _)| !on);
        let named = used.flat_map(|(_, tree)| leaves(&tree)).chain(inline(text));
        let homes = named.filter_map(|name| home(&modules, &resolved(&modules, path, &name)?, 8));
        let homes = homes.filter(|home| !path.starts_with(home));
        let files: BTreeSet<String> = homes.map(|home| modules[&home].file.clone()).collect();
        let own = modules[path].file.clone();
        let others = files.into_iter().filter(|file| *file != own).collect();
        arrows.insert(own, others);
    }
    arrows
}

/// The files that lean on each other, and so on themselves.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach = |from: &String| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(file) = waiting.pop() {
            for next in arrows.get(file).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    waiting.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = arrows.keys().map(|file| (file, reach(file))).collect();
    let around = |file: &String| {
        let others = reached[file]
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(file)));
        others.cloned().collect::<Vec<String>>()
    };
    arrows.keys().map(around).filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn no_files_lean_on_each_other_in_a_circle() {
    let mut found = Vec::new();
    for source in sources() {
        let arrows = arrows(&source);
        for circle in circles(&arrows) {
            let inside = circle
                .iter()
                .flat_map(|file| arrows[file].iter().map(move |other| (file, other)));
            let inside = inside.filter(|(_, other)| circle.contains(other));
            found.push(
                inside
                    .map(|(file, other)| format!("\n  {file} -> {other}"))
                    .collect::<String>(),
            );
        }
    }
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_seen_through_what_hands_names_on() {
    let folder = tempfile::tempdir_in(root().join("target")).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    fs::create_dir(folder.path().join("b")).expect("a folder");
    write(
        "lib.rs",
        "mod a;\nmod b;\nmod c;\npub use b::{Inner, Outer};\n#[cfg(test)]\nmod tests;\n",
    );
    write("a.rs", "use crate::Inner;\n");
    write("b.rs", "mod deep;\npub use deep::Inner;\npub struct Outer;\n");
    write("b/deep.rs", "pub struct Inner;\nfn f() { super::super::c::g(); }\n");
    write(
        "c.rs",
        "// crate::a in a comment\npub fn g() { let _ = \"crate::a::x\"; }\n",
    );
    assert!(circles(&arrows(folder.path())).is_empty());
    write("c.rs", "use crate::{\n    a::{self, X as Y},\n};\n");
    let found = circles(&arrows(folder.path()));
    assert_eq!(found.len(), 1);
    let names: Vec<&str> = found
        .iter()
        .flatten()
        .filter_map(|file| file.rsplit('/').next())
        .collect();
    assert_eq!(names, ["a.rs", "deep.rs", "c.rs"]);
}

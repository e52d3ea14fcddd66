//! Reads what stands under a kind key. Kinds with much to read have a file of their own.

use super::expressions::Expressions;
use super::grpc::{self, GRPC};
use super::http::{self, HTTP};
use super::python;
use super::reader::{Missing, Path, Shape, fields};
use super::values::Values;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::kinds::KindName;
use crate::model::{Bash, Kind, Noop, Python, Sql};
use crate::source::{Data, Entry, Node};
use crate::sql;

/// Smallest memory limit: less does not start an interpreter.
const LEAST_MEMORY: u64 = 16 << 20;
/// Largest memory limit that a file may ask for.
const MOST_MEMORY: u64 = 1 << 40;

const PYTHON: Shape = Shape {
    name: KindName::Python.as_str(),
    keys: &["code", "function", "args", "env", "memory", "isolation"],
    missing: &[Missing {
        key: "requirements",
        instead: "install packages where the worker runs",
    }],
};
const BASH: Shape = Shape {
    name: KindName::Bash.as_str(),
    keys: &["run", "env", "memory"],
    missing: &[],
};
const SQL: Shape = Shape {
    name: KindName::Sql.as_str(),
    keys: &["connection", "url", "statement", "bind", "max_rows"],
    missing: &[],
};
const NOOP: Shape = Shape {
    name: KindName::Noop.as_str(),
    keys: &["output"],
    missing: &[],
};

const ISOLATIONS: &[&str] = &["fork", "warm", "process"];
/// What may stand under a kind key.
fn shape(kind: KindName) -> &'static Shape {
    match kind {
        KindName::Python => &PYTHON,
        KindName::Bash => &BASH,
        KindName::Http => &HTTP,
        KindName::Sql => &SQL,
        KindName::Grpc => &GRPC,
        KindName::Noop => &NOOP,
    }
}

pub(super) fn read(
    kind: KindName,
    entry: &Entry,
    task: Path<'_>,
    expressions: &mut Expressions,
    findings: &mut Findings,
) -> Option<Kind> {
    let path = task.then(&entry.key);
    let nothing = Node {
        data: Data::Map(Vec::new()),
        place: entry.value.place,
    };
    let under = match entry.value.data {
        Data::Null if kind.may_be_bare() => &nothing,
        _ => &entry.value,
    };
    if let Some(text) = under.text() {
        findings.add(shorthand(kind, entry, text).path(path.to_string()));
        return None;
    }
    let fields = fields(under, shape(kind), path, findings)?;
    for field in kind.templated_fields() {
        if let Some(node) = fields.value(field) {
            expressions.value(node, path.then(field), findings);
        }
    }
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    match kind {
        KindName::Python => read_python(&mut values).map(Kind::Python),
        KindName::Bash => read_bash(&mut values).map(Kind::Bash),
        KindName::Http => http::read(&mut values).map(Kind::Http),
        KindName::Sql => read_sql(&mut values).map(Kind::Sql),
        KindName::Grpc => grpc::read(&mut values).map(Kind::Grpc),
        KindName::Noop => Some(Kind::Noop(Noop {
            output: fields.value("output").map(Node::to_value).unwrap_or_default(),
        })),
    }
}

fn shorthand(kind: KindName, entry: &Entry, text: &str) -> Finding {
    let field = kind.text_field();
    let message = format!("{kind} must be a map, this is text");
    let short: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
    Finding::error(codes::WRONG_TYPE, entry.value.place, message)
        .fix(format!("write {kind}: {{{field}: ...}} around it ({short})"))
}

fn is_env_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn not_empty(values: &mut Values<'_, '_>, key: &str, text: &str) {
    if text.trim().is_empty() {
        let place = values.fields.value(key).map(|node| node.place).unwrap_or_default();
        values.say(key, Finding::error(codes::EMPTY_CODE, place, format!("{key} is empty")));
    }
}

fn read_python(values: &mut Values<'_, '_>) -> Option<Python> {
    let code = values.text("code");
    let function = values.text("function");
    match (values.fields.has("code"), values.fields.has("function")) {
        (true, false) | (false, true) => {}
        (both, _) => {
            let message = if both {
                "python has both code and function"
            } else {
                "python needs code or function"
            };
            let finding = Finding::error(codes::PYTHON_SOURCE, values.fields.place, message);
            let finding = finding.path(values.path.to_string());
            values
                .findings
                .add(finding.fix("write the code here, or name an importable function, not both"));
        }
    }
    if let (Some(code), Some(node)) = (code, values.fields.value("code")) {
        not_empty(values, "code", code);
        Expressions::verbatim(
            node,
            "code",
            "pass the value through args and take it as an argument of main",
            values.path,
            values.findings,
        );
        python::check_main(code, node, values);
    }
    if let Some(function) = function {
        python::check_function(function, values);
    }
    let args = values.map("args");
    python::check_args(&args, values);
    let env = values.flat_map("env", is_env_name, "an environment variable");
    Some(Python {
        code: code.map(str::to_owned),
        function: function.map(str::to_owned),
        args,
        env,
        memory: values.size("memory", LEAST_MEMORY, MOST_MEMORY),
        isolation: values.word("isolation", ISOLATIONS),
    })
}

fn read_bash(values: &mut Values<'_, '_>) -> Option<Bash> {
    let run = values.required_text("run", "bash");
    if let (Some(run), Some(node)) = (run, values.fields.value("run")) {
        not_empty(values, "run", run);
        Expressions::verbatim(
            node,
            "run",
            "pass the value through env and write \"$NAME\" in the script",
            values.path,
            values.findings,
        );
    }
    let env = values.flat_map("env", is_env_name, "an environment variable");
    let memory = values.size("memory", LEAST_MEMORY, MOST_MEMORY);
    Some(Bash {
        run: run?.to_owned(),
        env,
        memory,
    })
}

fn read_sql(values: &mut Values<'_, '_>) -> Option<Sql> {
    let connection = values.text("connection");
    let url = values.text("url");
    if values.fields.has("connection") == values.fields.has("url") {
        let message = if url.is_some() {
            "sql has both connection and url"
        } else {
            "sql needs connection or url"
        };
        let finding = Finding::error(codes::SQL_TARGET, values.fields.place, message).path(values.path.to_string());
        values
            .findings
            .add(finding.fix("name a connection that the worker knows, or give an address, not both"));
    }
    let statement = values.required_text("statement", "sql");
    let bind = values.map("bind");
    if let (Some(statement), Some(node)) = (statement, values.fields.value("statement")) {
        not_empty(values, "statement", statement);
        Expressions::verbatim(
            node,
            "statement",
            "write :name in the statement and the value under bind",
            values.path,
            values.findings,
        );
        check_binds(statement, node, values);
    }
    let max_rows = values
        .integer("max_rows", (1, 100_000), 1_000)
        .and_then(|n| u32::try_from(n).ok());
    Some(Sql {
        connection: connection.map(str::to_owned),
        url: url.map(str::to_owned),
        statement: statement?.to_owned(),
        bind,
        max_rows,
    })
}

/// Every `:name` has a value and every value is used.
fn check_binds(statement: &str, node: &Node, values: &mut Values<'_, '_>) {
    let placeholders = sql::placeholders(statement);
    let bound: Vec<&Entry> = match values.fields.value("bind").map(|node| &node.data) {
        Some(Data::Map(entries)) => entries.iter().collect(),
        _ => Vec::new(),
    };
    let mut told: Vec<&str> = Vec::new();
    for placeholder in &placeholders {
        let name = placeholder.name;
        if bound.iter().any(|entry| entry.key == name) || told.contains(&name) {
            continue;
        }
        told.push(name);
        let place = node.place_of(statement[..placeholder.start].chars().count());
        let finding = Finding::error(codes::SQL_UNBOUND, place, format!("the parameter :{name} has no value"));
        values.say("statement", finding.fix(format!("add {name} under bind")));
    }
    for entry in bound {
        if !placeholders.iter().any(|placeholder| placeholder.name == entry.key) {
            let message = format!("the statement has no parameter :{}", entry.key);
            let finding = Finding::error(codes::SQL_UNUSED, entry.place, message);
            let path = values.path.then("bind").then(&entry.key).to_string();
            values.findings.add(
                finding
                    .path(path)
                    .fix(format!("write :{} in the statement, or remove it here", entry.key)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reader takes is what the model has, and expressions are looked for in fields that exist.
    #[test]
    fn the_keys_of_each_kind_are_those_of_its_model() {
        let schema = crate::schema::schema();
        for kind in KindName::ALL {
            let property = &schema["definitions"]["Task"]["properties"][kind.as_str()];
            let places = ["/allOf/0/$ref", "/anyOf/0/$ref"];
            let reference = places.iter().find_map(|place| property.pointer(place));
            let pointer = reference
                .and_then(|reference| reference.as_str())
                .expect("a definition");
            let model = schema.pointer(&pointer[1..]).expect("a definition")["properties"]
                .as_object()
                .expect("properties");
            let mut modelled: Vec<&str> = model.keys().map(String::as_str).collect();
            let shape = shape(*kind);
            let mut read = shape.keys.to_vec();
            modelled.sort_unstable();
            read.sort_unstable();
            assert_eq!(modelled, read, "{kind}");
            assert_eq!(shape.name, kind.as_str());
            let named = kind
                .templated_fields()
                .iter()
                .chain([kind.text_field()].iter())
                .all(|field| shape.keys.contains(field));
            assert!(named, "{kind}");
        }
    }
}

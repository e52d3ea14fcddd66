//! Reads what stands under a kind key.

use super::expressions::Expressions;
use super::findings::{Finding, Findings};
use super::python;
use super::reader::{Missing, Path, Shape, fields};
use super::values::Values;
use crate::codes;
use crate::model::{Bash, Http, HttpMethod, Kind, Noop, Python, Sql, StatusPattern};
use crate::source::{Data, Entry, Node};
use crate::{input, sql};

/// Smallest memory limit: less does not start an interpreter.
const LEAST_MEMORY: u64 = 16 << 20;
/// Largest memory limit and largest response body that a file may ask for.
const MOST_MEMORY: u64 = 1 << 40;
const MOST_BODY: u64 = 64 << 20;

const PYTHON: Shape = Shape {
    name: "python",
    keys: &["code", "function", "args", "env", "memory", "isolation"],
    missing: &[Missing {
        key: "requirements",
        instead: "install packages where the worker runs",
    }],
};
const BASH: Shape = Shape {
    name: "bash",
    keys: &["run", "env", "memory"],
    missing: &[],
};
const HTTP: Shape = Shape {
    name: "http",
    keys: &[
        "url",
        "method",
        "query",
        "headers",
        "json",
        "form",
        "body",
        "expect",
        "max_size",
        "redirects",
    ],
    missing: &[Missing {
        key: "timeout",
        instead: "write timeout on the task itself",
    }],
};
const SQL: Shape = Shape {
    name: "sql",
    keys: &["connection", "url", "statement", "bind", "max_rows"],
    missing: &[],
};
const NOOP: Shape = Shape {
    name: "noop",
    keys: &["output"],
    missing: &[],
};

const ISOLATIONS: &[&str] = &["fork", "warm", "process"];
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn read(
    entry: &Entry,
    task: Path<'_>,
    expressions: &mut Expressions,
    findings: &mut Findings,
) -> Option<Kind> {
    let path = task.then(&entry.key);
    let shape = match entry.key.as_str() {
        "python" => &PYTHON,
        "bash" => &BASH,
        "http" => &HTTP,
        "sql" => &SQL,
        _ => &NOOP,
    };
    // `noop:` without anything is a whole task.
    if entry.key == "noop" && matches!(entry.value.data, Data::Null) {
        return Some(Kind::Noop(Noop::default()));
    }
    if let Some(text) = entry.value.text() {
        findings.add(shorthand(entry, text).path(path.to_string()));
        return None;
    }
    let fields = fields(&entry.value, shape, path, findings)?;
    for field in input::templated_fields(&entry.key) {
        if let Some(node) = fields.value(field) {
            expressions.value(node, path.then(field), findings);
        }
    }
    let mut values = Values {
        fields: &fields,
        path,
        findings,
    };
    match entry.key.as_str() {
        "python" => read_python(&mut values).map(Kind::Python),
        "bash" => read_bash(&mut values).map(Kind::Bash),
        "http" => read_http(&mut values).map(Kind::Http),
        "sql" => read_sql(&mut values).map(Kind::Sql),
        _ => Some(Kind::Noop(Noop {
            output: fields.value("output").map(Node::to_value).unwrap_or_default(),
        })),
    }
}

fn shorthand(entry: &Entry, text: &str) -> Finding {
    let field = match entry.key.as_str() {
        "python" => "code",
        "bash" => "run",
        "http" => "url",
        "sql" => "statement",
        _ => "output",
    };
    let message = format!("{} must be a map, this is text", entry.key);
    let short: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
    Finding::error(codes::WRONG_TYPE, entry.value.place, message)
        .fix(format!("write {}: {{{field}: ...}} around it ({short})", entry.key))
}

fn is_env_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_any_name(_: &str) -> bool {
    true
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

fn read_http(values: &mut Values<'_, '_>) -> Option<Http> {
    let url = values.required_text("url", "http");
    if let Some(url) = url {
        check_url(url, values);
    }
    let method = values.word::<HttpMethod>("method", METHODS);
    let bodies: Vec<&str> = ["json", "form", "body"]
        .into_iter()
        .filter(|key| values.fields.get(key).is_some())
        .collect();
    if let [first, second, ..] = bodies.as_slice() {
        let place = values.fields.get(second).map(|entry| entry.place).unwrap_or_default();
        let finding = Finding::error(
            codes::HTTP_BODIES,
            place,
            format!("a request has one body, not {first} and {second}"),
        );
        values.say(second, finding.fix("keep one of json, form and body"));
    }
    if let (Some(HttpMethod::Get | HttpMethod::Head), [body, ..]) = (method, bodies.as_slice()) {
        let place = values.fields.value("method").map(|node| node.place).unwrap_or_default();
        let finding = Finding::warning(
            codes::HTTP_BODY_METHOD,
            place,
            format!("the request has a body ({body}), which most servers ignore here"),
        );
        values.say("method", finding.fix("use POST, or pass the values as query"));
    }
    let json = values.fields.get("json").map(|entry| entry.value.to_value());
    let form = values
        .fields
        .has("form")
        .then(|| values.flat_map("form", is_any_name, "a form field"));
    Some(Http {
        method,
        query: values.map("query"),
        headers: values.flat_map("headers", is_header_name, "a header"),
        json,
        form,
        body: values.text("body").map(str::to_owned),
        expect: expect(values),
        max_size: values.size("max_size", 1, MOST_BODY),
        redirects: values
            .integer("redirects", (0, 20), 0)
            .and_then(|n| u8::try_from(n).ok()),
        url: url?.to_owned(),
    })
}

/// An address must be absolute as far as it is known before expressions are evaluated.
fn check_url(url: &str, values: &mut Values<'_, '_>) {
    let literal = url.split("{{").next().unwrap_or_default();
    let place = values.fields.value("url").map(|node| node.place).unwrap_or_default();
    let problem = if url.trim_start().starts_with("{{") {
        return;
    } else if let Some(rest) = literal
        .strip_prefix("http://")
        .or_else(|| literal.strip_prefix("https://"))
    {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() && literal.len() == url.len() {
            "the address has no host".to_owned()
        } else if literal.contains(char::is_whitespace) {
            "the address holds a blank".to_owned()
        } else {
            return;
        }
    } else {
        format!("{url:?} is no absolute http or https address")
    };
    let finding = Finding::error(codes::HTTP_URL, place, problem);
    values.say("url", finding.fix("write it like https://api.example.com/orders"));
}

fn expect(values: &mut Values<'_, '_>) -> Vec<StatusPattern> {
    let Some(node) = values.fields.value("expect") else {
        return Vec::new();
    };
    let Data::List(items) = &node.data else {
        let finding = Finding::error(
            codes::WRONG_TYPE,
            node.place,
            format!("expect must be a list, this is {}", node.describe()),
        );
        values.say("expect", finding.fix("write it like [2xx, 404]"));
        return Vec::new();
    };
    let mut patterns = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match status(item) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let path = values.path.then("expect").then(&i.to_string()).to_string();
                let message = "this is no status: write a number from 100 to 599 or a class from 1xx to 5xx";
                values
                    .findings
                    .add(Finding::error(codes::HTTP_STATUS, item.place, message).path(path));
            }
        }
    }
    patterns
}

fn status(node: &Node) -> Option<StatusPattern> {
    match &node.data {
        Data::Number(number) => {
            let code = number.as_u64().and_then(|code| u16::try_from(code).ok())?;
            (100..600).contains(&code).then_some(StatusPattern::Code(code))
        }
        Data::Text(text, _) => {
            let good = matches!(text.as_bytes(), [b'1'..=b'5', b'x', b'x']);
            good.then(|| StatusPattern::Class(text.clone()))
        }
        _ => None,
    }
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

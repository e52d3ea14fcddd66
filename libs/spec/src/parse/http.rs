//! Reads what stands under `http`.

use super::reader::{Missing, Shape};
use super::values::Values;
use crate::codes;
use crate::findings::Finding;
use crate::kinds::KindName;
use crate::model::{Http, HttpMethod, StatusPattern};
use crate::source::{Data, Node};

/// Largest response body that a file may ask for.
const MOST_BODY: u64 = 64 << 20;

pub(super) const HTTP: Shape = Shape {
    name: KindName::Http.as_str(),
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

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_any_name(_: &str) -> bool {
    true
}

pub(super) fn read(values: &mut Values<'_, '_>) -> Option<Http> {
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
        format!("{url:?} is not an absolute http or https address")
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
                let message = "this is not a status: write a number from 100 to 599 or a class from 1xx to 5xx";
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

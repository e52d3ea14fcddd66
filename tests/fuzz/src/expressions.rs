//! Expressions: whatever compiles renders or fails within its limits, the same each time, and tells of its secrets.

use std::sync::{Arc, LazyLock};

use nexus_expr::{Condition, MAX_DEPTH, MAX_OUTPUT, Scope, TaskView, Template};
use serde_json::{Value, json};

pub(crate) const WORDS: &[&str] = &[
    "{{ ",
    " }}",
    "{%",
    "%}",
    "{#",
    "#}",
    "params.",
    "tasks.",
    "secrets.token",
    "execution.id",
    "execution.namespace",
    "workflow.name",
    "params.list",
    "params.text",
    "params.big",
    "params.deep",
    "tasks.done.output",
    "tasks.failed.error",
    ".state",
    " | ",
    "default(1)",
    "length",
    "list",
    "map(attribute='a')",
    "select('odd')",
    "join(',')",
    "tojson",
    "range(100000)",
    "dict(a=1)",
    "replace('a', 'aaaaaaaa')",
    "indent(10000)",
    "batch(1)",
    "slice(3)",
    "sort",
    "groupby('a')",
    "items",
    "format(1)",
    "urlencode",
    "zip(params.list)",
    "chain(params.list)",
    " if ",
    " else ",
    " in ",
    " not ",
    " and ",
    " or ",
    " is ",
    "defined",
    "==",
    "!=",
    "<",
    "~",
    "**",
    "//",
    "%",
    "+",
    "-",
    "*",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "'",
    "\"",
    ",",
    ":",
    "1e999",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0.1",
    "[0]",
    "[::2]",
    "[-1:]",
    "none",
    "true",
    "'%s' % 1",
    "'x' * 1000000",
    "[1] * 100000",
    "loop",
    "self",
    "\\u0041",
    "🦀",
    "%99999999d",
];

static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!({ "a": [deep] });
    }
    let list: Vec<Value> = (0..200).map(|n| json!({"a": n % 7, "b": "x".repeat(n)})).collect();
    let mut scope = Scope {
        params: Arc::new(json!({
            "list": list, "text": "some text, äöü🦀", "big": u64::MAX, "half": 0.5, "deep": deep, "none": null,
            "template": "{{ secrets.token }} {{ params.text }}", "nested": {"a": {"b": {"c": [1, 2, 3]}}},
        })),
        execution: "0193".into(),
        workflow: "orders".into(),
        revision: 7,
        nonce: "n0nce".into(),
        ..Scope::default()
    };
    let view = |state: &str, output: Option<Value>, error: Option<Value>| TaskView {
        state: state.into(),
        output: output.map(Arc::new),
        error,
    };
    scope
        .tasks
        .insert("done".into(), view("SUCCEEDED", Some(json!({"rows": [1, 2]})), None));
    scope.tasks.insert(
        "failed".into(),
        view("FAILED", None, Some(json!({"type": "X", "message": "m"}))),
    );
    scope
});

/// Compiles any text as a template and as a condition, and renders what compiles.
pub fn expressions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let scope = &*SCOPE;
    if let Ok(template) = Template::compile(&Value::String(text.clone().into_owned())) {
        let rendered = template.render(scope);
        if let Ok(rendered) = &rendered {
            let written = rendered.value.to_string();
            // The limit counts what expressions yield, before it is escaped and beside the text around them.
            assert!(
                written.len() <= 8 * (MAX_OUTPUT + text.len()),
                "{} bytes",
                written.len()
            );
            assert!(depth(&rendered.value) <= MAX_DEPTH + 1);
            let named: Vec<&str> = rendered.secrets.iter().map(|used| used.name.as_str()).collect();
            for name in &named {
                assert!(
                    template.references().secrets.contains(*name),
                    "{name} is not among the references"
                );
            }
            // Data that looks like a template is data: only a secret that is told of gives a placeholder.
            if named.is_empty() && !text.contains("secret:n0nce") {
                assert!(!written.contains("secret:n0nce"), "{text:?} gave {written}");
            }
        }
        let again = template.render(scope);
        match (rendered, again) {
            (Ok(first), Ok(second)) => assert_eq!(first, second, "the same each time"),
            (Err(first), Err(second)) => assert_eq!(first.to_string(), second.to_string(), "the same each time"),
            (first, second) => panic!("{text:?}: {first:?}, then {second:?}"),
        }
    }
    if let Ok(condition) = Condition::compile(&text) {
        let (first, second) = (condition.eval(scope), condition.eval(scope));
        assert_eq!(first.ok(), second.ok(), "the same each time");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

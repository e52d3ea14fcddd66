//! The earlier system's documents, good, odd and hostile.

use proptest::prelude::*;

use super::*;
use crate::model::Kind;
use nexus_expr::Scope;

const OLD: &str = r#"{
  "name": "Nightly ETL", "description": "Old one", "schedule_cron": "0 6 * * *",
  "tasks": {
    "fetch-data": {"task_key": "fetch-data", "name": "Fetch", "task_type": "http",
      "config": {"url": "https://x.dev/{{id}}", "method": "post", "headers": {"A": "b"}, "json": {"q": "{% x %}"}, "params": {"p": 1}},
      "depends_on": [], "retry_config": {"max_retries": 3, "retry_delay": 1.5, "timeout": 300}},
    "transform": {"task_key": "transform", "name": "transform", "task_type": "python",
      "config": {"code": "rows = inputs.get('rows')\nif rows:\n\n    result = len(rows)"}, "depends_on": ["fetch-data"],
      "retry_config": {"max_retries": 0}, "run_condition": "x"},
    "doc": {"task_type": "python", "config": {"code": "text = \"\"\"a\n  b\"\"\"\nresult = text"}, "depends_on": ["transform"]},
    "shell": {"task_type": "bash", "config": {"command": "exit 7"}, "depends_on": ["transform", "ghost", "shell"]},
    "store": {"task_type": "sql", "config": {"query": "insert into t values (:a, :b)", "params": {"a": 1, "c": 2}}, "depends_on": ["shell"]},
    "box": {"task_type": "docker", "config": {"image": "x"}, "depends_on": []},
    "fetch_data": {"task_type": "custom", "config": {}}
  }
}"#;

#[test]
fn an_old_workflow_becomes_a_file_that_validates() {
    let imported = import(OLD, "").unwrap();
    let outcome = parse(&imported.source_yaml, "");
    assert_eq!(outcome.diagnostics, [], "{}", imported.source_yaml);
    let workflow = outcome.workflow.unwrap();
    assert_eq!(workflow.name, "nightly_etl");
    assert_eq!(
        workflow.tasks.keys().collect::<Vec<_>>(),
        [
            "fetch_data_2",
            "transform",
            "doc",
            "shell",
            "store",
            "box",
            "fetch_data"
        ]
    );
    assert_eq!(workflow.dependencies("transform"), ["fetch_data_2"]);
    let fetch = &workflow.tasks["fetch_data_2"];
    assert_eq!(fetch.retry.as_ref().unwrap().max_attempts, 3);
    assert_eq!(
        fetch.retry.as_ref().unwrap().initial_interval,
        crate::Span::from_micros(1_500_000)
    );
    assert_eq!(fetch.timeout, Some(crate::Span::from_secs(300)));
    let rendered = fetch.compile_input().unwrap().render(&Scope::default()).unwrap().value;
    assert_eq!(
        rendered,
        json!({"url": "https://x.dev/{{id}}", "method": "POST", "query": {"p": 1}, "headers": {"A": "b"}, "json": {"q": "{% x %}"}})
    );
    let Kind::Python(python) = &workflow.tasks["transform"].kind else {
        panic!()
    };
    assert_eq!(
        python.code.as_deref(),
        Some(
            "def main(inputs):\n    result = None\n    rows = inputs.get('rows')\n    if rows:\n\n        result = len(rows)\n    return result\n"
        )
    );
    let Kind::Python(python) = &workflow.tasks["doc"].kind else {
        panic!()
    };
    assert!(
        python
            .code
            .as_deref()
            .unwrap()
            .starts_with("CODE = \"text = \\\"\\\"\\\"a\\n  b"),
        "{python:?}"
    );
    let Kind::Sql(sql) = &workflow.tasks["store"].kind else {
        panic!()
    };
    assert_eq!(json!(sql.bind), json!({"a": 1, "b": null}));
    assert_eq!(workflow.tasks["box"].kind.key(), "noop");
}

#[test]
fn the_report_says_what_changed() {
    let report = import(OLD, "other_name").unwrap().report;
    let find = |path: &str, code: &str| {
        let found: Vec<&str> = report
            .iter()
            .filter(|d| d.path == path && d.code == code)
            .map(|d| d.message.as_str())
            .collect();
        found.join(" | ")
    };
    assert!(find("/tasks/fetch-data", codes::IMPORT_RENAMED).contains("fetch_data_2"));
    assert!(find("/tasks/fetch-data/retry_config/max_retries", codes::IMPORT_MEANING).contains("counted attempts"));
    assert!(find("/tasks/transform/config", codes::IMPORT_MEANING).contains("inside main"));
    assert!(find("/tasks/transform/run_condition", codes::IMPORT_UNSUPPORTED).contains("never acted"));
    assert!(find("/tasks/shell/config", codes::IMPORT_MEANING).contains("exit status"));
    assert!(find("/tasks/shell/depends_on/1", codes::IMPORT_UNSUPPORTED).contains("ghost"));
    assert!(find("/tasks/shell/depends_on/2", codes::IMPORT_UNSUPPORTED).contains("itself"));
    assert!(find("/tasks/store/config", codes::IMPORT_MEANING).contains("connection"));
    assert!(find("/tasks/store/config", codes::IMPORT_UNSUPPORTED).contains(":b"));
    assert!(find("/tasks/box/config", codes::IMPORT_UNSUPPORTED).contains("docker"));
    assert!(find("/schedule_cron", codes::IMPORT_UNSUPPORTED).contains("never acted"));
    assert!(
        report
            .iter()
            .filter(|d| d.path.starts_with("/tasks/box"))
            .all(Diagnostic::is_error)
    );
}

#[test]
fn what_is_no_such_document_is_refused() {
    assert_eq!(import("{", "w").unwrap_err().line, 1);
    assert!(import("[]", "w").unwrap_err().message.contains("no map of tasks"));
    assert!(import("{\"tasks\": {}}", "w").unwrap_err().message.contains("no tasks"));
    assert!(
        import("{\"tasks\": {\"a\": 1}}", "")
            .unwrap_err()
            .message
            .contains("does not name")
    );
    let cyclic = r#"{"tasks": {"a": {"task_type": "bash", "config": {"command": "x"}, "depends_on": ["b"]}, "b": {"task_type": "bash", "config": {"command": "x"}, "depends_on": ["a"]}}}"#;
    assert!(
        import(cyclic, "w")
            .unwrap()
            .report
            .iter()
            .any(|d| d.code == codes::CYCLE)
    );
}

fn any_config() -> impl Strategy<Value = Value> {
    let text = "[a-z{}%:'\"\\n \\\\]{0,20}";
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(["x"])),
        Just(json!({"{{ k": "{{ v"}))
    ];
    let keys = prop::sample::select(vec![
        "command", "code", "url", "method", "headers", "body", "json", "params", "query", "env",
    ]);
    prop::collection::vec((keys.prop_map(str::to_owned), leaf), 0..6)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_comes_in_what_goes_out_validates(
        key in "\\PC{0,12}", kind in prop::sample::select(vec!["python", "bash", "http", "sql", "docker", ""]),
        config in any_config(), retries in any::<f64>(), timeout in -5.0..1e12_f64,
    ) {
        let old = json!({"tasks": {key: {"name": "n\u{0}", "task_type": kind, "config": config, "retry_config": {"max_retries": retries, "retry_delay": timeout, "timeout": timeout}}}});
        let imported = import(&old.to_string(), "Some Name!").unwrap();
        let outcome = parse(&imported.source_yaml, "");
        prop_assert!(outcome.workflow.is_some(), "{:?}\n{}", outcome.diagnostics, imported.source_yaml);
    }
}

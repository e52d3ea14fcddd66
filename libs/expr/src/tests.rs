//! What the language promises, from the outside.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn scope() -> Scope {
    let mut scope = Scope {
        params: Arc::new(json!({
            "day": "2026-11-01", "n": 9_007_199_254_740_993_i64, "big": u64::MAX, "regions": ["eu", "us"],
            "items": {"a": 1}, "evil": "{{ secrets.token }}", "nothing": null, "half": 0.5
        })),
        execution: "0193".into(),
        namespace: "team-a".into(),
        workflow: "orders".into(),
        revision: 7,
        nonce: "n0nce".into(),
        ..Scope::default()
    };
    scope.tasks.insert(
        "clean".into(),
        TaskView {
            state: "SUCCEEDED".into(),
            output: Some(Arc::new(
                json!({"count": 3, "rows": [{"id": 1, "json": {"x": 1}}, {"id": 2, "json": {"x": 2}}]}),
            )),
            error: None,
        },
    );
    scope.tasks.insert(
        "skipped".into(),
        TaskView {
            state: "SKIPPED".into(),
            ..TaskView::default()
        },
    );
    scope.tasks.insert(
        "failed".into(),
        TaskView {
            state: "FAILED".into(),
            output: None,
            error: Some(json!({"type": "ValueError", "message": "no"})),
        },
    );
    scope
}

fn render(value: Value) -> Value {
    Template::compile(&value).unwrap().render(&scope()).unwrap().value
}

fn compile_problem(text: &str) -> String {
    Template::compile(&json!(text)).unwrap_err().to_string()
}

fn render_problem(text: &str) -> String {
    Template::compile(&json!(text))
        .unwrap()
        .render(&scope())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_lone_expression_keeps_its_type_exactly() {
    assert_eq!(render(json!("{{ params.n }}")), json!(9_007_199_254_740_993_i64));
    assert_eq!(render(json!("{{ params.big }}")), json!(u64::MAX));
    assert_eq!(render(json!("{{ params.half }}")), json!(0.5));
    assert_eq!(render(json!("{{ params.regions }}\n")), json!(["eu", "us"]));
    assert_eq!(render(json!("{{ params.items }}")), json!({"a": 1}));
    assert_eq!(render(json!("{{ params.nothing }}")), Value::Null);
    assert_eq!(
        render(json!("{{ tasks.clean.output.rows }}")),
        scope().tasks["clean"].output.as_ref().unwrap()["rows"]
    );
    assert_eq!(render(json!("{{ tasks.clean.output.count + 1 }}")), json!(4));
    assert_eq!(render(json!("{{ params }}")), *scope().params, "order and all");
}

#[test]
fn mixed_text_renders_a_string_and_json_inside_it() {
    assert_eq!(
        render(json!("day {{ params.day }}: {{ params.regions }} {{ params.nothing }}")),
        json!("day 2026-11-01: [\"eu\",\"us\"] null")
    );
    assert_eq!(
        render(json!(
            "{{ workflow.name }}/{{ workflow.revision }}/{{ execution.id }}@{{ execution.namespace }}"
        )),
        json!("orders/7/0193@team-a")
    );
    assert_eq!(render(json!("{{ '{{' }} and {{ '}}' }}")), json!("{{ and }}"));
    assert_eq!(
        render(json!({"a": ["x", {"b": "{{ tasks.clean.state }}"}], "c": 1})),
        json!({"a": ["x", {"b": "SUCCEEDED"}], "c": 1})
    );
}

#[test]
fn filters_work_on_outputs() {
    assert_eq!(
        render(json!("{{ tasks.clean.output.rows | map(attribute='json') | list }}")),
        json!([{"x": 1}, {"x": 2}])
    );
    assert_eq!(
        render(json!("{{ params.regions | join('+') | upper }}")),
        json!("EU+US")
    );
    assert_eq!(render(json!("{{ tasks.clean.output['count'] }}")), json!(3));
    assert_eq!(render(json!("{{ tasks.clean.output.rows[1].id }}")), json!(2));
    assert_eq!(
        render(json!("{{ {'a': {'b': params.half}} }}")),
        json!({"a": {"b": 0.5}})
    );
    assert_eq!(render(json!("{{ range(3) | list }}")), json!([0, 1, 2]));
    assert_eq!(render(json!("{{ tasks.failed.error.type }}")), json!("ValueError"));
}

#[test]
fn what_is_undefined_is_named() {
    assert!(render_problem("{{ params.dya }}").contains("`params.dya` is undefined: `params` has day, n"));
    assert!(render_problem("at {{ tasks.clean.output.cuont }}").contains("`tasks.clean.output.cuont` is undefined"));
    assert!(render_problem("{{ tasks.clean.output.x.y }}").contains("`tasks.clean.output.x` is undefined"));
    assert!(
        render_problem("{{ tasks.skipped.output.count }}").contains("task \"skipped\" is SKIPPED and has no output")
    );
    assert!(render_problem("{{ tasks.later.output }}").contains("has not ended"));
    assert!(render_problem("{{ [params.dya] }}").contains("params.dya"));
    assert!(render_problem("{{ params.dya > 1 }}").contains("`params.dya` is undefined"));
    assert!(render_problem("{{ params.day.x }}").contains("`params.day` is text"));
}

#[test]
fn default_opts_out() {
    assert_eq!(render(json!("{{ params.dya | default(1) }}")), json!(1));
    assert_eq!(render(json!("{{ tasks.skipped.output.count | default(0) }}")), json!(0));
    assert_eq!(render(json!("{{ tasks.skipped.output | default([]) }}")), json!([]));
    assert_eq!(render(json!("{{ tasks.skipped.output }}")), Value::Null);
    assert_eq!(render(json!("{{ '' | default('x', true) }}")), json!("x"));
}

#[test]
fn secrets_stand_alone_and_are_never_computed_with() {
    let template = Template::compile(&json!({"h": "Bearer {{ secrets.api }}", "k": "{{secrets.api}}"})).unwrap();
    assert!(template.references().secrets.contains("api"));
    let rendered = template.render(&scope()).unwrap();
    assert_eq!(rendered.value["h"], json!("Bearer ⟦secret:n0nce:api⟧"));
    assert_eq!(rendered.value["k"], json!("⟦secret:n0nce:api⟧"));
    assert_eq!(
        rendered.secrets,
        [SecretUse {
            placeholder: "⟦secret:n0nce:api⟧".into(),
            name: "api".into()
        }]
    );
    for text in [
        "{{ secrets.api | upper }}",
        "{{ secrets.api ~ 'x' }}",
        "{{ secrets }}",
        "{{ secrets['api'] }}",
        "{{ secrets.a.b }}",
    ] {
        assert!(compile_problem(text).contains("secret must stand alone"), "{text}");
    }
    assert!(Condition::compile("secrets.api == 'x'").is_err());
}

#[test]
fn data_is_never_a_template_again() {
    assert_eq!(render(json!("{{ params.evil }}")), json!("{{ secrets.token }}"));
    assert_eq!(render(json!("x {{ params.evil }}")), json!("x {{ secrets.token }}"));
}

#[test]
fn references_are_known_before_anything_runs() {
    let template = Template::compile(&json!({
        "a": "{{ tasks.one.output.x + params.n }}",
        "b": ["{{ tasks.two.state }} {{ params.day }}", "{{ secrets.s }}"],
        "c": "{{ params.list | map('upper') | first if tasks.three.output else params['q'] }}",
    }))
    .unwrap();
    let references = template.references();
    assert_eq!(Vec::from_iter(&references.tasks), ["one", "three", "two"]);
    assert_eq!(Vec::from_iter(&references.params), ["day", "list", "n"]);
    assert_eq!(Vec::from_iter(&references.secrets), ["s"]);
    let condition = Condition::compile("tasks.x.output.ok and not params.dry_run").unwrap();
    assert_eq!(Vec::from_iter(&condition.references().tasks), ["x"]);
}

#[test]
fn uses_that_would_lose_an_edge_or_name_nothing_are_refused() {
    assert!(compile_problem("{{ tasks['x'].output }}").contains("edge"));
    assert!(compile_problem("{{ tasks | list }}").contains("edge"));
    assert!(compile_problem("{{ tasks.a.result }}").contains("tasks.a.output"));
    assert!(compile_problem("{{ param.day }}").contains("did you mean \"params\""));
    assert!(compile_problem("{{ now() }}").contains("unknown name \"now\""));
    assert!(compile_problem("{{ params.x | uper }}").contains("did you mean \"upper\""));
    assert!(compile_problem("{{ params.x is defind }}").contains("did you mean \"defined\""));
    assert!(compile_problem("{{ execution.uid }}").contains("execution has no"));
    assert!(compile_problem("{% if x %}").contains("only {{ … }}"));
    assert!(
        Template::compile(&json!({"{{ a }}": 1}))
            .unwrap_err()
            .message
            .contains("key")
    );
}

#[test]
fn errors_hold_path_and_place() {
    let error = Template::compile(&json!({"a": {"b/c": ["", "ä {{ params.x + }}"]}})).unwrap_err();
    assert_eq!(error.path, "/a/b~1c/1");
    assert!(error.offset.unwrap() >= 5, "{error:?}");
    let error = Template::compile(&json!("ab {{ params.x | uper }}")).unwrap_err();
    assert_eq!(error.offset, Some(17));
}

#[test]
fn work_size_and_depth_are_bounded() {
    assert!(
        render_problem("{{ range(100000) | map('string') | list | join(',') | length }}").contains("too much work")
    );
    assert!(render_problem("{{ 'x' * 100000000 }}").contains("too much work"));
    assert!(compile_problem(&format!("{{{{ '{}' }}}}", "x".repeat(5_000))).contains("at most 4096"));
    let nested = format!("{{{{ {}1{} }}}}", "(".repeat(1_000), ")".repeat(1_000));
    assert!(Template::compile(&json!(nested)).is_err());
    let large = Scope {
        params: Arc::new(json!({"t": "y".repeat(600_000)})),
        ..Scope::default()
    };
    let template = Template::compile(&json!(["{{ params.t }}", "{{ params.t }}"])).unwrap();
    assert!(template.render(&large).unwrap_err().message.contains("larger than"));
}

#[test]
fn conditions_are_bare_and_strict() {
    let eval = |source: &str| Condition::compile(source).unwrap().eval(&scope());
    assert_eq!(eval("tasks.clean.output.count > 0 and params.half < 1"), Ok(true));
    assert_eq!(eval("tasks.clean.state == 'FAILED'"), Ok(false));
    assert_eq!(eval("params.nothing"), Ok(false));
    assert_eq!(eval("'eu' in params.regions"), Ok(true));
    assert!(
        eval("params.dya")
            .unwrap_err()
            .to_string()
            .contains("`params.dya` is undefined")
    );
    assert_eq!(eval("params.dya is defined"), Ok(false));
    let braces = Condition::compile("{{ params.x }}").unwrap_err();
    assert!(braces.to_string().contains("write params.x"));
    assert!(Condition::compile("params.x >").is_err());
}

#[test]
fn compiled_forms_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Template>();
    shared::<Condition>();
    shared::<Scope>();
}

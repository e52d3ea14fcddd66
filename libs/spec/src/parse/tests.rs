//! What a file is taken for, and what is said about files that are wrong.

mod grpc;
mod handles;

use std::fmt::Write;

use super::*;
use crate::model::{Kind, StatusPattern, TriggerRule};
use crate::{Span, codes};

const ORDERS: &str = r#"
name: daily_orders
description: Pull orders, clean them, load the warehouse.
labels: {team: data}
params:
  type: object
  properties:
    day: {type: string, format: date}
    regions: {type: array, items: {type: string}, default: [eu, us, apac]}
defaults:
  timeout: 10m
  retry: {max_attempts: 3, initial_interval: 2s, backoff_coefficient: 2, max_interval: 1m}
tasks:
  extract:
    http: {url: "https://api.example.com/orders", query: {day: "{{ params.day }}"},
           headers: {authorization: "Bearer {{ secrets.orders_api }}"}, expect: [2xx, 404]}
  clean:
    python:
      args: {pages: "{{ tasks.extract.output | list }}"}
      code: |
        def main(pages):
            return {"rows": [f"{{x}}" for x in pages], "count": len(pages)}
  load:
    if: tasks.clean.output.count > 0
    sql:
      connection: warehouse
      statement: insert into orders select * from jsonb_to_recordset(:rows::jsonb) as t(id text, total numeric)
      bind: {rows: "{{ tasks.clean.output.rows }}"}
  refresh:
    needs: [load]
    trigger_rule: none_failed
    bash:
      env: {DAY: "{{ params.day }}"}
      run: |
        ./refresh.sh "$DAY"
        echo "models=12" >> "$NEXUS_OUTPUT"
output: {rows: "{{ tasks.clean.output.count }}"}
"#;

fn shown(source: &str) -> Vec<String> {
    parse(source, "w.yaml")
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn codes(source: &str) -> Vec<&'static str> {
    parse(source, "").diagnostics.iter().map(|d| d.code).collect()
}

/// A workflow around one task.
fn task(body: &str) -> String {
    format!("name: w\ntasks:\n  a: {body}\n  b: {{noop: {{}}}}\n")
}

#[test]
fn a_good_file_is_read_whole() {
    let outcome = parse(ORDERS, "orders.yaml");
    assert_eq!(outcome.diagnostics, []);
    let workflow = outcome.workflow.unwrap();
    assert_eq!(workflow.name, "daily_orders");
    assert_eq!(workflow.defaults.timeout, Some(Span::from_secs(600)));
    assert_eq!(workflow.dependencies("load"), ["clean"]);
    assert_eq!(workflow.tasks["refresh"].trigger_rule, TriggerRule::NoneFailed);
    let Kind::Http(http) = &workflow.tasks["extract"].kind else {
        panic!()
    };
    assert_eq!(
        http.expect,
        [StatusPattern::Class("2xx".into()), StatusPattern::Code(404)]
    );
    assert_eq!(outcome.graph.unwrap().order(), ["extract", "clean", "load", "refresh"]);
    // The canonical document reads back to the same, both as a document and as a file.
    let document = workflow.to_document();
    assert_eq!(Workflow::from_document(&document).unwrap(), workflow);
    assert_eq!(parse(&document, "").workflow.unwrap(), workflow);
}

#[test]
fn ten_errors_in_ten_places_are_ten_findings_in_file_order() {
    let source = r#"name: Daily-Orders
lables: {team: data}
timeout: 90
params:
  type: object
  properties:
    day: {type: strng}
tasks:
  extract:
    timeout: 5 minuts
    http: {url: /orders, methd: POST}
  clean:
    needs: [exract]
    python: {code: "def main(): return '{{ params.day }}'"}
  load:
    sql: {connection: w, statement: "select :x", bind: {y: 1}}
  idle: {}
  twice:
    bash: {run: x}
    noop: {}
"#;
    assert_eq!(
        shown(source),
        [
            "w.yaml:1:7: error[NX1110]: \"Daily-Orders\" is not a workflow name: lower-case letters, digits and _, a letter first, at most 63\n  fix: write daily_orders",
            "w.yaml:2:1: error[NX1101]: a workflow has no key \"lables\"\n  fix: did you mean \"labels\"?",
            "w.yaml:3:10: error[NX1111]: timeout: \"90\" has no unit; write 90s for seconds\n  fix: write it like 90s, 10m, 1h30m or 1d",
            "w.yaml:7:17: error[NX1401]: this is not a valid JSON Schema: \"strng\" is not valid under any of the schemas listed in the 'anyOf' keyword",
            "w.yaml:10:14: error[NX1111]: timeout: \"5 minuts\" is not a span of time; write it like 90s, 10m, 1h30m, 1d, 250ms or PT90S\n  fix: write it like 90s, 10m, 1h30m or 1d",
            "w.yaml:11:17: error[NX1511]: \"/orders\" is not an absolute http or https address\n  fix: write it like https://api.example.com/orders",
            "w.yaml:11:26: error[NX1101]: http has no key \"methd\"\n  fix: did you mean \"method\"?",
            "w.yaml:13:13: error[NX1203]: unknown task \"exract\"\n  fix: did you mean \"extract\"?",
            "w.yaml:14:41: error[NX1301]: code holds an expression; it is passed on as it is, so that no value can become code\n  fix: pass the value through args and take it as an argument of main",
            "w.yaml:16:45: error[NX1522]: the parameter :x has no value\n  fix: add x under bind",
            "w.yaml:16:57: error[NX1523]: the statement has no parameter :y\n  fix: write :y in the statement, or remove it here",
            "w.yaml:17:3: error[NX1120]: task \"idle\" does not say what it does\n  fix: add one of the keys python, bash, http, sql, grpc, noop",
            "w.yaml:20:5: error[NX1121]: task \"twice\" has both bash and noop; a task does one thing\n  fix: make noop a task of its own that needs twice",
        ]
    );
}

#[test]
fn cycles_and_self_references_are_named() {
    let source = "name: w\ntasks:\n  a: {needs: [c], noop: {}}\n  b: {noop: {output: \"{{ tasks.a.output }}\"}}\n  c: {if: tasks.b.output, noop: {}}\n  d: {needs: [d], noop: {}}\n";
    assert_eq!(
        shown(source),
        [
            "w.yaml:3:3: error[NX1205]: cycle: a → b → c → a\n  fix: remove one of these edges; a needs c on line 3",
            "w.yaml:6:15: error[NX1204]: task \"d\" waits for itself\n  fix: refer to another task, or remove this",
        ]
    );
}

#[test]
fn expressions_are_checked_where_they_stand() {
    let source = r#"name: w
params: {type: object, properties: {day: {type: string}}}
tasks:
  a: {noop: {output: ["x", "{{ params.dya }} {{ tasks.nobody.output }}"]}}
  b:
    if: params.day |
    bash:
      run: ok
      env:
        X: |
          first
          {{ params.day | uper }}
  c: {if: "{{ params.day }}", noop: {}}
  e: {noop: {output: "{{ secrets.x | upper }}"}}
output: "{{ tasks.gone.output }}"
"#;
    let found: Vec<String> = shown(source)
        .iter()
        .map(|d| d.lines().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(
        found[0].starts_with("w.yaml:4:32: error[NX1303]: unknown parameter \"dya\""),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("w.yaml:4:49: error[NX1203]: unknown task \"nobody\""),
        "{found:#?}"
    );
    assert!(found[2].starts_with("w.yaml:6:"), "{found:#?}");
    assert!(
        found[3].starts_with("w.yaml:12:27: error[NX1302]: unknown filter \"uper\""),
        "{found:#?}"
    );
    assert!(found[4].contains("bare expression"), "{found:#?}");
    assert!(found[5].contains("secret must stand alone"), "{found:#?}");
    assert!(
        found[6].starts_with("w.yaml:15:13: error[NX1203]: unknown task \"gone\""),
        "{found:#?}"
    );
}

#[test]
fn params_are_closed_only_when_the_schema_lists_them() {
    let with = |params: &str| {
        codes(&format!(
            "name: w\nparams: {params}\ntasks: {{a: {{if: params.other, noop: {{}}}}}}\n"
        ))
    };
    assert_eq!(with("{type: object, properties: {x: {}}}"), [codes::UNKNOWN_PARAM]);
    assert_eq!(
        with("{type: object, additionalProperties: false}"),
        [codes::UNKNOWN_PARAM]
    );
    assert!(with("{type: object, properties: {x: {}}, additionalProperties: true}").is_empty());
    assert!(with("{type: object}").is_empty());
    assert!(codes("name: w\ntasks: {a: {if: params.other, noop: {}}}\n").is_empty());
    assert_eq!(
        with("{type: object, properties: {other: {type: integer, default: x}}}"),
        [codes::BAD_DEFAULT]
    );
}

#[test]
fn yaml_means_what_it_shows() {
    let outcome = parse(
        "name: w\nlabels: {a: NO, b: yes, on: off, d: 010, e: 1_000, f: 2026-11-01, g: \"true\"}\ntasks:\n  a:\n    noop: {output: [NO, 010, 1_000, 7, 1.5, true, ~, 18446744073709551615]}\n",
        "",
    );
    assert_eq!(outcome.diagnostics, []);
    let workflow = outcome.workflow.unwrap();
    assert_eq!(workflow.labels["a"], "NO");
    assert_eq!(workflow.labels["on"], "off");
    let Kind::Noop(noop) = &workflow.tasks["a"].kind else {
        panic!()
    };
    assert_eq!(
        noop.output.to_string(),
        r#"["NO","010","1_000",7,1.5,true,null,18446744073709551615]"#
    );
}

#[test]
fn json_with_tabs_and_escapes_is_read() {
    let source =
        "{\n\t\"name\": \"w\",\n\t\"tasks\": {\"a\": {\"noop\": {\"output\": \"\\ud83d\\ude00 \\/ \\u00e9\\t\"}}}\n}";
    let Kind::Noop(noop) = &parse(source, "").workflow.unwrap().tasks["a"].kind.clone() else {
        panic!()
    };
    assert_eq!(noop.output, "😀 / é\t");
    assert_eq!(
        shown("{\"name\": \"w\", \"tasks\": {\"a\": {\"nop\": {}}}}")[0]
            .lines()
            .next(),
        Some("w.yaml:1:31: error[NX1101]: a task has no key \"nop\"")
    );
}

#[test]
fn what_cannot_be_read_at_all_is_told_with_its_place() {
    assert_eq!(codes(""), [codes::NO_DOCUMENT]);
    assert_eq!(codes("# nothing\n"), [codes::NO_DOCUMENT]);
    assert_eq!(codes("[1, 2]"), [codes::NO_DOCUMENT]);
    assert_eq!(codes("just text"), [codes::NO_DOCUMENT]);
    assert_eq!(codes("a: 1\n---\nb: 2\n"), [codes::NO_DOCUMENT]);
    assert_eq!(codes("name: a\u{0}b\n"), [codes::BAD_CHARACTER]);
    assert_eq!(codes("name: [1,\n"), [codes::SYNTAX]);
    assert_eq!(codes("name: w\ntasks:\n\ta: {noop: {}}\n"), [codes::SYNTAX]);
    assert_eq!(codes("name: !custom w\ntasks: {a: {noop: {}}}"), [codes::YAML_FEATURE]);
    assert_eq!(codes("? [a]\n: b\n"), [codes::YAML_FEATURE]);
    assert_eq!(
        codes("name: w\nname: v\ntasks: {a: {noop: {}}}"),
        [codes::DUPLICATE_KEY]
    );
    assert_eq!(
        codes("name: w\ntasks: {a: {noop: {output: 18446744073709551616}}}"),
        [codes::BAD_NUMBER]
    );
    let duplicate = parse(
        "name: w\ntasks:\n  a:\n    noop: {}\n  b: {noop: {}}\n  a: {noop: {}}\n",
        "f",
    );
    assert_eq!(
        duplicate.diagnostics[0].to_string(),
        "f:6:3: error[NX1102]: the key \"a\" appears twice, first on line 3\n  fix: remove or rename one of the two"
    );
    assert_eq!(duplicate.diagnostics[0].path, "/tasks/a");
    assert_eq!(duplicate.name.as_deref(), Some("w"), "the name is known even so");
}

#[test]
fn sizes_and_depths_are_bounded_just_over_and_not_just_under() {
    let padded = |bytes: usize| format!("name: w\ntasks: {{a: {{noop: {{}}}}}}\n#{}", "x".repeat(bytes - 32));
    assert_eq!(padded(MAX_BYTES).len(), MAX_BYTES);
    assert!(codes(&padded(MAX_BYTES)).is_empty());
    assert_eq!(codes(&padded(MAX_BYTES + 1)), [codes::TOO_LARGE]);
    // The output of a task stands four maps deep.
    let nested = |depth: usize| {
        task(&format!(
            "{{noop: {{output: {}1{}}}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
    };
    assert!(codes(&nested(crate::source::MAX_DEPTH - 4)).is_empty());
    assert_eq!(codes(&nested(crate::source::MAX_DEPTH - 3)), [codes::TOO_DEEP]);
    assert_eq!(
        codes(&nested(100_000)),
        [codes::TOO_DEEP],
        "and deeper nesting does not recurse"
    );
    let described = |length: usize| {
        codes(&format!(
            "name: w\ndescription: {}\ntasks: {{a: {{noop: {{}}}}}}",
            "x".repeat(length)
        ))
    };
    assert!(described(MAX_DESCRIPTION).is_empty());
    assert_eq!(described(MAX_DESCRIPTION + 1), [codes::TOO_LONG]);
    let expression = |length: usize| {
        codes(&task(&format!(
            "{{noop: {{output: \"{{{{ '{}' }}}}\"}}}}",
            "x".repeat(length - 2)
        )))
    };
    assert!(expression(nexus_expr::MAX_SOURCE).is_empty());
    assert_eq!(expression(nexus_expr::MAX_SOURCE + 1), [codes::BAD_EXPRESSION]);
}

#[test]
fn aliases_are_copies_and_bombs_are_refused_at_once() {
    let outcome = parse("name: w\ntasks:\n  a: &t {noop: {output: 1}}\n  b: *t\n", "");
    assert_eq!(outcome.diagnostics, []);
    let workflow = outcome.workflow.unwrap();
    assert_eq!(workflow.tasks["a"], workflow.tasks["b"]);
    let mut bomb = String::from("name: w\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..20 {
        let _ = writeln!(bomb, "a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(","));
    }
    assert_eq!(codes(&bomb), [codes::TOO_MANY_NODES]);
    assert_eq!(codes("a: &x [*x]\n"), [codes::YAML_FEATURE]);
}

#[test]
fn each_kind_is_checked() {
    let one = |body: &str| codes(&task(body));
    assert_eq!(one("{python: {}}"), [codes::PYTHON_SOURCE]);
    assert_eq!(
        one("{python: {code: 'def main(): pass', function: 'a:b'}}"),
        [codes::PYTHON_SOURCE]
    );
    assert_eq!(one("{python: {code: 'print(1)'}}"), [codes::PYTHON_MAIN]);
    assert_eq!(one("{python: {function: 'a.b'}}"), [codes::PYTHON_FUNCTION]);
    assert!(one("{python: {function: 'a.b:c', args: {x: 1}, memory: 512MiB}}").is_empty());
    assert_eq!(
        one("{python: {function: 'a:c', args: {'x-y': 1}, memory: 512}}"),
        [codes::BAD_NAME, codes::WRONG_TYPE]
    );
    assert_eq!(one("{bash: {}}"), [codes::MISSING_KEY]);
    assert_eq!(one("{bash: {run: '  '}}"), [codes::EMPTY_CODE]);
    assert_eq!(one("{bash: 'echo hi'}"), [codes::WRONG_TYPE]);
    assert_eq!(
        one("{bash: {run: 'echo {{ tasks.b.output }}'}}"),
        [codes::VERBATIM_EXPRESSION]
    );
    assert!(one("{bash: {run: 'awk {{print}} {{ x }}'}}").is_empty());
    assert_eq!(
        one("{bash: {run: x, env: {'A-B': 1, C: [1]}}}"),
        [codes::BAD_NAME, codes::WRONG_TYPE]
    );
    assert_eq!(
        one("{http: {url: 'https://x.dev', json: {}, body: x}}"),
        [codes::HTTP_BODIES]
    );
    assert_eq!(one("{http: {url: 'https://x.dev', method: get}}"), [codes::BAD_VALUE]);
    assert_eq!(
        one("{http: {url: 'https://x.dev', method: GET, json: {}}}"),
        [codes::HTTP_BODY_METHOD]
    );
    assert_eq!(
        one("{http: {url: 'https://', expect: [99, 2xx, '6xx', '200']}}"),
        [
            codes::HTTP_URL,
            codes::HTTP_STATUS,
            codes::HTTP_STATUS,
            codes::HTTP_STATUS
        ]
    );
    assert!(one("{http: {url: '{{ tasks.b.output }}/x', redirects: 3, max_size: 1MiB}}").is_empty());
    assert!(one("{http: {url: 'https://{{ tasks.b.output }}/x'}}").is_empty());
    assert_eq!(
        one("{http: {url: 'ftp://x', redirects: 21}}"),
        [codes::HTTP_URL, codes::OUT_OF_BOUNDS]
    );
    assert_eq!(one("{sql: {statement: select 1}}"), [codes::SQL_TARGET]);
    assert_eq!(
        one("{sql: {connection: c, url: 'sqlite:x', statement: select 1}}"),
        [codes::SQL_TARGET]
    );
    assert_eq!(
        one("{sql: {connection: c, statement: 'select :a, :a'}}"),
        [codes::SQL_UNBOUND]
    );
    assert!(one("{noop: }").is_empty());
    assert_eq!(one("{map: {over: x}, noop: {}}"), [codes::NOT_AVAILABLE]);
    assert_eq!(
        codes("name: w\nconcurrency: {limit: 1}\ntasks: {a: {noop: {}}}"),
        [codes::NOT_AVAILABLE]
    );
}

#[test]
fn policies_are_checked() {
    let one = |body: &str| codes(&task(&format!("{{noop: {{}}, {body}}}")));
    assert_eq!(one("retry: {max_attempts: 0}"), [codes::OUT_OF_BOUNDS]);
    assert_eq!(one("retry: {max_attempts: 1001}"), [codes::OUT_OF_BOUNDS]);
    assert!(one("retry: {max_attempts: 1000, backoff_coefficient: 1, jitter: 0}").is_empty());
    assert_eq!(
        one("retry: {max_attempts: 2, backoff_coefficient: 0.5, jitter: 1.1}"),
        [codes::OUT_OF_BOUNDS, codes::OUT_OF_BOUNDS]
    );
    assert_eq!(
        one("retry: {max_attempts: 2, initial_interval: 1m, max_interval: 1s}"),
        [codes::OUT_OF_BOUNDS]
    );
    assert_eq!(one("retry: {initial_interval: 1m}"), [codes::IDLE_RETRY]);
    assert_eq!(one("retry: {max_attempts: 2, max_retries: 3}"), [codes::NOT_AVAILABLE]);
    assert_eq!(one("retry: 3"), [codes::WRONG_TYPE]);
    assert_eq!(one("timeout: 0s"), [codes::OUT_OF_BOUNDS]);
    assert_eq!(one("timeout: 2h, total_timeout: 1h"), [codes::IDLE_TIMEOUT]);
    assert_eq!(one("trigger_rule: all_succeeded"), [codes::BAD_VALUE]);
    assert_eq!(one("trigger_rule: all_done"), [codes::IDLE_TRIGGER_RULE]);
    assert!(one("trigger_rule: all_done, needs: [b]").is_empty());
    assert_eq!(one("needs: b"), [codes::WRONG_TYPE]);
    assert_eq!(one("needs: [b, b]"), [codes::DOUBLE_NEED]);
    assert_eq!(
        one("priority: urgent, delivery: exactly_once, queue: My Queue"),
        [codes::BAD_VALUE, codes::BAD_VALUE, codes::BAD_NAME]
    );
    assert_eq!(one("continue_on_error: 1"), [codes::WRONG_TYPE]);
    assert!(one("if: true, queue: gpu-large, priority: high, delivery: at_most_once").is_empty());
    assert_eq!(codes("name: w\ntasks: {}\n"), [codes::NO_TASKS]);
    assert_eq!(codes("name: w\n"), [codes::NO_TASKS]);
    assert_eq!(codes("name: w\ntasks: [{id: a}]\n"), [codes::WRONG_TYPE]);
    assert_eq!(
        codes("tasks: {a: {noop: {}}, b-c: {noop: {}}}\n"),
        [codes::MISSING_KEY, codes::BAD_NAME]
    );
}

#[test]
fn a_hundred_thousand_tasks_are_taken_and_not_one_more() {
    let mut source = String::from("name: w\ntasks:\n");
    for i in 0..MAX_TASKS {
        let need = if i == 0 {
            String::new()
        } else {
            format!("needs: [t{}], ", i / 2)
        };
        let _ = writeln!(
            source,
            "  t{i}: {{{need}noop: {{output: \"{{{{ tasks.t0.state }}}}\"}}}}"
        );
    }
    let source = source.replacen("{{ tasks.t0.state }}", "", 1);
    let outcome = parse(&source, "");
    assert_eq!(outcome.diagnostics.first().map(ToString::to_string), None);
    assert_eq!(outcome.workflow.unwrap().tasks.len(), MAX_TASKS);
    let more = source.replace("name: w\ntasks:\n", "name: w\ntasks:\n  extra: {noop: {}}\n");
    assert_eq!(codes(&more), [codes::TOO_MANY_TASKS]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(source in "[a-z0-9:{}\\[\\],'\"&*!|>%@` #\n-]{0,120}") {
        let _ = parse(&source, "");
    }

    #[test]
    fn no_damaged_file_makes_it_panic(cut in 0..ORDERS.len(), with in "[a-z:{}\\[\\]'\"&* \n]{0,6}") {
        if ORDERS.is_char_boundary(cut) {
            let _ = parse(&format!("{}{with}{}", &ORDERS[..cut], &ORDERS[cut..]), "");
            let _ = parse(&ORDERS[..cut], "");
        }
    }
}

#[test]
fn secrets_stay_out_of_the_output_and_memory_has_a_floor() {
    let source = "name: w\ntasks: {a: {noop: {}}}\noutput: {x: [\"{{ secrets.token }}\"]}\n";
    assert_eq!(codes(source), [codes::SECRET_IN_OUTPUT]);
    let memory = |size: &str| {
        codes(&format!(
            "name: w\ntasks: {{a: {{bash: {{run: x, memory: {size}}}}}}}\n"
        ))
    };
    assert!(memory("16MiB").is_empty());
    assert_eq!(memory("15MiB"), [codes::BAD_SIZE]);
}

//! What is said about tasks that handle failures, and about those that only react to them.

use super::*;

fn tasks(body: &str) -> String {
    format!("name: w\ntasks:\n  load: {{noop: {{}}}}\n  other: {{noop: {{}}}}\n{body}")
}

fn repair(fields: &str) -> Vec<String> {
    shown(&tasks(&format!("  repair: {{{fields}, noop: {{}}}}\n")))
}

#[test]
fn what_is_handled_is_needed_and_asks_for_failures() {
    let source = tasks(
        "  repair: {needs: [other], handles: [load, other], noop: {}}\n  alarm: {needs: [load], handles: [], noop: {}}\n",
    );
    let outcome = parse(&source, "");
    assert_eq!(outcome.diagnostics, []);
    let workflow = outcome.workflow.expect("workflow");
    let task = &workflow.tasks["repair"];
    assert_eq!(task.needs, ["other", "load"]);
    assert_eq!(
        (task.handled(), task.rule()),
        (
            ["load".to_owned(), "other".to_owned()].as_slice(),
            TriggerRule::OneFailed
        )
    );
    assert_eq!(workflow.dependencies("repair"), ["load", "other"]);
    assert_eq!(outcome.graph.expect("graph").order().last(), Some(&"alarm"));
    let alarm = &workflow.tasks["alarm"];
    assert_eq!(
        (&alarm.handles, alarm.rule()),
        (&Some(Vec::new()), TriggerRule::AllSuccess)
    );
    let document = workflow.to_document();
    assert!(document.contains(r#""needs":["other","load"],"handles":["load","other"],"trigger_rule":"one_failed""#));
    assert_eq!(Workflow::from_document(&document).expect("stored"), workflow);
}

#[test]
fn documents_of_before_and_bare_ones_are_read() {
    let before = r#"{"name":"w","tasks":{"a":{"noop":{}},"b":{"needs":["a"],"trigger_rule":"one_failed","noop":{}}}}"#;
    let workflow = Workflow::from_document(before).expect("stored");
    assert_eq!(
        (&workflow.tasks["b"].handles, workflow.to_document().as_str()),
        (&None, before)
    );
    let bare = r#"{"name":"w","tasks":{"a":{"noop":{}},"b":{"handles":["a"],"noop":{}}}}"#;
    let workflow = Workflow::from_document(bare).expect("document");
    assert_eq!(workflow.tasks["b"].rule(), TriggerRule::OneFailed);
    assert_eq!(workflow.dependencies("b"), ["a"]);
}

#[test]
fn names_that_cannot_be_handled_are_refused() {
    assert_eq!(
        repair("handles: [lod]"),
        ["w.yaml:5:22: error[NX1203]: unknown task \"lod\"\n  fix: did you mean \"load\"?"]
    );
    assert_eq!(
        repair("handles: [repair]"),
        ["w.yaml:5:22: error[NX1204]: task \"repair\" handles itself\n  fix: refer to another task, or remove this"]
    );
    assert_eq!(
        repair("handles: [load, load]"),
        ["w.yaml:5:28: warning[NX1210]: \"load\" is handled twice\n  fix: remove one of the two"]
    );
    assert!(repair("handles: load")[0].contains("fix: write handles: [load]"));
    let cycle = shown("name: w\ntasks:\n  a: {handles: [b], noop: {}}\n  b: {needs: [a], noop: {}}\n");
    assert!(
        cycle[0].contains("NX1205") && cycle[0].contains("a → b → a"),
        "{cycle:?}"
    );
}

#[test]
fn handlers_that_can_never_handle_are_refused() {
    for rule in [
        "all_success",
        "none_failed",
        "none_failed_min_one_success",
        "all_skipped",
        "one_success",
    ] {
        let found = repair(&format!("handles: [load], trigger_rule: {rule}"));
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(found[0].contains("NX1209") && found[0].contains(rule), "{found:?}");
    }
    for rule in [
        "one_failed",
        "all_failed",
        "all_done",
        "one_done",
        "none_skipped",
        "always",
    ] {
        assert_eq!(
            repair(&format!("handles: [load], trigger_rule: {rule}")),
            Vec::<String>::new(),
            "{rule}"
        );
    }
    assert!(repair("handles: [load, other], trigger_rule: one_success").is_empty());
    let forgiven = "name: w\ntasks:\n  a: {continue_on_error: true, noop: {}}\n  b: {handles: [a], noop: {}}\n";
    assert!(shown(forgiven)[0].contains("NX1209") && shown(forgiven)[0].contains("remove continue_on_error from a"));
}

#[test]
fn a_reaction_that_handled_before_is_told_what_to_write() {
    assert_eq!(
        repair("needs: [load, other], trigger_rule: one_failed"),
        [
            "w.yaml:5:34: warning[NX1208]: task \"repair\" reacts to a failure of load, other, and the execution is FAILED all the same\n  fix: if repair repairs the failure, add to it: handles: [load, other]; if it only tells of it, add: handles: []"
        ]
    );
    for quiet in [
        "needs: [load], trigger_rule: one_failed, handles: []",
        "needs: [load], trigger_rule: one_failed, handles: [load]",
        // These never hid a failure.
        "needs: [load], trigger_rule: all_done",
        "needs: [load], trigger_rule: always",
    ] {
        assert_eq!(repair(quiet), Vec::<String>::new(), "{quiet}");
    }
    let beside =
        "  alarm: {needs: [load], trigger_rule: all_failed, noop: {}}\n  repair: {handles: [load], noop: {}}\n";
    assert_eq!(shown(&tasks(beside)), Vec::<String>::new(), "somebody else repairs it");
    let forgiven = "name: w\ntasks:\n  a: {continue_on_error: true, noop: {}}\n  b: {needs: [a], trigger_rule: one_failed, noop: {}}\n";
    assert_eq!(shown(forgiven), Vec::<String>::new());
}

#[test]
fn what_was_asked_for_as_on_failure_is_told_both_ways() {
    for source in [
        "name: w\non_failure: x\ntasks: {a: {noop: {}}}\n",
        "name: w\ntasks: {a: {noop: {}, on_failure: x}}\n",
    ] {
        let found = shown(source);
        assert!(found[0].contains("NX1106") && found[0].contains("handles: [") && found[0].contains("handles: []"));
    }
}

#[test]
fn a_hundred_thousand_handled_tasks_are_checked_at_once() {
    let mut source = String::from("name: w\ntasks:\n");
    let mut names = Vec::new();
    for i in 0..50_000 {
        writeln!(source, "  t{i}: {{noop: {{}}}}").expect("memory");
        names.push(format!("t{i}"));
    }
    writeln!(source, "  repair: {{handles: [{}], noop: {{}}}}", names.join(",")).expect("memory");
    writeln!(
        source,
        "  alarm: {{needs: [{}], trigger_rule: one_failed, noop: {{}}}}",
        names.join(",")
    )
    .expect("memory");
    let started = std::time::Instant::now();
    assert!(parse(&source, "").workflow.is_some());
    assert!(started.elapsed().as_secs() < 20);
}

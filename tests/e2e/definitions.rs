//! The definitions service, RPC by RPC.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{
    ApplyOutcome, ApplyWorkflowRequest, ChangeKind, CreateWorkflowRequest, DeleteWorkflowRequest, DiffRevisionsRequest,
    ExportFormat, ExportWorkflowRequest, GetRevisionRequest, GetWorkflowGraphRequest, GetWorkflowRequest, GraphFormat,
    ImportWorkflowRequest, ListRevisionsRequest, ListWorkflowsRequest, UpdateWorkflowRequest, ValidateWorkflowRequest,
};
use nexus_api::error::reason_of;
use nexus_tests::Dev;
use tonic_types::StatusExt;

const ONE: &str =
    "# the first\nname: etl\nlabels: {team: data}\ntasks:\n  a: {noop: {}}\n  b: {needs: [a], noop: {}}\n";
const TWO: &str = "name: etl\ntasks:\n  a: {noop: {output: 2}}\n  c: {needs: [a], noop: {}}\n";

fn apply(source: &str) -> ApplyWorkflowRequest {
    ApplyWorkflowRequest {
        source: source.into(),
        file: "etl.yaml".into(),
        ..ApplyWorkflowRequest::default()
    }
}

#[tokio::test]
async fn create_is_idempotent_and_refuses_a_taken_name() {
    let dev = Dev::start();
    let request = CreateWorkflowRequest {
        source: ONE.into(),
        request_id: "r".into(),
        ..Default::default()
    };
    let first = dev
        .definitions()
        .create_workflow(request.clone())
        .await
        .expect("create")
        .into_inner();
    let again = dev
        .definitions()
        .create_workflow(request.clone())
        .await
        .expect("again")
        .into_inner();
    assert_eq!(first.workflow, again.workflow);
    let other = CreateWorkflowRequest {
        source: TWO.into(),
        ..request
    };
    let status = dev
        .definitions()
        .create_workflow(other.clone())
        .await
        .expect_err("another body");
    assert_eq!(reason_of(&status), Some(ErrorReason::RequestIdReused));
    let taken = CreateWorkflowRequest {
        request_id: String::new(),
        ..other
    };
    let status = dev.definitions().create_workflow(taken).await.expect_err("taken");
    assert_eq!(reason_of(&status), Some(ErrorReason::WorkflowExists));
}

#[tokio::test]
async fn apply_creates_updates_and_leaves_alone() {
    let dev = Dev::start();
    let mut client = dev.definitions();
    let dry = ApplyWorkflowRequest {
        validate_only: true,
        ..apply(ONE)
    };
    assert_eq!(
        client.apply_workflow(dry).await.expect("dry").into_inner().outcome(),
        ApplyOutcome::Created
    );
    let list = client
        .list_workflows(ListWorkflowsRequest::default())
        .await
        .expect("list")
        .into_inner();
    assert!(list.workflows.is_empty(), "a dry run stores nothing");
    let outcomes = [
        (ONE, ApplyOutcome::Created, 1),
        (ONE, ApplyOutcome::Unchanged, 1),
        (TWO, ApplyOutcome::Updated, 2),
        (ONE, ApplyOutcome::Updated, 3),
    ];
    for (source, outcome, revision) in outcomes {
        let answer = client.apply_workflow(apply(source)).await.expect("apply").into_inner();
        let workflow = answer.workflow.clone().expect("workflow");
        assert_eq!((answer.outcome(), workflow.latest_revision), (outcome, revision));
        assert_eq!(workflow.task_count, 2);
    }
    let request = GetRevisionRequest {
        workflow: "etl".into(),
        revision: 1,
    };
    let revision = client
        .get_revision(request)
        .await
        .expect("revision")
        .into_inner()
        .revision
        .expect("revision");
    assert_eq!(revision.source, ONE, "comments and all");
    let mut request = ListRevisionsRequest {
        workflow: "etl".into(),
        page_size: 2,
        page_token: String::new(),
    };
    let page = client.list_revisions(request.clone()).await.expect("list").into_inner();
    request.page_token = page.next_page_token;
    let rest = client.list_revisions(request).await.expect("list").into_inner();
    let numbers: Vec<u32> = page
        .revisions
        .iter()
        .chain(&rest.revisions)
        .map(|revision| revision.number)
        .collect();
    assert_eq!((numbers, rest.next_page_token), (vec![3, 2, 1], String::new()));
}

#[tokio::test]
async fn two_editors_do_not_overwrite_each_other() {
    let dev = Dev::start();
    let mut client = dev.definitions();
    dev.apply(ONE).await.expect("apply");
    let get = GetWorkflowRequest { workflow: "etl".into() };
    let etag = client
        .get_workflow(get.clone())
        .await
        .expect("get")
        .into_inner()
        .workflow
        .expect("workflow")
        .etag;
    let update = |description: &str, etag: &str| UpdateWorkflowRequest {
        workflow: "etl".into(),
        description: description.into(),
        etag: etag.into(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["description".into()],
        }),
        ..UpdateWorkflowRequest::default()
    };
    let first = client
        .update_workflow(update("mine", &etag))
        .await
        .expect("update")
        .into_inner();
    assert_eq!(
        first.workflow.expect("workflow").latest_revision,
        1,
        "words are no new revision"
    );
    let status = client
        .update_workflow(update("theirs", &etag))
        .await
        .expect_err("an old etag");
    assert_eq!(reason_of(&status), Some(ErrorReason::EtagMismatch));
    let workflow = client
        .get_workflow(get.clone())
        .await
        .expect("get")
        .into_inner()
        .workflow
        .expect("workflow");
    assert_eq!(
        (workflow.description.as_str(), workflow.labels["team"].as_str()),
        ("mine", "data")
    );
    let mut unknown = update("x", "");
    unknown.update_mask = Some(prost_types::FieldMask {
        paths: vec!["name".into()],
    });
    assert!(client.update_workflow(unknown).await.is_err());
    let delete = |etag: &str| DeleteWorkflowRequest {
        workflow: "etl".into(),
        etag: etag.into(),
    };
    assert!(
        client.delete_workflow(delete(&etag)).await.is_err(),
        "an old etag deletes nothing"
    );
    client.delete_workflow(delete(&workflow.etag)).await.expect("delete");
    let status = client.get_workflow(get).await.expect_err("deleted");
    assert_eq!(reason_of(&status), Some(ErrorReason::WorkflowNotFound));
    let request = GetRevisionRequest {
        workflow: "etl".into(),
        revision: 1,
    };
    client
        .get_revision(request)
        .await
        .expect("a deleted workflow's revisions stay readable");
}

#[tokio::test]
async fn lists_filter_and_page() {
    let dev = Dev::start();
    for name in ["a", "b", "ba"] {
        dev.apply(&format!(
            "name: {name}\nlabels: {{of: {name}}}\ntasks: {{t: {{noop: {{}}}}}}"
        ))
        .await
        .expect("apply");
    }
    let list = async |filter: &str, token: &str| {
        let request = ListWorkflowsRequest {
            page_size: 2,
            page_token: token.into(),
            filter: filter.into(),
        };
        let page = dev
            .definitions()
            .list_workflows(request)
            .await
            .expect("list")
            .into_inner();
        (
            page.workflows.into_iter().map(|w| w.name).collect::<Vec<_>>(),
            page.next_page_token,
        )
    };
    let (first, token) = list("", "").await;
    assert_eq!(first, ["a", "b"]);
    assert_eq!(list("", &token).await, (vec!["ba".to_owned()], String::new()));
    assert_eq!(list("name : b", "").await.0, ["b", "ba"]);
    assert_eq!(list("labels.of = ba", "").await.0, ["ba"]);
}

#[tokio::test]
async fn validate_tells_order_and_groups_or_what_is_wrong() {
    let dev = Dev::start();
    let validate = async |source: &str| {
        let request = ValidateWorkflowRequest {
            source: source.into(),
            file: "x.yaml".into(),
        };
        dev.definitions()
            .validate_workflow(request)
            .await
            .expect("validate")
            .into_inner()
    };
    let good = validate("name: x\ntasks:\n  c: {needs: [a, b], noop: {}}\n  a: {noop: {}}\n  b: {noop: {}}\n").await;
    assert!(good.valid);
    assert_eq!(good.order, ["a", "b", "c"]);
    let groups: Vec<_> = good.groups.into_iter().map(|group| group.tasks).collect();
    assert_eq!(groups, [vec!["a", "b"], vec!["c"]]);
    let bad = validate("name: x\ntasks:\n  a: {needs: [b], noop: {}}\n  b: {needs: [a], noop: {}}\n").await;
    assert!(!bad.valid && bad.order.is_empty());
    assert!(
        bad.diagnostics[0].message.contains("a → b → a"),
        "{:?}",
        bad.diagnostics
    );
}

#[tokio::test]
async fn an_invalid_file_is_refused_with_every_finding() {
    let dev = Dev::start();
    let source = "name: x\ntasks:\n  a: {needs: [zzz], noop: {}}\n  b: {bahs: {run: x}}\n";
    let status = dev.apply(source).await.expect_err("invalid");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidWorkflow));
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("violations").field_violations;
    assert!(violations.len() >= 2, "{violations:?}");
    assert!(violations[0].description.starts_with("3:"), "{violations:?}");
}

#[tokio::test]
async fn differences_graphs_and_exports() {
    let dev = Dev::start();
    let mut client = dev.definitions();
    dev.apply(ONE).await.expect("apply");
    dev.apply(TWO).await.expect("apply");
    let request = DiffRevisionsRequest {
        workflow: "etl".into(),
        from: 0,
        to: 0,
    };
    let diff = client.diff_revisions(request).await.expect("diff").into_inner();
    assert_eq!((diff.from, diff.to), (1, 2));
    let changes: Vec<_> = diff
        .changes
        .iter()
        .map(|change| (change.kind(), change.path.as_str()))
        .collect();
    assert!(changes.contains(&(ChangeKind::Added, "/tasks/c")), "{changes:?}");
    assert!(changes.contains(&(ChangeKind::Removed, "/tasks/b")), "{changes:?}");
    assert!(diff.unified.contains("-# the first"), "{}", diff.unified);
    for (format, part) in [
        (GraphFormat::Json, "\"critical_path\""),
        (GraphFormat::Mermaid, "flowchart"),
        (GraphFormat::Dot, "digraph"),
        (GraphFormat::Svg, "<svg"),
    ] {
        let request = GetWorkflowGraphRequest {
            workflow: "etl".into(),
            format: format.into(),
            expected_seconds: [("a".to_owned(), 3.0)].into(),
            revision: 0,
        };
        let graph = client.get_workflow_graph(request).await.expect("graph").into_inner();
        assert!(graph.content.contains(part), "{format:?}: {}", graph.content);
    }
    for format in [ExportFormat::Source, ExportFormat::Yaml, ExportFormat::Json] {
        let request = ExportWorkflowRequest {
            workflow: "etl".into(),
            revision: 1,
            format: format.into(),
        };
        let export = client.export_workflow(request).await.expect("export").into_inner();
        let answer = client
            .apply_workflow(apply(&export.content))
            .await
            .expect("an export can be applied")
            .into_inner();
        assert_eq!(answer.workflow.expect("workflow").name, "etl");
    }
}

#[tokio::test]
async fn the_earlier_systems_workflows_are_imported() {
    let dev = Dev::start();
    let old = r#"{"name": "Old ETL", "tasks": {
        "extract": {"task_key": "extract", "task_type": "bash", "config": {"command": "echo hi"}, "depends_on": [],
                    "retry_config": {"max_retries": 2, "retry_delay": 1}},
        "join-up": {"task_key": "join-up", "task_type": "python", "config": {"code": "result = 1 + 1"},
                    "depends_on": ["extract"]}}}"#;
    let request = ImportWorkflowRequest {
        source: old.into(),
        name: "old_etl".into(),
        ..Default::default()
    };
    let answer = dev
        .definitions()
        .import_workflow(request)
        .await
        .expect("import")
        .into_inner();
    assert!(!answer.report.is_empty(), "it says what changed meaning");
    let execution = dev.run(&answer.source, "").await;
    assert_eq!(
        execution.state(),
        nexus_api::execution::v1::execution::State::Succeeded,
        "{execution:?}"
    );
    let broken = ImportWorkflowRequest {
        source: "{".into(),
        name: "x".into(),
        ..Default::default()
    };
    let status = dev.definitions().import_workflow(broken).await.expect_err("no JSON");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidWorkflow));
}

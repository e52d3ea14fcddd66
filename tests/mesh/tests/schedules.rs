//! Two replicas of the scheduling service, one of which is killed again and again while schedules fire each second: each
//! nominal time has one execution.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{apply, connect};
use nexus_api::execution::v1::ListExecutionsRequest;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::scheduling::v1::scheduling_service_client::SchedulingServiceClient;
use nexus_api::scheduling::v1::{
    CreateScheduleRequest, ListFiresRequest, OverlapPolicy, PauseScheduleRequest, Schedule, SchedulePolicies,
    ScheduleSpec, fire,
};
use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::Transport;
use tokio::time::sleep;

const FILE: &str = "name: tick\ntasks: {a: {noop: {}}}\n";
const SCHEDULES: usize = 10;

fn named(number: usize) -> Schedule {
    Schedule {
        name: format!("each-{number}"),
        workflow: "tick".to_owned(),
        spec: Some(ScheduleSpec {
            crons: vec!["* * * * * *".to_owned()],
            ..ScheduleSpec::default()
        }),
        policies: Some(SchedulePolicies {
            overlap: OverlapPolicy::AllowAll.into(),
            ..SchedulePolicies::default()
        }),
        ..Schedule::default()
    }
}

/// How many executions there are of each nominal second of a schedule.
async fn started(way: &Transport, schedule: &str) -> BTreeMap<i64, usize> {
    let mut executions = ExecutionServiceClient::new(way.clone());
    let (mut found, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let request = ListExecutionsRequest {
            page_size: 1_000,
            page_token,
            filter: format!("labels.schedule = \"{schedule}\""),
        };
        let page = executions.list_executions(request).await.expect("list").into_inner();
        for execution in page.executions {
            let time = nexus_api::time::parse(&execution.labels["schedule_time"]).expect("a time");
            *found.entry(time / 1_000_000).or_default() += 1;
        }
        if page.next_page_token.is_empty() {
            return found;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_nominal_second_has_one_execution_though_replicas_are_killed() {
    let shape = Shape {
        definitions: 1,
        execution: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    for _ in 0..2 {
        mesh.add(Role::Scheduling).await.expect("a replica");
    }
    for node in mesh.nodes() {
        node.start("").expect("start");
    }
    mesh.ready().await.expect("ready");
    apply(&mesh, FILE).await;
    let executions = connect(&mesh.execution());
    let steady = mesh.node(Role::Scheduling, 0).address();
    let mut schedules = SchedulingServiceClient::new(connect(&steady));
    for number in 0..SCHEDULES {
        let request = CreateScheduleRequest {
            schedule: Some(named(number)),
            ..CreateScheduleRequest::default()
        };
        schedules.create_schedule(request).await.expect("created");
    }
    for round in 0..6 {
        sleep(Duration::from_millis(1_300 + 217 * round)).await;
        mesh.node(Role::Scheduling, 1).kill().expect("killed");
        sleep(Duration::from_millis(400)).await;
        mesh.node(Role::Scheduling, 1).start("").expect("started");
        mesh.ready().await.expect("ready");
    }
    for number in 0..SCHEDULES {
        let schedule = named(number).name;
        let request = PauseScheduleRequest {
            schedule,
            ..PauseScheduleRequest::default()
        };
        schedules.pause_schedule(request).await.expect("paused");
    }
    let deadline = Instant::now() + Duration::from_secs(150);
    for number in 0..SCHEDULES {
        let schedule = named(number).name;
        // What a killed replica had taken to start comes back after a minute.
        let fires = loop {
            let request = ListFiresRequest {
                schedule: schedule.clone(),
                page_size: 1_000,
                ..ListFiresRequest::default()
            };
            let fires = schedules.list_fires(request).await.expect("list").into_inner().fires;
            if fires.iter().all(|fire| fire.outcome() == fire::Outcome::Started) {
                break fires;
            }
            assert!(Instant::now() < deadline, "{schedule}: fires that are not started");
            sleep(Duration::from_millis(200)).await;
        };
        let found = started(&executions, &schedule).await;
        let (first, last) = (found.keys().next().expect("one"), found.keys().last().expect("one"));
        let expected: BTreeMap<i64, usize> = (*first..=*last).map(|second| (second, 1)).collect();
        assert_eq!(found, expected, "{schedule}");
        assert_eq!(fires.len(), found.len(), "{schedule}");
        assert!(found.len() >= 10, "{schedule}: {}", found.len());
    }
    mesh.stop().await.expect("stopped");
}

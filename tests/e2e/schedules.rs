//! Schedules in `nexus dev`: what starts by itself, once for each nominal time, also over a kill; at the command line, over
//! REST and from the workflow's file.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use nexus_api::execution::v1::ListExecutionsRequest;
use nexus_tests::{Dev, DevOptions, binary, eventually};
use serde_json::{Value, json};

const FILE: &str =
    "name: tick\nparams: {type: object}\ntasks: {a: {noop: {output: '{{ params.day | default(none) }}'}}}\n";
const SLOW: &str = "name: slow\ntasks: {a: {bash: {run: 'sleep 600'}}}\n";

fn nexus(dev: &Dev, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .env("NEXUS_ADDRESS", dev.address())
        .env("XDG_CONFIG_HOME", dev.folder())
        .env("TZ", "Pacific/Apia")
        .current_dir(dev.folder())
        .stdin(Stdio::null())
        .output()
        .expect("nexus")
}

fn ok(output: &Output) -> Value {
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out} {error}");
    serde_json::from_str(&out).unwrap_or(Value::Null)
}

fn fails(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn field<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {value}"))
}

/// How many executions there are of each nominal time of a schedule.
async fn started(dev: &Dev, schedule: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListExecutionsRequest {
            page_size: 1_000,
            page_token,
            filter: format!("labels.schedule = \"{schedule}\""),
        };
        let page = dev
            .executions()
            .list_executions(request)
            .await
            .expect("list")
            .into_inner();
        for execution in page.executions {
            let time = execution.labels.get("schedule_time").cloned().unwrap_or_default();
            *found.entry(time).or_default() += 1;
        }
        if page.next_page_token.is_empty() {
            return found;
        }
        page_token = page.next_page_token;
    }
}

/// Whole seconds since 1970 of a time such as `2026-01-01T00:00:00Z`.
fn seconds(time: &str) -> i64 {
    nexus_api::time::parse(time).expect("a time") / 1_000_000
}

#[tokio::test]
async fn each_second_has_one_execution_also_when_the_process_is_killed_in_between() {
    let options = || DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    };
    let mut dev = Dev::start_with(options());
    dev.apply(FILE).await.expect("applied");
    let create = [
        "schedules",
        "create",
        "each",
        "--workflow",
        "tick",
        "--cron",
        "* * * * * *",
        "--overlap",
        "allow_all",
    ];
    ok(&nexus(&dev, &create));
    for round in 1..=3 {
        eventually("it fires", async || started(&dev, "each").await.len() > round * 3).await;
        dev = dev.kill_and_restart(options());
    }
    let before = started(&dev, "each").await.len();
    eventually("it goes on", async || started(&dev, "each").await.len() > before + 2).await;
    ok(&nexus(&dev, &["schedules", "pause", "each", "--note", "enough"]));
    // What was decided before the pause is started, after a while that the killed process had taken for it.
    let outcomes = async || {
        let list = ok(&nexus(
            &dev,
            &["schedules", "fires", "each", "--limit", "1000", "-o", "json"],
        ));
        field(&list, "/fires").as_array().expect("a list").clone()
    };
    eventually("everything is started", async || {
        outcomes().await.iter().all(|fire| fire["outcome"] == json!("STARTED"))
    })
    .await;
    let found = started(&dev, "each").await;
    let times: Vec<i64> = found.keys().map(|time| seconds(time)).collect();
    let expected: Vec<i64> = (times[0]..=times[times.len() - 1]).collect();
    assert_eq!(times, expected, "no second is missing");
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    assert_eq!(outcomes().await.len(), found.len(), "each has its fire");
}

#[tokio::test]
async fn overlapping_fires_are_skipped_and_recorded_and_a_cancel_lets_the_next_start() {
    let dev = Dev::start();
    dev.apply(SLOW).await.expect("applied");
    let cron = ["--workflow", "slow", "--cron", "* * * * * *"];
    let create = [&["schedules", "create", "skips"][..], &cron].concat();
    ok(&nexus(&dev, &create));
    let of = |name: &str| ok(&nexus(&dev, &["schedules", "get", name, "-o", "json"]));
    eventually("some are skipped", async || {
        field(&of("skips"), "/info/overlap_skipped")
            .as_str()
            .is_some_and(|count| count != "0")
            || field(&of("skips"), "/info/overlap_skipped")
                .as_u64()
                .is_some_and(|count| count > 1)
    })
    .await;
    assert_eq!(started(&dev, "skips").await.len(), 1);
    ok(&nexus(&dev, &["schedules", "pause", "skips"]));
    let running = of("skips");
    let execution = field(&running, "/info/running_executions/0")
        .as_str()
        .expect("an id")
        .to_owned();
    ok(&nexus(&dev, &["executions", "cancel", &execution]));
    eventually("its end is heard", async || {
        field(&of("skips"), "/info/running_executions")
            .as_array()
            .is_some_and(Vec::is_empty)
    })
    .await;
    let fired = ok(&nexus(
        &dev,
        &["schedules", "trigger", "skips", "--request-id", "one", "-o", "json"],
    ));
    let again = ok(&nexus(
        &dev,
        &["schedules", "trigger", "skips", "--request-id", "one", "-o", "json"],
    ));
    assert_eq!(field(&fired, "/outcome"), &json!("STARTED"), "{fired}");
    assert_eq!(
        field(&fired, "/execution"),
        field(&again, "/execution"),
        "the same id is the same fire"
    );
    let skipped = ok(&nexus(&dev, &["schedules", "trigger", "skips", "-o", "json"]));
    assert_eq!(field(&skipped, "/outcome"), &json!("SKIPPED"));
    let replaced = ok(&nexus(
        &dev,
        &[
            "schedules",
            "trigger",
            "skips",
            "--overlap",
            "cancel_other",
            "-o",
            "json",
        ],
    ));
    assert_eq!(field(&replaced, "/outcome"), &json!("BUFFERED"), "{replaced}");
    eventually("the cancelled one makes way", async || {
        started(&dev, "skips").await.len() == 3
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_told_and_what_can_never_start_is_recorded() {
    let dev = Dev::start();
    let create = |cron: &str| {
        nexus(
            &dev,
            &["schedules", "create", "x", "--workflow", "none", "--cron", cron],
        )
    };
    let told = fails(&create("0 0 * * MNO"));
    assert!(
        told.contains("character 9") && told.contains("did you mean MON"),
        "{told}"
    );
    assert!(fails(&create("0 0 30 2 *")).contains("never fires"));
    let zone = nexus(
        &dev,
        &[
            "schedules",
            "create",
            "x",
            "--workflow",
            "none",
            "--cron",
            "@daily",
            "--timezone",
            "Europe/Berln",
        ],
    );
    assert!(fails(&zone).contains("Europe/Berlin"));
    let terminate = [
        "schedules",
        "create",
        "x",
        "--workflow",
        "none",
        "--cron",
        "@daily",
        "--overlap",
        "terminate_other",
    ];
    assert!(fails(&nexus(&dev, &terminate)).contains("TERMINATE_OTHER"));
    ok(&create("* * * * * *"));
    assert!(fails(&create("@daily")).contains("exists"));
    eventually("it fails", async || {
        let list = ok(&nexus(&dev, &["schedules", "fires", "x", "-o", "json"]));
        let fires = field(&list, "/fires").as_array().expect("a list").clone();
        fires
            .iter()
            .any(|fire| fire["outcome"] == json!("FAILED") && fire["reason"].to_string().contains("none"))
    })
    .await;
    ok(&nexus(&dev, &["schedules", "delete", "x"]));
    assert!(fails(&nexus(&dev, &["schedules", "get", "x"])).contains("there is no schedule"));
}

#[tokio::test]
async fn a_backfill_is_counted_first_and_then_starts_each_time_once() {
    let dev = Dev::start();
    dev.apply(FILE).await.expect("applied");
    let day = "{{ schedule.local_date }}";
    ok(&nexus(
        &dev,
        &[
            "schedules",
            "create",
            "daily",
            "--workflow",
            "tick",
            "--cron",
            "30 2 * * *",
            "--timezone",
            "Europe/Berlin",
            "-p",
            &format!("day={day}"),
        ],
    ));
    let span = ["--from", "2026-03-27T00:00:00Z", "--to", "2026-03-31T00:30:00Z"];
    let plan = [
        &["schedules", "backfill", "daily", "--dry-run", "-o", "json"][..],
        &span,
    ]
    .concat();
    let planned = ok(&nexus(&dev, &plan));
    let times: Vec<&str> = field(&planned, "/first_times")
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let expected = [
        "2026-03-27T01:30:00Z",
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
        "2026-03-31T00:30:00Z",
    ];
    assert_eq!(times, expected);
    assert!(started(&dev, "daily").await.is_empty(), "nothing was started");
    let begin = [
        &["schedules", "backfill", "daily", "-o", "json", "--max-concurrent", "2"][..],
        &span,
    ]
    .concat();
    ok(&nexus(&dev, &begin));
    eventually("all are started", async || started(&dev, "daily").await.len() == 5).await;
    let found = started(&dev, "daily").await;
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(found.values().all(|count| *count == 1));
    eventually("it is done", async || {
        let list = ok(&nexus(&dev, &["schedules", "backfills", "daily", "-o", "json"]));
        field(&list, "/backfills/0/state") == &json!("DONE")
    })
    .await;
}

#[tokio::test]
async fn a_file_keeps_its_schedules_and_leaves_others_alone() {
    let dev = Dev::start();
    let write = |schedules: &str| {
        let text = format!("{FILE}{schedules}");
        std::fs::write(dev.folder().join("tick.yaml"), text).expect("written");
        nexus(&dev, &["apply", "-f", "tick.yaml"])
    };
    ok(&write(
        "schedules: {nightly: {cron: '0 2 * * *', timezone: Europe/Berlin}, often: {every: 15m, overlap: allow_all}}\n",
    ));
    ok(&nexus(
        &dev,
        &["schedules", "create", "mine", "--workflow", "tick", "--cron", "@daily"],
    ));
    let names = || {
        let list = ok(&nexus(&dev, &["schedules", "list", "-o", "json"]));
        let all = field(&list, "/schedules").as_array().expect("a list").clone();
        all.iter()
            .map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), ["mine", "tick.nightly", "tick.often"]);
    let told = write("schedules: {nightly: {cron: '0 3 * * *'}}\n");
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        error.contains("tick.nightly: updated") && error.contains("tick.often: deleted"),
        "{error}"
    );
    assert_eq!(names(), ["mine", "tick.nightly"]);
    let wrong = fails(&write("schedules: {nightly: {cron: '0 0 * * MNO', overlp: skip}}\n"));
    assert!(
        wrong.contains("character 9") && wrong.contains("MON") && wrong.contains("overlap"),
        "{wrong}"
    );
    ok(&write(""));
    assert_eq!(names(), ["mine"]);
}

#[test]
fn the_next_times_of_an_expression_need_no_server() {
    let next = |args: &[&str]| {
        let output = Command::new(binary())
            .args([
                "schedules",
                "next",
                "-o",
                "json",
                "-n",
                "3",
                "--from",
                "2026-03-28T12:00:00Z",
            ])
            .args(args)
            .env("NEXUS_ADDRESS", "http://127.0.0.1:1")
            .env("TZ", "Pacific/Apia")
            .stdin(Stdio::null())
            .output()
            .expect("nexus");
        ok(&output)
    };
    assert_eq!(
        next(&["--cron", "30 2 * * *", "--timezone", "Europe/Berlin"]),
        json!([
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00",
            "2026-03-31T02:30:00+02:00"
        ])
    );
    assert_eq!(
        next(&[
            "--cron",
            "30 2 * * *",
            "--timezone",
            "Europe/Berlin",
            "--dst-policy",
            "literal"
        ])[0],
        json!("2026-03-30T02:30:00+02:00")
    );
    assert_eq!(next(&["--every", "90m"])[0], json!("2026-03-28T13:30:00+00:00"));
    assert_eq!(
        next(&["--cron", "0 0 13 * FRI", "--day-match", "and"])[0],
        json!("2026-11-13T00:00:00+00:00")
    );
}

//! What a file says of when it starts, and what is said of it.

use crate::parse;

fn text(schedules: &str) -> String {
    format!("name: etl\ntasks: {{a: {{noop: {{}}}}}}\nschedules:\n{schedules}\n")
}

fn found(schedules: &str) -> Vec<String> {
    let outcome = parse(&text(schedules), "etl.yaml");
    outcome.diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn a_map_and_a_list_say_the_same_and_the_document_gives_it_back() {
    let map = "  nightly: {cron: '0 2 * * *', timezone: Europe/Berlin, params: {n: 1}}\n  schedule_2: {every: 15m, overlap: allow_all}";
    let list = "  - {name: nightly, cron: ['0 2 * * *'], timezone: Europe/Berlin, params: {n: 1}}\n  - {every: 15m, overlap: allow_all}";
    let read = |schedules| parse(&text(schedules), "").workflow.expect("no errors");
    let (one, other) = (read(map), read(list));
    assert_eq!(one, other);
    assert_eq!(one.schedules.keys().collect::<Vec<_>>(), ["nightly", "schedule_2"]);
    let again = parse(&one.to_document(), "").workflow.expect("no errors");
    assert_eq!(again, one);
}

#[test]
fn what_cannot_be_is_told_where_it_stands() {
    let cases = [
        (
            "  a: {cron: '0 0 * * MNO'}",
            vec!["4:", "NX1551", "character 9", "did you mean MON?"],
        ),
        ("  a: {cron: '0 0 30 2 *'}", vec!["NX1551", "never fires"]),
        (
            "  a: {cron: '@daily', timezone: Europe/Berln}",
            vec!["NX1551", "did you mean Europe/Berlin?"],
        ),
        ("  a: {overlap: skip}", vec!["NX1551", "says when it fires"]),
        ("  a: {at: tomorrow}", vec!["NX1551", "tomorrow"]),
        (
            "  a: {cron: '@daily', overlp: skip}",
            vec!["NX1101", "did you mean \"overlap\"?"],
        ),
        (
            "  a: {cron: '@daily', overlap: skp}",
            vec!["NX1105", "did you mean skip?"],
        ),
        ("  a: {cron: '@daily', catchup_window: 1s}", vec!["NX1113", "10s"]),
        ("  a: {cron: '@daily', end: never}", vec!["NX1551", "never"]),
        ("  A-b: {cron: '@daily'}", vec!["NX1110"]),
        (
            "  - {name: a, cron: '@daily'}\n  - {name: a, cron: '@daily'}",
            vec!["NX1102", "twice"],
        ),
    ];
    for (schedules, parts) in cases {
        let told = found(schedules).join("\n");
        assert!(parts.iter().all(|part| told.contains(part)), "{schedules}: {told}");
    }
    assert!(found("  a: {cron: ['@daily', '*/15 9-17 * * mon-fri'], exclude: '* * 25 12 *', jitter: 5m}").is_empty());
}

//! What expressions mean, and what is said of those that mean nothing.

use nexus_schedule::{Calendar, CronError, DstPolicy, Field, Interval, Plan, Range, SECOND, Spec, SpecError};

fn micros(text: &str) -> i64 {
    let moment: jiff::Timestamp = text.parse().expect("a time");
    moment.as_microsecond()
}

fn cron(expression: &str, zone: &str) -> Spec {
    Spec {
        crons: vec![expression.to_owned()],
        timezone: zone.to_owned(),
        ..Spec::default()
    }
}

/// The first fire times after a moment, as the zone writes them.
fn fires(spec: &Spec, after: &str, count: usize) -> Vec<String> {
    let plan = Plan::of(spec).unwrap_or_else(|error| panic!("{spec:?}: {error}"));
    let fires = plan.after(micros(after)).take(count);
    fires.map(|at| plan.zone().rfc3339(at.expect("found"))).collect()
}

fn error(expression: &str) -> CronError {
    match Plan::of(&cron(expression, "UTC")) {
        Err(SpecError::Cron(error)) => error,
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
fn shorthands_names_and_six_fields_mean_what_crontab_users_mean() {
    let same = [
        ("@hourly", "0 * * * *"),
        ("@DAILY", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * ?"),
        ("@yearly", "0 0 1 jan *"),
        ("@annually", "0 0 1 1 *"),
        ("0 9 * * mon-fri", "0 0 9 ? * 1-5"),
        ("0 9 * * 7", "0 9 * * 0"),
        ("0 9 * * FRI-SUN", "0 9 * * 5,6,0"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("CRON_TZ=UTC 0 9 * * * # in the morning", "TZ=UTC 0 9 * * *"),
    ];
    for (one, other) in same {
        let all = |expression| fires(&cron(expression, "UTC"), "2026-01-31T12:00:00Z", 20);
        assert_eq!(all(one), all(other), "{one} and {other}");
    }
    let seconds = fires(&cron("*/20 * * * * *", "UTC"), "2026-01-01T00:00:10.5Z", 3);
    assert_eq!(
        seconds,
        [
            "2026-01-01T00:00:20+00:00",
            "2026-01-01T00:00:40+00:00",
            "2026-01-01T00:01:00+00:00"
        ]
    );
    let every = fires(&cron("@every 1h30m", "UTC"), "2026-01-01T00:00:00Z", 2);
    assert_eq!(every, ["2026-01-01T01:30:00+00:00", "2026-01-01T03:00:00+00:00"]);
    assert_eq!(
        fires(&cron("@every 1h/10m", "UTC"), "2026-01-01T00:10:00Z", 1),
        ["2026-01-01T01:10:00+00:00"]
    );
}

#[test]
fn special_days_are_those_of_the_calendar() {
    let days = |expression: &str, count| {
        let all = fires(&cron(expression, "UTC"), "2026-01-01T00:00:00Z", count);
        all.iter().map(|time| time[..10].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(days("0 12 L * *", 3), ["2026-01-31", "2026-02-28", "2026-03-31"]);
    assert_eq!(days("0 12 L-3 * *", 2), ["2026-01-28", "2026-02-25"]);
    assert_eq!(days("0 12 LW * *", 2), ["2026-01-30", "2026-02-27"]);
    // The 15th of February and of March 2026 are Sundays, the 1st of both too.
    assert_eq!(days("0 12 15W 2,3 *", 2), ["2026-02-16", "2026-03-16"]);
    assert_eq!(days("0 12 1W 8 *", 1), ["2026-08-03"], "it stays in its month");
    assert_eq!(
        days("0 12 31W 1,5 *", 2),
        ["2026-01-30", "2026-05-29"],
        "it stays in its month"
    );
    assert_eq!(days("0 12 * * 5L", 2), ["2026-01-30", "2026-02-27"]);
    assert_eq!(days("0 12 * * MON#2", 2), ["2026-01-12", "2026-02-09"]);
    assert_eq!(days("0 12 * * fri#5", 2), ["2026-01-30", "2026-05-29"]);
    assert_eq!(days("0 0 29 2 *", 2), ["2028-02-29", "2032-02-29"]);
}

#[test]
fn days_are_matched_as_vixie_cron_has_it_and_as_is_asked_for() {
    let mut spec = cron("0 0 13 * FRI", "UTC");
    let either = fires(&spec, "2026-01-01T00:00:00Z", 4);
    assert_eq!(either[0], "2026-01-02T00:00:00+00:00");
    let notes = Plan::of(&spec).expect("a plan").notes(&[]);
    assert!(notes.len() == 1 && notes[0].text.contains("OR"), "{notes:?}");
    spec.day_match = nexus_schedule::DayMatch::And;
    assert_eq!(fires(&spec, "2026-01-01T00:00:00Z", 1), ["2026-02-13T00:00:00+00:00"]);
    assert!(Plan::of(&spec).expect("a plan").notes(&[])[0].text.contains("AND"));
    // A field that begins with a star restricts nothing by itself, so both must match.
    let odd = fires(&cron("0 0 */2 * MON", "UTC"), "2026-01-01T00:00:00Z", 3);
    assert_eq!(
        odd,
        [
            "2026-01-05T00:00:00+00:00",
            "2026-01-19T00:00:00+00:00",
            "2026-02-09T00:00:00+00:00"
        ]
    );
}

#[test]
fn what_is_daily_fires_once_a_day_and_what_runs_goes_on() {
    let berlin = |expression: &str, after: &str, count| fires(&cron(expression, "Europe/Berlin"), after, count);
    assert_eq!(
        berlin("30 2 * * *", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        berlin("30 2 * * *", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        berlin("0 * * * *", "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00",
            "2026-10-25T04:00:00+01:00"
        ]
    );
    let literal = |after, count| {
        let spec = Spec {
            dst_policy: DstPolicy::Literal,
            ..cron("30 2 * * *", "Europe/Berlin")
        };
        fires(&spec, after, count)
    };
    assert_eq!(literal("2026-03-28T12:00:00Z", 1), ["2026-03-30T02:30:00+02:00"]);
    assert_eq!(
        literal("2026-10-24T12:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    );
    // A day that was left out: what was named on it fires when the next one begins.
    assert_eq!(
        fires(&cron("0 12 * * *", "Pacific/Apia"), "2011-12-29T12:00:00Z", 3),
        [
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00"
        ]
    );
    assert_eq!(
        fires(&cron("0 0 * * *", "America/Sao_Paulo"), "2018-11-03T12:00:00Z", 2),
        ["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]
    );
    let plan = Plan::of(&cron("30 2 * * *", "Europe/Berlin")).expect("a plan");
    let notes = plan.notes(&[micros("2026-03-29T01:00:00Z"), micros("2026-10-25T00:30:00Z")]);
    assert!(
        notes.len() == 2 && notes[0].text.contains("skip") && notes[1].text.contains("twice"),
        "{notes:?}"
    );
}

#[test]
fn errors_say_where_and_what_is_allowed_and_what_may_have_been_meant() {
    let wrong = error("0 0 * * MNO");
    assert_eq!((wrong.field, wrong.position), (Some(Field::DayOfWeek), 9));
    assert!(wrong.help.contains("did you mean MON?"), "{wrong}");
    assert!(error("0 0 1 january *").help.contains("did you mean JAN?"));
    assert!(error("@dayly").help.contains("did you mean @daily?"));
    let cases = [
        ("61 * * * *", Some(Field::Minute), 1, "61"),
        ("0 24 * * *", Some(Field::Hour), 3, "did you mean 0?"),
        ("0 0 0 * *", Some(Field::DayOfMonth), 5, "1 to 31"),
        ("0 0 1-5,32 * *", Some(Field::DayOfMonth), 9, "32"),
        ("0 0 * 13 *", Some(Field::Month), 7, "1 to 12"),
        ("0 0 * * 8", Some(Field::DayOfWeek), 9, "0 to 7"),
        ("*/90 * * * *", Some(Field::Minute), 1, "@every 90m"),
        ("*/0 * * * *", Some(Field::Minute), 1, "not a step"),
        ("0 22-2 * * *", Some(Field::Hour), 3, "22-23,0-2"),
        ("1,,2 * * * *", Some(Field::Minute), 3, "comma"),
        ("0 0 * * L", Some(Field::DayOfWeek), 9, "5L"),
        ("0 0 * * MON#6", Some(Field::DayOfWeek), 9, "1 to 5"),
        ("? * * * *", Some(Field::Minute), 1, "0 to 59"),
        ("0 9 * *", None, 7, "4 fields"),
        ("0 0 9 * * * 2026", None, 13, "calendar"),
        ("", None, 1, "empty"),
        ("# nothing", None, 1, "empty"),
        ("PATH=x 0 9 * * *", None, 1, "CRON_TZ"),
        ("@every 500ms", None, 8, "whole seconds"),
        ("@every 1mo", None, 8, "months"),
        ("@every", None, 1, "length of time"),
        ("@hourly 5", None, 9, "nothing may follow"),
    ];
    for (expression, field, position, says) in cases {
        let error = error(expression);
        assert_eq!((error.field, error.position), (field, position), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let zone = Plan::of(&cron("0 9 * * *", "Europe/Berln")).expect_err("no zone");
    assert!(zone.to_string().contains("did you mean Europe/Berlin?"), "{zone}");
    assert!(Plan::of(&cron("CRON_TZ=Mars/Olympus 0 9 * * *", "")).is_err());
}

#[test]
fn what_never_fires_is_told_at_once_and_what_does_rarely_is_found() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 L-30 2 *"] {
        let told = Plan::of(&cron(never, "UTC")).expect_err("it never fires");
        assert!(matches!(told, SpecError::Never { .. }), "{told}");
        assert!(told.to_string().contains("never fires"), "{told}");
    }
    let and = Spec {
        day_match: nexus_schedule::DayMatch::And,
        ..cron("0 0 29 2 MON", "UTC")
    };
    assert_eq!(
        fires(&and, "2026-01-01T00:00:00Z", 3),
        [
            "2044-02-29T00:00:00+00:00",
            "2072-02-29T00:00:00+00:00",
            "2112-02-29T00:00:00+00:00"
        ]
    );
    assert!(matches!(Plan::of(&Spec::default()), Err(SpecError::Empty)));
}

#[test]
fn parts_are_joined_and_exclusions_take_away() {
    let day = |month: u32, day: u32| Calendar {
        month: vec![Range {
            start: month,
            ..Range::default()
        }],
        day_of_month: vec![Range {
            start: day,
            ..Range::default()
        }],
        ..Calendar::default()
    };
    let spec = Spec {
        crons: vec!["0 9 24-26 12 *".to_owned()],
        times: vec![
            "2026-12-25T10:00:00+01:00".to_owned(),
            "2026-12-31T23:59:59.5Z".to_owned(),
        ],
        intervals: vec![Interval {
            every: 86_400 * SECOND,
            phase: 9 * 3_600 * SECOND,
        }],
        exclude_calendars: vec![day(12, 25)],
        exclude_crons: vec!["* 9 27-30 12 *".to_owned()],
        start: Some(micros("2026-12-24T09:00:00Z")),
        end: Some(micros("2026-12-31T23:59:59.5Z")),
        ..Spec::default()
    };
    assert_eq!(
        fires(&spec, "2026-01-01T00:00:00Z", 9),
        [
            "2026-12-24T09:00:00+00:00",
            "2026-12-26T09:00:00+00:00",
            "2026-12-31T09:00:00+00:00",
            "2026-12-31T23:59:59.5+00:00"
        ]
    );
    let plan = Plan::of(&spec).expect("a plan");
    let before = plan
        .previous(micros("2026-12-31T00:00:00Z"))
        .expect("found")
        .expect("one");
    assert_eq!(plan.zone().rfc3339(before), "2026-12-26T09:00:00+00:00");
    let nothing = Spec {
        crons: vec!["0 9 * * *".to_owned()],
        exclude_crons: vec!["* * * * *".to_owned()],
        ..Spec::default()
    };
    let plan = Plan::of(&nothing).expect("a plan");
    assert!(
        plan.next(0).is_ok_and(|next| next.is_none()) || plan.next(0).is_err(),
        "it has an end"
    );
}

#[test]
fn jitter_is_the_same_everywhere_and_never_reaches_the_next_fire() {
    let spec = Spec {
        jitter: 3_600 * SECOND,
        ..cron("*/10 * * * *", "UTC")
    };
    let plan = Plan::of(&spec).expect("a plan");
    let mut delays = std::collections::BTreeSet::new();
    for nominal in plan.after(0).take(200) {
        let nominal = nominal.expect("found");
        let due = plan.due("etl", nominal);
        assert_eq!(due, plan.due("etl", nominal));
        assert!((nominal..nominal + 600 * SECOND).contains(&due));
        delays.insert(due - nominal);
    }
    assert!(delays.len() > 190, "they are spread");
    assert_ne!(plan.due("etl", 0), plan.due("other", 0));
}

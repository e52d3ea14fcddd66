//! What must hold of a worker's attempts, reports and asking.

use super::*;
use crate::convert::report;

fn done(token: &str) -> Ended {
    Ended::Report(report(token, Outcome::Succeeded("1".into())))
}

fn cancelled(token: &str) -> Ended {
    Ended::Report(report(token, Outcome::Cancelled))
}

fn not_started(token: &str) -> Ended {
    Ended::NotStarted { token: token.into() }
}

#[test]
fn a_slot_is_free_when_its_task_has_ended_though_the_report_has_no_answer() {
    let now = Instant::now();
    let mut pool = Pool::new(2);
    pool.opened(2);
    pool.came(2);
    assert!(pool.take("a", now).is_some() && pool.take("a", now).is_none());
    assert!(pool.take("b", now).is_some());
    pool.ended(done("a"), now);
    assert_eq!(pool.free(), 1);
    assert_eq!(pool.next_reports(now).map(|reports| reports.len()), Some(1));
    assert_eq!(pool.ask(now), 1);
    pool.ended(done("b"), now);
    assert_eq!(pool.next_reports(now), None, "one batch at a time");
    assert_eq!(pool.ask_alone(now), 1, "a slot does not wait for the batch");
    pool.answered("a", true, now);
    assert_eq!(
        pool.next_reports(now).map(|reports| reports[0].token.clone()),
        Some("b".into())
    );
    pool.unsend();
    assert_eq!(
        pool.next_reports(now).map(|reports| reports.len()),
        Some(1),
        "sent again"
    );
    pool.answered("b", true, now);
    assert!(pool.is_empty() && pool.unanswered_bytes == 0);
    assert_eq!(pool.ask_alone(now), 0, "asked for already");
}

#[test]
fn more_than_the_room_is_refused_and_a_server_that_does_not_keep_up_is_asked_for_nothing() {
    let now = Instant::now();
    let mut pool = Pool::new(2);
    for number in 0..8 {
        assert!(pool.take(&number.to_string(), now).is_some(), "{number}");
    }
    assert!(pool.take("one more", now).is_none());
    for number in 0..8 {
        pool.ended(done(&number.to_string()), now);
    }
    assert!(pool.ask_alone(now) > 0);
    let large = "x".repeat(MAX_UNANSWERED_BYTES);
    pool.take("large", now).expect("room");
    pool.ended(Ended::Report(report("large", Outcome::Succeeded(large))), now);
    pool.opened(0);
    assert_eq!((pool.ask(now), pool.ask_alone(now)), (0, 0));
}

#[test]
fn what_found_no_slot_is_given_back_as_not_started() {
    let now = Instant::now();
    let mut pool = Pool::new(1);
    for token in ["waited", "released", "cancelled", "lost"] {
        pool.take(token, now).expect("room");
    }
    pool.stop("released", Stop::Release);
    pool.stop("cancelled", Stop::Cancel);
    pool.stop("lost", Stop::Lost);
    for token in ["waited", "released", "cancelled", "lost"] {
        pool.ended(not_started(token), now);
    }
    let reports = pool.next_reports(now).expect("reports");
    let told: Vec<_> = reports
        .iter()
        .map(|report| (&*report.token, report.outcome.as_ref()))
        .collect();
    let unstarted = |told: &Option<&task_report::Outcome>| matches!(told, Some(task_report::Outcome::Released(released)) if released.not_started);
    assert_eq!(told.len(), 3);
    assert!(told[0].0 == "waited" && unstarted(&told[0].1));
    assert!(told[1].0 == "released" && unstarted(&told[1].1));
    assert!(told[2].0 == "cancelled" && matches!(told[2].1, Some(task_report::Outcome::Cancelled(_))));
}

#[test]
fn a_lost_lease_is_stopped_and_never_reported() {
    let now = Instant::now();
    let lease = Duration::from_secs(15);
    let mut pool = Pool::new(3);
    let (lost, _) = pool.take("lost", now).expect("slot");
    let (kept, _seen) = pool.take("kept", now).expect("slot");
    pool.direct("lost", Action::Continue, None);
    pool.direct("kept", Action::Continue, Some(now + lease));
    assert_eq!(pool.expire(lease, now + lease), 1);
    assert_eq!(pool.expire(lease, now + lease), 0);
    assert!(lost.is_cancelled() && !kept.is_cancelled());
    pool.direct("lost", Action::Cancel, Some(now));
    pool.ended(cancelled("lost"), now);
    assert_eq!(pool.next_reports(now), None, "cancel does not outdo the loss");
    pool.stop("kept", Stop::Release);
    pool.ended(cancelled("kept"), now);
    let reports = pool.next_reports(now).expect("reports");
    assert!(matches!(reports[0].outcome, Some(task_report::Outcome::Released(_))));
}

#[test]
fn what_was_given_up_is_told_as_received_until_the_session_ends() {
    let now = Instant::now();
    let mut pool = Pool::new(3);
    for token in ["runs", "given up", "answered"] {
        pool.take(token, now).expect("slot");
    }
    pool.stop("given up", Stop::Lost);
    pool.ended(cancelled("given up"), now);
    pool.ended(done("answered"), now);
    pool.next_reports(now);
    let received = |pool: &Pool| pool.received().map(|tokens| tokens.len());
    assert_eq!(received(&pool), Some(3));
    pool.answered("answered", false, now);
    assert_eq!(received(&pool), Some(3), "what made it stale may not be stored");
    pool.take("accepted", now).expect("slot");
    pool.ended(done("accepted"), now);
    pool.next_reports(now);
    pool.answered("accepted", true, now);
    assert_eq!(received(&pool), Some(3), "of that the server knows");
    for number in 0..=MAX_RECEIVED {
        pool.give_up(&number.to_string());
    }
    assert_eq!(received(&pool), None, "nothing is better than not all");
    pool.begins_anew();
    assert_eq!(received(&pool), Some(1));
}

#[test]
fn large_outputs_go_in_several_messages() {
    let now = Instant::now();
    let mut pool = Pool::new(8);
    for token in ["a", "b", "c", "d"] {
        pool.take(token, now).expect("slot");
        let output = "x".repeat(900 << 10);
        pool.ended(Ended::Report(report(token, Outcome::Succeeded(output))), now);
    }
    assert_eq!(pool.next_reports(now).map(|reports| reports.len()), Some(2));
}

#[test]
fn a_lease_is_in_doubt_when_it_was_not_extended_for_long() {
    let begun = Instant::now();
    let (age, later) = (Duration::from_secs(4), begun + Duration::from_secs(4));
    let mut pool = Pool::new(2);
    assert!(!pool.is_in_doubt(age, later), "there is none");
    pool.take("a", begun).expect("a slot");
    assert!(!pool.is_in_doubt(age, later - Duration::from_millis(1)) && pool.is_in_doubt(age, later));
    pool.direct("a", Action::Continue, Some(begun + Duration::from_secs(3)));
    assert!(!pool.is_in_doubt(age, later));
    pool.stop("a", Stop::Lost);
    assert!(!pool.is_in_doubt(age, later + age), "nothing is asked for what is lost");
}

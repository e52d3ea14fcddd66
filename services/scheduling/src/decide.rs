//! What is due, and what becomes of it. Pure: of a schedule, what it says and the time it makes fires and what the schedule is
//! afterwards. The service does it under the schedule's lock; a simulation does it on its own.

use nexus_schedule::{Plan, SECOND};

use crate::store::{Catchup, Definition, FireKey, FireRow, Outcome, Overlap, ScheduleRow};

/// Fires of one decision at most: what is left is decided next.
pub const MAX_FIRES: usize = 100;
/// Fires that wait at most.
pub const MAX_BUFFERED: i64 = 1_000;
/// A fire that is late by less is on time.
pub const ON_TIME: i64 = 10 * SECOND;

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// The fires.
    pub fires: Vec<FireRow>,
    /// Whether what runs is to be cancelled.
    pub cancels: bool,
    /// Whether a fire that waited before is skipped for one of these.
    pub replaces: bool,
}

/// Decides what is due of a schedule.
#[must_use]
pub fn decide(row: &mut ScheduleRow, definition: &Definition, plan: &Plan, now: i64) -> Decided {
    let mut decided = Decided::default();
    while decided.fires.len() < MAX_FIRES {
        let (Some(nominal), Some(due)) = (row.next_nominal, row.next_due) else {
            break;
        };
        if due > now {
            break;
        }
        if row.remaining == Some(0) {
            (row.next_nominal, row.next_due) = (None, None);
            break;
        }
        advance(row, plan, nominal);
        let key = FireKey {
            schedule_id: row.id.clone(),
            source: String::new(),
            nominal,
        };
        let late = now - due;
        let later_is_due = row.next_due.is_some_and(|next| next <= now);
        let fire = match missed(definition, late, later_is_due) {
            Some(reason) => {
                row.missed += 1;
                FireRow::new(key, Outcome::Skipped, &reason, now)
            }
            None => overlap(row, definition.overlap, key, now, &mut decided),
        };
        if let Some(remaining) = &mut row.remaining
            && !fire.is(Outcome::Skipped)
        {
            *remaining -= 1;
            if *remaining == 0 {
                (row.next_nominal, row.next_due) = (None, None);
            }
        }
        decided.fires.push(fire);
    }
    decided
}

/// Goes on to the first nominal time after one.
pub fn advance(row: &mut ScheduleRow, plan: &Plan, after: i64) {
    row.next_nominal = plan.next(after).unwrap_or_default();
    row.next_due = row.next_nominal.map(|nominal| plan.due(&row.id, nominal));
}

/// Why a fire is not made up for; nothing when it is, or is on time.
fn missed(definition: &Definition, late: i64, later_is_due: bool) -> Option<String> {
    if late > definition.catchup_window {
        let (late, window) = (late / SECOND, definition.catchup_window / SECOND);
        return Some(format!("it was {late} s late, and the catch-up window is {window} s"));
    }
    match definition.catchup {
        Catchup::None if late > ON_TIME => Some(format!("it was {} s late, and none is made up for", late / SECOND)),
        Catchup::Last if late > ON_TIME && later_is_due => {
            Some("only the last of those that were missed is made up for".to_owned())
        }
        _ => None,
    }
}

/// A fire that is to be, while others may run.
pub fn overlap(row: &mut ScheduleRow, policy: Overlap, key: FireKey, now: i64, decided: &mut Decided) -> FireRow {
    if row.running == 0 || policy == Overlap::AllowAll {
        row.running += 1;
        return FireRow::new(key, Outcome::Starting, "", now);
    }
    let waits = "an execution of the schedule runs; it starts after that";
    match policy {
        Overlap::BufferOne if row.buffered > 0 => {
            row.overlap_skipped += 1;
            FireRow::new(
                key,
                Outcome::Skipped,
                "an execution of the schedule ran and one fire waited already",
                now,
            )
        }
        Overlap::BufferAll if row.buffered >= MAX_BUFFERED => {
            row.buffer_dropped += 1;
            let reason = format!("{MAX_BUFFERED} fires waited already");
            FireRow::new(key, Outcome::Skipped, &reason, now)
        }
        Overlap::BufferOne | Overlap::BufferAll => {
            row.buffered += 1;
            FireRow::new(key, Outcome::Buffered, waits, now)
        }
        Overlap::CancelOther => {
            decided.cancels = true;
            if row.buffered > 0 {
                row.overlap_skipped += row.buffered;
                decided.replaces = true;
                for waiting in decided.fires.iter_mut().filter(|fire| fire.is(Outcome::Buffered)) {
                    replaced(waiting);
                }
            }
            row.buffered = 1;
            FireRow::new(
                key,
                Outcome::Buffered,
                "an execution of the schedule is being cancelled",
                now,
            )
        }
        Overlap::Skip | Overlap::AllowAll => {
            row.overlap_skipped += 1;
            FireRow::new(key, Outcome::Skipped, "an execution of the schedule ran", now)
        }
    }
}

/// A fire that waited, and does not any more because another took its place.
pub fn replaced(fire: &mut FireRow) {
    fire.outcome = Outcome::Skipped as i64;
    fire.reason = "a later fire took its place".to_owned();
}

#[cfg(test)]
mod tests {
    use nexus_schedule::Spec;

    use super::*;

    const MINUTE: i64 = 60 * SECOND;

    fn made(overlap: Overlap, catchup: Catchup) -> (ScheduleRow, Definition, Plan) {
        let spec = Spec {
            crons: vec!["* * * * *".to_owned()],
            ..Spec::default()
        };
        let plan = Plan::of(&spec).expect("a plan");
        let definition = Definition {
            overlap,
            catchup,
            catchup_window: 3_600 * SECOND,
            ..Definition::default()
        };
        let mut row = crate::store::rows::blank("id", "every-minute");
        advance(&mut row, &plan, 0);
        (row, definition, plan)
    }

    fn outcomes(decided: &Decided) -> Vec<i64> {
        decided.fires.iter().map(|fire| fire.outcome).collect()
    }

    #[test]
    fn each_nominal_time_is_decided_once_however_the_clock_jumps() {
        let (mut row, definition, plan) = made(Overlap::AllowAll, Catchup::All);
        assert!(decide(&mut row, &definition, &plan, MINUTE - 1).fires.is_empty());
        let first = decide(&mut row, &definition, &plan, 3 * MINUTE);
        assert_eq!(
            first.fires.iter().map(|fire| fire.key.nominal).collect::<Vec<_>>(),
            [MINUTE, 2 * MINUTE, 3 * MINUTE]
        );
        assert!(
            decide(&mut row, &definition, &plan, MINUTE).fires.is_empty(),
            "backwards"
        );
        // Two hours forwards: an hour of them is too late.
        let mut all = Vec::new();
        loop {
            let decided = decide(&mut row, &definition, &plan, 123 * MINUTE);
            if decided.fires.is_empty() {
                break;
            }
            all.extend(outcomes(&decided));
        }
        assert_eq!(all.len(), 120);
        assert_eq!(
            all.iter()
                .filter(|outcome| **outcome == Outcome::Skipped as i64)
                .count(),
            59
        );
        assert_eq!((row.missed, row.running), (59, 64));
    }

    #[test]
    fn overlapping_fires_do_what_the_policy_says() {
        let (starting, skipped, buffered) = (1, 3, 4);
        let cases = [
            (Overlap::Skip, vec![starting, skipped, skipped]),
            (Overlap::BufferOne, vec![starting, buffered, skipped]),
            (Overlap::BufferAll, vec![starting, buffered, buffered]),
            (Overlap::CancelOther, vec![starting, skipped, buffered]),
            (Overlap::AllowAll, vec![starting, starting, starting]),
        ];
        for (policy, expected) in cases {
            let (mut row, definition, plan) = made(policy, Catchup::All);
            let decided = decide(&mut row, &definition, &plan, 3 * MINUTE);
            assert_eq!(outcomes(&decided), expected, "{policy:?}");
            assert_eq!(decided.cancels, policy == Overlap::CancelOther);
        }
        let (mut row, definition, plan) = made(Overlap::BufferAll, Catchup::All);
        (row.running, row.buffered) = (1, MAX_BUFFERED);
        let dropped = decide(&mut row, &definition, &plan, MINUTE);
        assert_eq!((outcomes(&dropped), row.buffer_dropped), (vec![skipped], 1));
    }

    #[test]
    fn late_fires_are_made_up_for_as_asked() {
        let late = 5 * MINUTE + 30 * SECOND;
        for (catchup, started) in [(Catchup::All, 5), (Catchup::Last, 1), (Catchup::None, 0)] {
            let (mut row, definition, plan) = made(Overlap::AllowAll, catchup);
            let decided = decide(&mut row, &definition, &plan, late);
            let count = decided.fires.iter().filter(|fire| fire.is(Outcome::Starting)).count();
            assert_eq!((count, decided.fires.len()), (started, 5), "{catchup:?}");
        }
    }

    #[test]
    fn limited_actions_end_a_schedule() {
        let (mut row, definition, plan) = made(Overlap::Skip, Catchup::All);
        row.remaining = Some(2);
        row.running = 1;
        // Skips are no actions.
        assert_eq!(decide(&mut row, &definition, &plan, MINUTE).fires.len(), 1);
        row.running = 0;
        assert_eq!(decide(&mut row, &definition, &plan, 2 * MINUTE).fires.len(), 1);
        row.running = 0;
        assert_eq!(decide(&mut row, &definition, &plan, 9 * MINUTE).fires.len(), 1);
        assert_eq!((row.remaining, row.next_due), (Some(0), None));
    }
}

//! Trigger rules: how the tasks that a task needs must have ended for it to run.
//!
//! Names and meanings follow Airflow's, with three of its traps decided otherwise:
//! - `all_done_min_one_success` runs when everything ended and something succeeded, skips or not; Airflow's page and
//!   code disagree.
//! - Under `all_success` a skip is judged only once everything has ended, a failure at once: so the verdict does not
//!   depend on the order in which the needed tasks end.
//! - No rule hides a failure: what counts as handled is the execution's affair.

use nexus_spec::model::TriggerRule;

use crate::plan::TaskPlan;
use crate::planted::{Bug, planted};

/// How the needed tasks have ended so far. A failure that `continue_on_error` forgave counts as a success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many tasks are needed.
    pub total: u32,
    /// How many of them succeeded.
    pub succeeded: u32,
    /// How many failed, were not run because of a failure, or ended unknown.
    pub failed: u32,
    /// How many were skipped.
    pub skipped: u32,
    /// How many of those whose failure the task handles have not ended.
    pub awaited: u32,
}

impl Tally {
    /// The tally of a task before any that it needs has ended.
    #[must_use]
    pub fn before(plan: &TaskPlan) -> Self {
        let count = |tasks: &[u32]| u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        Self {
            total: count(&plan.needs),
            awaited: count(&plan.handles),
            ..Self::default()
        }
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not decided yet.
    Wait,
    /// The task runs.
    Run,
    /// The task is skipped.
    Skip,
    /// The task cannot run because of a failure.
    UpstreamFailed,
}

/// Judges a rule over a tally.
///
/// A task that handles failures does not run before everything that it handles has ended, whatever its rule: nobody
/// repairs a failure that is yet to come.
#[must_use]
pub fn judge(rule: TriggerRule, tally: Tally) -> Verdict {
    match verdict(rule, tally) {
        Verdict::Run if tally.awaited > 0 && !planted(Bug::HandlerTooEarly) => Verdict::Wait,
        verdict => verdict,
    }
}

fn verdict(rule: TriggerRule, tally: Tally) -> Verdict {
    use TriggerRule as R;
    use Verdict::{Run, Skip, UpstreamFailed, Wait};
    let Tally {
        total,
        succeeded,
        failed,
        skipped,
        awaited: _,
    } = tally;
    let done = succeeded + failed + skipped == total
        || (planted(Bug::JoinTooEarly) && succeeded + failed + skipped + 1 == total && succeeded > 0);
    // The verdict once everything has ended; until then wait.
    let at_end = |verdict: Verdict| if done { verdict } else { Wait };
    match rule {
        R::AllSuccess if failed > 0 && !planted(Bug::FailureIgnored) => UpstreamFailed,
        R::AllSuccess => at_end(if skipped > 0 { Skip } else { Run }),
        R::AllFailed if succeeded + skipped > 0 => Skip,
        R::AllFailed | R::AllDone => at_end(Run),
        R::AllDoneMinOneSuccess => at_end(match (succeeded, failed) {
            (1.., _) => Run,
            (0, 1..) => UpstreamFailed,
            (0, 0) => Skip,
        }),
        R::AllSkipped if succeeded + failed > 0 => Skip,
        R::AllSkipped => at_end(Run),
        R::OneFailed if failed > 0 => Run,
        R::OneFailed => at_end(Skip),
        R::OneSuccess if succeeded > 0 => Run,
        R::OneSuccess => at_end(if failed > 0 { UpstreamFailed } else { Skip }),
        R::OneDone if succeeded + failed > 0 => Run,
        R::OneDone => at_end(Skip),
        R::NoneFailed | R::NoneFailedMinOneSuccess if failed > 0 => UpstreamFailed,
        R::NoneFailed => at_end(Run),
        R::NoneFailedMinOneSuccess => at_end(if succeeded > 0 { Run } else { Skip }),
        R::NoneSkipped if skipped > 0 => Skip,
        R::NoneSkipped => at_end(Run),
        R::Always => Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TriggerRule as R;
    use Verdict::{Run, Skip, UpstreamFailed, Wait};

    fn tally(succeeded: u32, failed: u32, skipped: u32, open: u32) -> Tally {
        Tally {
            total: succeeded + failed + skipped + open,
            succeeded,
            failed,
            skipped,
            awaited: 0,
        }
    }

    #[test]
    fn a_handler_runs_only_when_all_that_it_handles_has_ended() {
        let early = Tally {
            awaited: 1,
            ..tally(0, 1, 0, 1)
        };
        assert_eq!(judge(R::OneFailed, tally(0, 1, 0, 1)), Run);
        assert_eq!((judge(R::OneFailed, early), judge(R::Always, early)), (Wait, Wait));
        assert_eq!(
            judge(R::AllSuccess, early),
            UpstreamFailed,
            "what runs never need not wait"
        );
    }

    /// One line a rule; columns: all succeeded, all failed, all skipped, one of each, success + open, failure + open,
    /// skip + open, success + failure, success + skip, failure + skip.
    #[test]
    fn the_truth_table_holds() {
        let ends = [
            tally(2, 0, 0, 0),
            tally(0, 2, 0, 0),
            tally(0, 0, 2, 0),
            tally(1, 1, 1, 0),
            tally(1, 0, 0, 1),
            tally(0, 1, 0, 1),
            tally(0, 0, 1, 1),
            tally(1, 1, 0, 0),
            tally(1, 0, 1, 0),
            tally(0, 1, 1, 0),
        ];
        let up = UpstreamFailed;
        let table = [
            (R::AllSuccess, [Run, up, Skip, up, Wait, up, Wait, up, Skip, up]),
            (
                R::AllFailed,
                [Skip, Run, Skip, Skip, Skip, Wait, Skip, Skip, Skip, Skip],
            ),
            (R::AllDone, [Run, Run, Run, Run, Wait, Wait, Wait, Run, Run, Run]),
            (
                R::AllDoneMinOneSuccess,
                [Run, up, Skip, Run, Wait, Wait, Wait, Run, Run, up],
            ),
            (
                R::AllSkipped,
                [Skip, Skip, Run, Skip, Skip, Skip, Wait, Skip, Skip, Skip],
            ),
            (R::OneFailed, [Skip, Run, Skip, Run, Wait, Run, Wait, Run, Skip, Run]),
            (R::OneSuccess, [Run, up, Skip, Run, Run, Wait, Wait, Run, Run, up]),
            (R::OneDone, [Run, Run, Skip, Run, Run, Run, Wait, Run, Run, Run]),
            (R::NoneFailed, [Run, up, Run, up, Wait, up, Wait, up, Run, up]),
            (
                R::NoneFailedMinOneSuccess,
                [Run, up, Skip, up, Wait, up, Wait, up, Run, up],
            ),
            (
                R::NoneSkipped,
                [Run, Run, Skip, Skip, Wait, Wait, Skip, Run, Skip, Skip],
            ),
            (R::Always, [Run; 10]),
        ];
        for (rule, verdicts) in table {
            for (end, expected) in ends.iter().zip(verdicts) {
                assert_eq!(judge(rule, *end), expected, "{rule:?} over {end:?}");
            }
        }
    }

    /// Whatever the order in which tasks end, the final verdict is the same, and a verdict once given stays.
    #[test]
    fn verdicts_do_not_depend_on_the_order() {
        let rules = [
            R::AllSuccess,
            R::AllFailed,
            R::AllDone,
            R::AllDoneMinOneSuccess,
            R::AllSkipped,
            R::OneFailed,
            R::OneSuccess,
            R::OneDone,
            R::NoneFailed,
            R::NoneFailedMinOneSuccess,
            R::NoneSkipped,
            R::Always,
        ];
        for rule in rules {
            for ends in 0..27_u32 {
                let sequence = [ends % 3, ends / 3 % 3, ends / 9];
                let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
                let first_verdict = |order: [usize; 3]| {
                    let mut tally = Tally {
                        total: 3,
                        ..Tally::default()
                    };
                    for position in order {
                        match judge(rule, tally) {
                            Wait => {}
                            verdict => return verdict,
                        }
                        match sequence[position] {
                            0 => tally.succeeded += 1,
                            1 => tally.failed += 1,
                            _ => tally.skipped += 1,
                        }
                    }
                    judge(rule, tally)
                };
                let verdicts: Vec<_> = orders.into_iter().map(first_verdict).collect();
                assert!(
                    verdicts.iter().all(|v| *v == verdicts[0] && *v != Wait),
                    "{rule:?} {sequence:?} {verdicts:?}"
                );
            }
        }
    }
}

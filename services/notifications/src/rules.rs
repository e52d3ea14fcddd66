//! Which rules a notice meets, and which messages follow. Pure: time is a parameter.

use nexus_api::notifications::v1::delivery::Suppression;
use nexus_api::notifications::v1::{Event, Notice, Rule};
use nexus_expr::ExprError;
use nexus_expr::text::{NOTICE, Test};
use sha2::{Digest, Sha256};

use crate::facts::facts;
use crate::glob::glob;
use crate::quiet::{BadHours, Quiet};
use crate::store::{NewDelivery, Watch};

/// A rule that was read.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) rule: Rule,
    test: Option<Test>,
    quiet: Option<Quiet>,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRule {
    /// Its condition cannot be read.
    #[error("condition: {0}")]
    Condition(ExprError),
    /// Its quiet hours cannot be read.
    #[error("quiet_hours.{0}")]
    Quiet(BadHours),
}

impl Ready {
    /// Reads a rule.
    pub(crate) fn read(rule: Rule) -> Result<Self, BadRule> {
        let test = match rule.condition.trim() {
            "" => None,
            condition => Some(Test::compile(condition, NOTICE).map_err(BadRule::Condition)?),
        };
        let quiet = rule
            .quiet_hours
            .as_ref()
            .map(Quiet::read)
            .transpose()
            .map_err(BadRule::Quiet)?;
        Ok(Self { rule, test, quiet })
    }

    /// Whether it tells of an execution at all, whatever happens to it.
    fn covers(&self, notice: &Notice) -> bool {
        let rule = &self.rule;
        let workflows = &rule.workflows;
        let label =
            |(name, wanted): (&String, &String)| notice.labels.get(name).is_some_and(|value| glob(wanted, value));
        !rule.disabled
            && rule.namespace == notice.namespace
            && (workflows.is_empty() || workflows.iter().any(|pattern| glob(pattern, &notice.workflow)))
            && rule.labels.iter().all(label)
    }

    fn judges(&self, notice: &Notice) -> bool {
        let Some(test) = &self.test else { return true };
        test.holds(&facts(notice, "")).unwrap_or_else(|error| {
            // Told once too often is better than not told.
            tracing::warn!(rule = self.rule.name, %error, "a rule's condition cannot be judged; it counts as true");
            true
        })
    }

    /// The messages about a notice.
    pub(crate) fn messages(&self, notice: &Notice, now: i64) -> Vec<NewDelivery> {
        if !self.rule.events().any(|event| event == notice.event()) || !self.covers(notice) || !self.judges(notice) {
            return Vec::new();
        }
        let window = self
            .rule
            .group_window
            .as_ref()
            .map_or(0, nexus_api::time::duration_micros);
        let (mut due_at, mut suppression) = (now.saturating_add(window), None);
        if let Some(quiet) = &self.quiet {
            match (quiet.holds, quiet.end(due_at), quiet.end(now)) {
                (true, Some(end), _) => due_at = end,
                (false, _, Some(_)) => suppression = Some(Suppression::QuietHours),
                _ => {}
            }
        }
        let message = |channel: &String| NewDelivery {
            id: id(
                &[&notice.namespace, &self.rule.name, channel, &notice.execution],
                notice.event(),
                notice.sequence,
            ),
            namespace: notice.namespace.clone(),
            rule: self.rule.name.clone(),
            channel: channel.clone(),
            notice: notice.clone(),
            due_at,
            group_until: if window > 0 { due_at } else { 0 },
            suppression,
        };
        self.rule.channels.iter().map(message).collect()
    }

    /// The watch over an execution that has started, when the rule wants one. `durations` are those of the workflow's last
    /// executions that SUCCEEDED.
    pub(crate) fn watch(&self, started: &Notice, durations: &[i64]) -> Option<Watch> {
        let wanted = self.rule.events().any(|event| event == Event::RunningLong) && self.covers(started);
        let limit = limit(self.rule.running_long.as_ref().filter(|_| wanted)?, durations)?;
        let start = nexus_api::time::micros(started.start_time.as_ref().or(started.time.as_ref())?);
        Some(Watch {
            id: id(
                &[&started.namespace, &self.rule.name, "", &started.execution],
                Event::RunningLong,
                0,
            ),
            namespace: started.namespace.clone(),
            execution: started.execution.clone(),
            rule: self.rule.name.clone(),
            due_at: start.saturating_add(limit),
            notice: Notice {
                event: Event::RunningLong.into(),
                time: Some(nexus_api::time::timestamp(start.saturating_add(limit))),
                limit: Some(nexus_api::time::duration(limit)),
                sequence: 0,
                ..started.clone()
            },
        })
    }
}

/// Executions that a median needs at least.
const FEWEST: usize = 5;

/// How long an execution may run, in microseconds.
fn limit(long: &nexus_api::notifications::v1::RunningLong, durations: &[i64]) -> Option<i64> {
    let after = long
        .after
        .as_ref()
        .map(nexus_api::time::duration_micros)
        .filter(|after| *after > 0);
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= FEWEST);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "nobody needs microseconds of it"
    )]
    let times = median
        .filter(|_| long.times_median > 0.0)
        .map(|median| (median as f64 * long.times_median) as i64);
    after.max(times)
}

/// The id of a message: follows from what it is about, so that what is read twice is one message.
fn id(parts: &[&str], event: Event, sequence: u64) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(i32::from(event).to_be_bytes());
    hash.update(sequence.to_be_bytes());
    let digits: String = hash
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("msg_{digits}")
}

#[cfg(test)]
mod tests {
    use nexus_api::notifications::v1::{QuietHours, RunningLong};

    use super::*;

    fn rule() -> Rule {
        Rule {
            name: "r".into(),
            namespace: "default".into(),
            events: vec![Event::Failed.into()],
            channels: vec!["a".into(), "b".into()],
            ..Rule::default()
        }
    }

    fn failed() -> Notice {
        Notice {
            event: Event::Failed.into(),
            namespace: "default".into(),
            workflow: "daily_orders".into(),
            execution: "0199".into(),
            labels: [("team".to_owned(), "data".to_owned())].into(),
            sequence: 9,
            ..Notice::default()
        }
    }

    fn count(rule: Rule) -> usize {
        Ready::read(rule).expect("a rule").messages(&failed(), 1_000).len()
    }

    #[test]
    fn a_rule_tells_of_what_it_names_and_of_nothing_else() {
        assert_eq!(count(rule()), 2, "a message for each channel");
        let labels = |value: &str| [("team".to_owned(), value.to_owned())].into();
        for (told, changed) in [
            (
                2,
                Rule {
                    workflows: vec!["x".into(), "daily_*".into()],
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    workflows: vec!["weekly_*".into()],
                    ..rule()
                },
            ),
            (
                2,
                Rule {
                    labels: labels("d?ta"),
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    labels: labels("ops"),
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    namespace: "other".into(),
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    events: vec![Event::Succeeded.into()],
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    disabled: true,
                    ..rule()
                },
            ),
            (
                2,
                Rule {
                    condition: "execution.labels.team == 'data'".into(),
                    ..rule()
                },
            ),
            (
                0,
                Rule {
                    condition: "error.type == 'Timeout'".into(),
                    ..rule()
                },
            ),
        ] {
            assert_eq!(count(changed.clone()), told, "{changed:?}");
        }
        assert!(
            Ready::read(Rule {
                condition: "nobody".into(),
                ..rule()
            })
            .is_err()
        );
    }

    #[test]
    fn an_id_is_the_events_for_good_and_nobody_elses() {
        let ids = |notice: &Notice| -> Vec<String> {
            let ready = Ready::read(rule()).expect("a rule");
            ready
                .messages(notice, 5)
                .into_iter()
                .map(|message| message.id)
                .collect()
        };
        let first = ids(&failed());
        assert_eq!(first, ids(&failed()));
        assert_ne!(first[0], first[1]);
        assert!(
            !ids(&Notice {
                sequence: 10,
                ..failed()
            })
            .contains(&first[0])
        );
    }

    #[test]
    fn what_is_held_comes_when_quiet_hours_end_as_one_message_where_it_is_grouped() {
        let hours = |policy| QuietHours {
            zone: "UTC".into(),
            from: "00:00".into(),
            to: "06:00".into(),
            policy,
            ..QuietHours::default()
        };
        let six = 6 * 3_600_000_000;
        let message = |rule: Rule| Ready::read(rule).expect("a rule").messages(&failed(), 1_000).remove(0);
        let held = message(Rule {
            quiet_hours: Some(hours(1)),
            ..rule()
        });
        assert_eq!((held.due_at, held.group_until, held.suppression), (six, 0, None));
        let window = Some(nexus_api::time::duration(60_000_000));
        let grouped = message(Rule {
            quiet_hours: Some(hours(1)),
            group_window: window,
            ..rule()
        });
        assert_eq!((grouped.due_at, grouped.group_until), (six, six));
        let dropped = message(Rule {
            quiet_hours: Some(hours(2)),
            ..rule()
        });
        assert_eq!(dropped.suppression, Some(Suppression::QuietHours));
        let plain = message(Rule {
            group_window: window,
            ..rule()
        });
        assert_eq!((plain.due_at, plain.group_until), (60_001_000, 60_001_000));
    }

    #[test]
    fn how_long_is_too_long_is_the_longer_of_what_is_said() {
        let long = |after, times_median| RunningLong {
            after: (after > 0).then(|| nexus_api::time::duration(after)),
            times_median,
        };
        let five = [10, 20, 30, 40, 1_000];
        assert_eq!(limit(&long(50, 0.0), &five), Some(50));
        assert_eq!(limit(&long(0, 2.0), &five), Some(60));
        assert_eq!(limit(&long(50, 2.0), &five), Some(60));
        assert_eq!(limit(&long(70, 2.0), &five), Some(70));
        assert_eq!(limit(&long(0, 2.0), &five[..4]), None, "too few to know");
    }
}

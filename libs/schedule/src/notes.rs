//! What a reader of fire times should know: how days are matched, what the clocks do, what a step leaves out.

use crate::cron::Times;
use crate::plan::Plan;
use crate::spec::{DayMatch, DstPolicy};

/// Something to know about a plan or one of its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The time that it is about; nothing when it is about all.
    pub at: Option<i64>,
    /// What is to know.
    pub text: String,
}

/// Notes of one plan at most.
const MAX_NOTES: usize = 50;

/// What is found while a specification is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    dst_policy: DstPolicy,
    day_match: DayMatch,
    texts: Vec<String>,
}

impl Facts {
    pub(crate) fn of(dst_policy: DstPolicy, day_match: DayMatch) -> Self {
        Self {
            dst_policy,
            day_match,
            texts: Vec::new(),
        }
    }

    /// Notes what is to know of an expression.
    pub(crate) fn note_cron(&mut self, text: &str, times: &Times) {
        if times.two_days {
            self.texts.push(match self.day_match {
                DayMatch::Or => format!(
                    "{text:?} fires on days that match the day of month OR the day of week, as crontab has it; for both ask \
                     for day_match and"
                ),
                DayMatch::And => {
                    format!("{text:?} fires on days that match the day of month AND the day of week, as day_match says")
                }
            });
        }
        for (field, step) in &times.uneven {
            self.texts.push(format!(
                "in {text:?} the step of {step} does not divide the field {} evenly: it begins anew each time, so the last \
                 wait is shorter",
                field.name()
            ));
        }
    }
}

impl Plan {
    /// What a reader of some of its times should know.
    #[must_use]
    pub fn notes(&self, times: &[i64]) -> Vec<Note> {
        let general = self.facts.texts.iter().map(|text| Note {
            at: None,
            text: text.clone(),
        });
        let of_time = |at: &i64| {
            let text = if self.is_moved(*at) {
                "the clocks skip the local time that is named, so it fires at the next instant that exists".to_owned()
            } else if self.is_first_of_two(*at) {
                "the clocks show this local time twice; it fires the first time only".to_owned()
            } else {
                return None;
            };
            Some(Note { at: Some(*at), text })
        };
        let adjust = self.facts.dst_policy == DstPolicy::Adjust;
        let moved = times.iter().filter(|_| adjust).filter_map(of_time);
        general.chain(moved).take(MAX_NOTES).collect()
    }
}

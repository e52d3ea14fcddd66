//! What is to know of a specification as a whole: found while it is checked, told by its notes.

use crate::cron::Times;
use crate::spec::{DayMatch, DstPolicy};

/// What is found while a specification is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) dst_policy: DstPolicy,
    day_match: DayMatch,
    pub(crate) texts: Vec<String>,
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

//! What a reader of fire times should know: how days are matched, what the clocks do, what a step leaves out.

use crate::plan::Plan;
use crate::spec::DstPolicy;

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

//! An execution under decision: what happens to it is applied at once, and what follows is gathered.

use crate::effect::Effect;
use crate::event::{Event, Fact};
use crate::execution::Execution;
use crate::planted::{Bug, planted};

/// What follows from a command.
#[derive(Debug, Default)]
pub struct Transition {
    /// What happened, already applied to the execution.
    pub events: Vec<Event>,
    /// What to bring about once the events are stored.
    pub effects: Vec<Effect>,
}

/// An execution under decision: collects events (applying each at once) and effects.
pub(crate) struct Decision<'a> {
    pub(crate) execution: &'a mut Execution,
    pub(crate) now: i64,
    pub(crate) transition: Transition,
}

impl Decision<'_> {
    /// Records a fact and applies it, unless something was refused already.
    pub(crate) fn record(&mut self, fact: Fact) {
        if self.execution.broken().is_some() {
            return;
        }
        let event = Event {
            sequence: self.execution.sequence + 1,
            at: self.now,
            fact,
        };
        match self.execution.apply(&event) {
            Ok(()) => self.transition.events.push(event),
            Err(refused) => self.execution.break_off(refused),
        }
    }

    /// Adds an effect.
    pub(crate) fn then(&mut self, effect: Effect) {
        self.transition.effects.push(effect);
    }

    /// Whether the decision is large enough; the rest is for the next one.
    pub(crate) fn is_full(&self) -> bool {
        self.transition.events.len().max(self.transition.effects.len()) >= self.execution.slice
    }

    /// Leaves the rest to the next decision.
    pub(crate) fn go_on_later(&mut self) {
        self.execution.backlog.continued = true;
        if !planted(Bug::ContinueForgotten) {
            self.then(Effect::Continue);
        }
    }
}

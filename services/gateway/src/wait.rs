//! `?wait=30s`: the answer of a call that begins something waits until that has ended. Which calls can, and whom they ask
//! then, is the one table that is not in the contracts. Pure.

use std::time::Duration;

use prost_reflect::{DynamicMessage, Value};

use crate::catalog::Operation;
use crate::json::of_text;
use crate::problem::Problem;

/// The parameter's name.
pub const PARAMETER: &str = "wait";
/// What the services wait at most.
pub const MOST: Duration = Duration::from_secs(60);

/// A method that begins something.
struct Begins {
    method: &'static str,
    /// The field of its answer that is what was begun, and the one of that which names it.
    begun: (&'static str, &'static str),
    /// The method that waits for its end, and the field of its request that takes the name.
    waits: (&'static str, &'static str),
    /// Where it can be looked at; the name follows.
    place: &'static str,
}

const BEGINS: &[Begins] = &[Begins {
    method: "nexus.execution.v1.ExecutionService.StartExecution",
    begun: ("execution", "id"),
    waits: ("WaitExecution", "execution"),
    place: "/api/v1/executions/",
}];

/// What was begun by a call.
#[derive(Debug)]
pub struct Begun {
    /// Where it can be looked at.
    pub place: String,
    /// The path of the call that waits for its end, and its request.
    pub wait: (String, DynamicMessage),
    /// The field of both answers that is what was begun.
    pub field: &'static str,
}

fn entry(operation: &Operation) -> Option<&'static Begins> {
    BEGINS
        .iter()
        .find(|begins| begins.method == operation.method.full_name())
}

/// Whether a call begins something whose end can be waited for.
#[must_use]
pub fn can(operation: &Operation) -> bool {
    entry(operation).is_some()
}

/// Reads the parameter: `30s`, `500ms`, or seconds without a unit.
///
/// # Errors
/// When it is no span, or too long.
pub fn read(texts: &[String]) -> Result<Duration, Problem> {
    let [text] = texts else {
        return Err(Problem::field(PARAMETER, "is given more than once"));
    };
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_alphabetic()).unwrap_or(text.len()));
    let seconds = match (number.parse::<f64>(), unit) {
        (Ok(number), "" | "s") if number >= 0.0 => number,
        (Ok(number), "ms") if number >= 0.0 => number / 1_000.0,
        (Ok(number), "m") if number >= 0.0 => number * 60.0,
        _ => return Err(Problem::field(PARAMETER, "is no span like 30s")),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(wait) if wait <= MOST => Ok(wait),
        _ => Err(Problem::field(
            PARAMETER,
            "is longer than 60s, the most that an answer waits",
        )),
    }
}

/// What a call has begun, by its answer.
#[must_use]
pub fn begun(operation: &Operation, answer: &DynamicMessage, wait: Duration) -> Option<Begun> {
    let begins = entry(operation)?;
    let what = answer.get_field_by_name(begins.begun.0)?;
    let name = what.as_message()?.get_field_by_name(begins.begun.1)?;
    let name = name.as_str()?.to_owned();
    let service = operation.method.parent_service();
    let method = service.methods().find(|method| method.name() == begins.waits.0)?;
    let mut request = DynamicMessage::new(method.input());
    request
        .try_set_field_by_name(begins.waits.1, Value::String(name.clone()))
        .ok()?;
    let timeout = method.input().get_field_by_name("timeout")?;
    let span = of_text(&timeout.kind(), &format!("{:.3}s", wait.as_secs_f64())).ok()?;
    request.set_field(&timeout, span);
    Some(Begun {
        place: format!("{}{name}", begins.place),
        wait: (format!("/{}/{}", service.full_name(), method.name()), request),
        field: begins.begun.0,
    })
}

/// Whether the answer of a call that waits says that the end has come.
#[must_use]
pub fn is_done(answer: &DynamicMessage) -> bool {
    let done = answer.get_field_by_name("done");
    done.and_then(|done| done.as_bool()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_up_to_the_most_that_is_waited() {
        let read = |text: &str| super::read(&[text.to_owned()]);
        assert_eq!(read("30s").expect("span"), Duration::from_secs(30));
        assert_eq!(read("0.5").expect("span"), Duration::from_millis(500));
        assert_eq!(read("250ms").expect("span"), Duration::from_millis(250));
        assert_eq!(read("1m").expect("just as long as allowed"), MOST);
        for wrong in ["", "s", "soon", "-1s", "60.001s", "1h", "1e999", "NaN"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

//! One field of a cron expression: a list of numbers, ranges, steps, names and special days.

use super::error::{CronError, Field, nearest};

/// What a field names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Its numbers, as bits.
    pub(super) numbers: u64,
    /// Whether it begins with `*` (or is `?`), and so restricts nothing as crontab has it.
    pub(super) is_star: bool,
    /// Days before the last: bit 0 is the last day itself.
    pub(super) before_last: u32,
    /// Weekdays nearest to a day.
    pub(super) nearest: u32,
    /// The last weekday.
    pub(super) last_weekday: bool,
    /// First to fifth of a day of the week.
    pub(super) nth: [u8; 7],
    /// The last of a day of the week.
    pub(super) last_of: u8,
    /// A step from `*` that does not divide the range.
    pub(super) uneven: Option<(Field, u32)>,
}

/// Reads a field.
pub(super) fn read(expression: &str, field: Field, text: &str, position: usize) -> Result<Named, CronError> {
    let mut reader = Reader {
        expression,
        field,
        position,
        named: Named {
            is_star: text.starts_with(['*', '?']),
            ..Named::default()
        },
    };
    for item in text.split(',') {
        reader.item(item)?;
        reader.position += item.chars().count() + 1;
    }
    Ok(reader.named)
}

struct Reader<'a> {
    expression: &'a str,
    field: Field,
    /// Where the item begins.
    position: usize,
    named: Named,
}

impl Reader<'_> {
    fn error(&self, problem: String, help: impl Into<String>) -> CronError {
        let help = help.into();
        CronError::new(self.expression, Some(self.field), self.position, &problem, &help)
    }

    fn item(&mut self, item: &str) -> Result<(), CronError> {
        if item.is_empty() {
            let help = "take the comma away, or write what belongs there";
            return Err(self.error("there is nothing between two commas".to_owned(), help));
        }
        if self.special(item)? {
            return Ok(());
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step, range.contains('-'))?)),
            None => (item, None),
        };
        let (least, greatest) = self.field.bounds();
        let (first, last) = match range {
            "*" => (least, greatest),
            "?" if matches!(self.field, Field::DayOfMonth | Field::DayOfWeek) && step.is_none() => (least, greatest),
            range => match range.split_once('-') {
                Some((first, last)) => self.range(first, last)?,
                None => {
                    let first = self.number(range)?;
                    (first, if step.is_some() { greatest } else { first })
                }
            },
        };
        if range == "*" {
            self.note_uneven(step);
        }
        let step = step.unwrap_or(1) as usize;
        let numbers = (first..=last)
            .step_by(step)
            .fold(0, |numbers, number| numbers | 1u64 << number);
        self.named.numbers |= numbers;
        Ok(())
    }

    fn note_uneven(&mut self, step: Option<u32>) {
        let (least, greatest) = self.field.bounds();
        let divides = |step: u32| (greatest - least + 1).is_multiple_of(step);
        if let Some(step) = step.filter(|step| !divides(*step)) {
            self.named.uneven = Some((self.field, step));
        }
    }

    /// A step. One that leaves only the first number is what somebody means otherwise, but for a range with both ends, which
    /// crontab lets have any.
    fn step(&self, text: &str, is_bounded: bool) -> Result<u32, CronError> {
        let (least, greatest) = self.field.bounds();
        let most = greatest - least + 1;
        match text.parse::<u32>() {
            Ok(step) if step > 0 && (is_bounded || step <= most) && is_digits(text) => Ok(step),
            Ok(step) if step > most => {
                let help = match self.field {
                    Field::Second => format!("for every {step} seconds write @every {step}s"),
                    Field::Minute => format!("for every {step} minutes write @every {step}m"),
                    Field::Hour => format!("for every {step} hours write @every {step}h"),
                    _ => format!("allowed are 1 to {most}"),
                };
                let name = self.field.name();
                Err(self.error(
                    format!("a step of {step} is longer than the field {name} has numbers"),
                    help,
                ))
            }
            _ => Err(self.error(
                format!("{text:?} is not a step"),
                format!("after / stands a number from 1 to {most}, such as */{}", most / 4),
            )),
        }
    }

    fn range(&self, first: &str, last: &str) -> Result<(u32, u32), CronError> {
        let (from, to) = (self.number(first)?, self.number(last)?);
        match (from <= to, self.field) {
            (true, _) => Ok((from, to)),
            // From some day to Sunday.
            (false, Field::DayOfWeek) if to == 0 => Ok((from, 7)),
            (false, field) => {
                let (least, greatest) = field.bounds();
                let greatest = if field == Field::DayOfWeek { 6 } else { greatest };
                let help = format!("to go over the end write two ranges: {from}-{greatest},{least}-{to}");
                Err(self.error(format!("the range {first}-{last} runs backwards"), help))
            }
        }
    }

    /// A number or a name.
    fn number(&self, text: &str) -> Result<u32, CronError> {
        let (least, greatest) = self.field.bounds();
        let names = self.field.names();
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(least + u32::try_from(index).unwrap_or_default());
        }
        let name = self.field.name();
        if is_digits(text) {
            return match text.parse::<u32>() {
                Ok(number) if (least..=greatest).contains(&number) => Ok(number),
                _ => {
                    let zero = match (self.field, text) {
                        (Field::Hour, "24") | (Field::Minute | Field::Second, "60") => "; did you mean 0?",
                        _ => "",
                    };
                    Err(self.error(
                        format!("{text} is not a {name}"),
                        self.field.allowed().to_owned() + zero,
                    ))
                }
            };
        }
        let near = nearest(text, names.iter().copied());
        let help = self.field.allowed().to_owned() + &near;
        match text {
            "" => Err(self.error(format!("a {name} is missing"), help)),
            _ => Err(self.error(format!("{text:?} is not a {name}"), help)),
        }
    }

    /// Days that are not numbers: `L`, `L-3`, `LW`, `15W`, `5L`, `MON#2`.
    fn special(&mut self, item: &str) -> Result<bool, CronError> {
        let upper = item.to_ascii_uppercase();
        match self.field {
            Field::DayOfMonth => self.special_day(&upper),
            Field::DayOfWeek => self.special_weekday(&upper),
            _ => Ok(false),
        }
    }

    fn special_day(&mut self, item: &str) -> Result<bool, CronError> {
        match item {
            "L" => self.named.before_last |= 1,
            "LW" | "WL" => self.named.last_weekday = true,
            item => {
                if let Some(back) = item.strip_prefix("L-") {
                    match back.parse::<u32>() {
                        Ok(back) if back <= 30 => self.named.before_last |= 1 << back,
                        _ => {
                            let problem = format!("{back:?} is not a number of days before the last one");
                            return Err(self.error(problem, "allowed are L-0 to L-30"));
                        }
                    }
                } else if let Some(day) = item.strip_suffix('W') {
                    self.named.nearest |= 1 << self.number(day)?;
                } else {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn special_weekday(&mut self, item: &str) -> Result<bool, CronError> {
        if let Some((day, nth)) = item.split_once('#') {
            let day = self.number(day)? % 7;
            match nth.parse::<u8>() {
                Ok(nth) if (1..=5).contains(&nth) => self.named.nth[day as usize] |= 1 << nth,
                _ => {
                    let problem = format!("{nth:?} is not a week of the month");
                    return Err(self.error(
                        problem,
                        "after # stands a number from 1 to 5: MON#2 is the second Monday",
                    ));
                }
            }
            return Ok(true);
        }
        match item.strip_suffix('L') {
            Some("") => Err(self.error(
                "L alone is not a day of the week".to_owned(),
                "write which day's last: 5L or FRIL is the last Friday; the last day of the month is L in the field before",
            )),
            Some(day) => {
                let day = self.number(day)? % 7;
                self.named.last_of |= 1 << day;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

//! One line of JSON for each figure, and the table that sums them up.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::limits::Limits;
use crate::stats::{Figures, number};

/// A line while it is put together.
pub(crate) struct Line(Map<String, Value>);

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

impl Line {
    pub(crate) fn new(workload: &str) -> Self {
        Self(Map::from_iter([("workload".to_owned(), json!(workload))]))
    }

    /// The measured figure: its median and its bounds over the runs.
    pub(crate) fn figure(self, unit: &str, figures: &Figures) -> Self {
        self.text("unit", unit)
            .value("n", json!(figures.count()))
            .number("median", figures.median())
            .number("min", figures.min())
            .number("max", figures.max())
    }

    /// The figure that the design aims at.
    pub(crate) fn aim(self, aim: Option<Aim>) -> Self {
        let Some(aim) = aim else { return self };
        let median = self.0.get("median").and_then(Value::as_f64).unwrap_or(0.0);
        let (bound, met) = match aim {
            Aim::AtMost(bound) => (bound, median <= bound),
            Aim::AtLeast(bound) => (bound, median >= bound),
        };
        self.number("aim", bound).value("aim_met", json!(met))
    }

    /// The least that the machine could need for it, in the figure's unit, and how many times that it was.
    pub(crate) fn floor(self, floor: f64) -> Self {
        let median = self.0.get("median").and_then(Value::as_f64).unwrap_or(0.0);
        self.number("floor", floor).number("times_floor", median / floor)
    }

    pub(crate) fn limits(self, limits: Limits) -> Self {
        self.value("limits", Value::Object(limits.to_json()))
    }

    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.value(key, json!(text))
    }

    pub(crate) fn number(self, key: &str, figure: f64) -> Self {
        self.value(key, number(figure))
    }

    pub(crate) fn value(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// The columns of the table: a heading and the key of the line.
const COLUMNS: &[(&str, &str)] = &[
    ("workload", "workload"),
    ("median", "median"),
    ("min", "min"),
    ("max", "max"),
    ("unit", "unit"),
    ("aim", "aim"),
    ("x floor", "times_floor"),
    ("cpu ms/task", "cpu_ms_per_task"),
    ("client", "client_cpu_ms_per_task"),
    ("commits/task", "commits_per_task"),
    ("rows/task", "rows_per_task"),
    ("redis/task", "redis_commands_per_task"),
    ("events/task", "events_per_task"),
    ("peak MiB", "peak_rss_mib"),
];

/// All lines as a table for people.
pub(crate) fn table(lines: &[Value]) -> String {
    let mut rows = vec![
        COLUMNS
            .iter()
            .map(|(heading, _)| (*heading).to_owned())
            .collect::<Vec<_>>(),
    ];
    rows.extend(lines.iter().filter(|line| line.get("median").is_some()).map(|line| {
        let cell = |key: &str| match line.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        COLUMNS.iter().map(|(_, key)| cell(key)).collect()
    }));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut table = String::from("\n");
    for row in &rows {
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String never fails.
            let _ = match place {
                0 => write!(table, "{cell:<width$}"),
                _ => write!(table, "  {cell:>width$}"),
            };
        }
        table.push('\n');
    }
    for line in lines {
        if let Some(Value::String(message)) = line.get("refused") {
            let _ = writeln!(
                table,
                "{}: refused: {message}",
                line["workload"].as_str().unwrap_or_default()
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_whether_its_aim_is_met() {
        let mut figures = Figures::default();
        figures.add(50.0);
        let line = Line::new("w")
            .figure("ms", &figures)
            .aim(Some(Aim::AtMost(60.0)))
            .floor(25.0)
            .done();
        assert_eq!((&line["aim_met"], &line["times_floor"]), (&json!(true), &json!(2)));
        assert!(table(&[line]).contains("w"));
    }
}

//! The rows of a result, bounded in number and size.

use serde_json::{Map, Value, json};

use crate::outcome::Failure;

/// A result as it is gathered.
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Value>,
    affected: u64,
    max_rows: u32,
    bytes_left: usize,
    max_bytes: usize,
}

impl Table {
    pub(super) fn new(max_rows: u32, max_bytes: usize) -> Self {
        Self {
            columns: Vec::new(),
            rows: Vec::new(),
            affected: 0,
            max_rows,
            bytes_left: max_bytes,
            max_bytes,
        }
    }

    /// Names the columns. A name that comes twice gets a number, since a row is an object.
    pub(super) fn name_columns<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let mut unique = name.to_owned();
            let mut number = 2;
            while self.columns.contains(&unique) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            self.columns.push(unique);
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, values: Vec<Value>) -> Result<(), Failure> {
        if self.rows.len() >= self.max_rows as usize {
            let message = format!(
                "the statement returns more than {} rows; narrow it or raise `max_rows`",
                self.max_rows
            );
            return Err(Failure::new("TooManyRows", message).final_());
        }
        let row: Map<String, Value> = self.columns.iter().cloned().zip(values).collect();
        let row = Value::Object(row);
        let size = row.to_string().len() + 1;
        let Some(left) = self.bytes_left.checked_sub(size) else {
            let message = format!("the rows are larger than the {} bytes allowed", self.max_bytes);
            return Err(Failure::new("OutputTooLarge", message).final_());
        };
        self.bytes_left = left;
        self.rows.push(row);
        Ok(())
    }

    /// Adds to the number of rows changed.
    pub(super) fn affect(&mut self, rows: u64) {
        self.affected += rows;
    }

    pub(super) fn row_count(&self) -> u64 {
        if self.columns.is_empty() {
            self.affected
        } else {
            self.rows.len() as u64
        }
    }

    pub(super) fn into_json(self) -> String {
        let count = self.row_count();
        json!({"rows": self.rows, "row_count": count, "columns": self.columns}).to_string()
    }
}

/// A float as JSON; what JSON cannot hold (NaN, infinities) as text.
pub(super) fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// Bytes as base64.
pub(super) fn bytes(value: &[u8]) -> Value {
    use base64::Engine;
    Value::String(base64::engine::general_purpose::STANDARD.encode(value))
}

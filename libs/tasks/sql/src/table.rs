//! The rows of a result, bounded in number and size.

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value;
use serde_json::value::RawValue;

use nexus_attempt::Failure;

/// How much deeper the output lies in what is stored and passed on than a cell lies in itself.
const WRAPPING: usize = 8;

/// One value of a row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Value(Value),
    /// JSON as the database wrote it: numbers keep their digits.
    Json(Box<RawValue>),
    List(Vec<Cell>),
}

impl Cell {
    pub(super) const NULL: Self = Self::Value(Value::Null);

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Value(Value::String(text.into()))
    }

    /// JSON of a database; as a text where it is none that can be stored (a number out of range, too deep).
    pub(super) fn json(text: &str) -> Self {
        let wrapped = format!("{}{text}{}", "[".repeat(WRAPPING), "]".repeat(WRAPPING));
        if serde_json::from_str::<Value>(&wrapped).is_ok()
            && let Ok(raw) = RawValue::from_string(text.trim().to_owned())
        {
            return Self::Json(raw);
        }
        Self::text(text)
    }

    /// A float; what JSON cannot hold (NaN, infinities) as text.
    pub(super) fn float(value: f64) -> Self {
        serde_json::Number::from_f64(value).map_or_else(
            || Self::text(value.to_string()),
            |number| Self::Value(Value::Number(number)),
        )
    }

    /// A float of single precision with the digits that it is written with: 0.1, not 0.10000000149011612.
    pub(super) fn single(value: f32) -> Self {
        Self::float(value.to_string().parse().unwrap_or_else(|_| value.into()))
    }

    /// Bytes as base64.
    pub(super) fn bytes(value: &[u8]) -> Self {
        use base64::Engine;
        Self::text(base64::engine::general_purpose::STANDARD.encode(value))
    }

    /// Bytes that are text; as base64 where they are none.
    pub(super) fn text_or_bytes(value: &[u8]) -> Self {
        std::str::from_utf8(value).map_or_else(|_| Self::bytes(value), Self::text)
    }
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

/// A row as an object.
struct Row<'a>(&'a [String], &'a [Cell]);

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in self.0.iter().zip(self.1) {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

/// A result as it is gathered.
pub(super) struct Table {
    columns: Vec<String>,
    /// Each as JSON text.
    rows: Vec<String>,
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
        self.columns.clear();
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

    /// Forgets the rows: another result comes in their place.
    pub(super) fn begin_again(&mut self) {
        self.rows.clear();
        self.bytes_left = self.max_bytes;
    }

    /// Adds a row.
    pub(super) fn push(&mut self, cells: &[Cell]) -> Result<(), Failure> {
        self.check_rows(0)?;
        let row = serde_json::to_string(&Row(&self.columns, cells))
            .map_err(|error| Failure::new("SqlError", format!("a row cannot be written as JSON: {error}")).final_())?;
        self.bytes_left = self
            .bytes_left
            .checked_sub(row.len() + 1)
            .ok_or_else(|| self.too_large())?;
        self.rows.push(row);
        Ok(())
    }

    /// Whether another row may follow, and so many that are held elsewhere.
    pub(super) fn check_rows(&self, held: usize) -> Result<(), Failure> {
        if self.rows.len() + held < self.max_rows as usize {
            return Ok(());
        }
        let message = format!(
            "the statement returns more than {} rows; narrow it or raise `max_rows`",
            self.max_rows
        );
        Err(Failure::new("TooManyRows", message).final_())
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    pub(super) fn too_large(&self) -> Failure {
        let message = format!("the rows are larger than the {} bytes allowed", self.max_bytes);
        Failure::new("OutputTooLarge", message).final_()
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
        let columns = Value::from(self.columns);
        format!(
            r#"{{"rows":[{}],"row_count":{count},"columns":{columns}}}"#,
            self.rows.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_digits_and_is_text_where_it_cannot_be_stored() {
        let show = |cell: Cell| serde_json::to_string(&cell).expect("json");
        assert_eq!(
            show(Cell::json("{\"n\": 340282366920938463463374607431768211455}")),
            "{\"n\": 340282366920938463463374607431768211455}"
        );
        assert_eq!(show(Cell::json("1e400")), "\"1e400\"");
        let deep = "[".repeat(125) + &"]".repeat(125);
        assert_eq!(show(Cell::json(&deep)), format!("\"{deep}\""));
        assert_eq!(show(Cell::single(0.1)), "0.1");
        assert_eq!(show(Cell::float(f64::NAN)), "\"NaN\"");
        assert_eq!(show(Cell::text_or_bytes(b"\xff")), "\"/w==\"");
    }
}

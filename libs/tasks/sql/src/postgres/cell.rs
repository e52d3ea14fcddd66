//! Postgres values as JSON, from their binary form by their type's number. What has no equal in JSON is text, exactly as
//! Postgres writes it: the server is asked for that text when the statement has run. Total: no value breaks anything.

use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Row, ValueRef};

use super::catalog::{Catalog, Known, oid};
use super::text;
use crate::table::Cell;
use nexus_attempt::Failure;

/// Values whose text the server is to be asked for: type and binary form.
pub(super) type Asked = Vec<(u32, Vec<u8>)>;

/// A value, perhaps without the texts that the server is yet to be asked for.
pub(super) enum Draft {
    Ready(Cell),
    Asked(usize),
    /// A text in a record.
    Text(String),
    List(Vec<Draft>),
    /// A row without a type of its own, which the server does not take back; each field is text.
    Record(Vec<Option<Draft>>),
}

/// Reads values, and notes which texts it needs.
pub(super) struct Reader<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) asked: Asked,
    /// Bytes of all values so far.
    pub(super) bytes: usize,
}

impl Reader<'_> {
    /// A row's values in the order of its columns.
    pub(super) fn row(&mut self, row: &PgRow) -> Result<Vec<Draft>, Failure> {
        (0..row.len())
            .map(|index| {
                self.column(row, index).ok_or_else(|| {
                    let message = format!("the value of column {} of the answer cannot be read", index + 1);
                    Failure::new("SqlError", message)
                })
            })
            .collect()
    }

    fn column(&mut self, row: &PgRow, index: usize) -> Option<Draft> {
        let raw = row.try_get_raw(index).ok()?;
        if raw.is_null() {
            return Some(Draft::Ready(Cell::NULL));
        }
        let bytes = raw.as_bytes().ok()?;
        self.bytes += bytes.len();
        if raw.format() == PgValueFormat::Text {
            return Some(Draft::Ready(Cell::text_or_bytes(bytes)));
        }
        self.value(raw.type_info().oid()?.0, bytes)
    }

    fn value(&mut self, number: u32, bytes: &[u8]) -> Option<Draft> {
        match number {
            oid::RECORD => self.record(bytes),
            oid::ANYARRAY | oid::RECORD_ARRAY => self.list(bytes),
            _ => match self.catalog.get(number) {
                Some(Known { is_enum: true, .. }) => Some(Draft::Ready(Cell::text_or_bytes(bytes))),
                Some(Known { is_array: true, .. }) => self.list(bytes),
                _ => match plain(number, bytes) {
                    Some(read) => read.map(Draft::Ready),
                    None => Some(self.ask(number, bytes)),
                },
            },
        }
    }

    fn ask(&mut self, number: u32, bytes: &[u8]) -> Draft {
        self.asked.push((number, bytes.to_vec()));
        Draft::Asked(self.asked.len() - 1)
    }

    /// An array: a list, of lists where it has more than one dimension.
    fn list(&mut self, bytes: &[u8]) -> Option<Draft> {
        let mut bytes = Bytes(bytes);
        let (dimensions, _has_nulls, element) = (bytes.number()?, bytes.number()?, bytes.number()?);
        let mut lengths = Vec::new();
        for _ in 0..dimensions {
            lengths.push(usize::try_from(bytes.number()?).ok()?);
            let _lower_bound = bytes.number()?;
        }
        if lengths.is_empty() {
            return Some(Draft::List(Vec::new()));
        }
        self.dimension(&lengths, element.cast_unsigned(), &mut bytes)
    }

    fn dimension(&mut self, lengths: &[usize], element: u32, bytes: &mut Bytes<'_>) -> Option<Draft> {
        let Some((length, inner)) = lengths.split_first() else {
            return match bytes.field()? {
                Some(value) => self.value(element, value),
                None => Some(Draft::Ready(Cell::NULL)),
            };
        };
        let items = (0..*length).map(|_| self.dimension(inner, element, bytes));
        items.collect::<Option<_>>().map(Draft::List)
    }

    fn record(&mut self, bytes: &[u8]) -> Option<Draft> {
        let mut bytes = Bytes(bytes);
        let count = bytes.number()?;
        let fields = (0..count).map(|_| {
            let number = bytes.number()?.cast_unsigned();
            Some(match bytes.field()? {
                None => None,
                Some(value) if number == oid::RECORD => Some(self.record(value)?),
                // Without a look at the server, which would not know what an `unknown` is.
                Some(value) if oid::is_text(number) => Some(Draft::Text(String::from_utf8_lossy(value).into_owned())),
                Some(value) => Some(self.ask(number, value)),
            })
        });
        fields.collect::<Option<_>>().map(Draft::Record)
    }
}

/// A value that is read here; the outer `None` for a type that is not, the inner one for bytes that make no sense.
fn plain(number: u32, bytes: &[u8]) -> Option<Option<Cell>> {
    Some(match number {
        oid::BOOL => bytes.first().map(|byte| (*byte != 0).into()),
        oid::INT2 => bytes.try_into().ok().map(|bytes| i16::from_be_bytes(bytes).into()),
        oid::INT4 => bytes.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).into()),
        oid::INT8 => bytes.try_into().ok().map(|bytes| i64::from_be_bytes(bytes).into()),
        oid::OID => bytes.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).into()),
        oid::FLOAT4 => bytes
            .try_into()
            .ok()
            .map(|bytes| Cell::single(f32::from_be_bytes(bytes))),
        oid::FLOAT8 => bytes
            .try_into()
            .ok()
            .map(|bytes| Cell::float(f64::from_be_bytes(bytes))),
        oid::NUMERIC => text::numeric(bytes).map(Cell::text),
        oid::DATE => int4(bytes).map(|days| Cell::text(text::date(days))),
        oid::TIME => int8(bytes).map(|micros| Cell::text(text::time(micros))),
        oid::TIMESTAMP => int8(bytes).map(|micros| Cell::text(text::timestamp(micros, ""))),
        oid::TIMESTAMPTZ => int8(bytes).map(|micros| Cell::text(text::timestamp(micros, "Z"))),
        oid::UUID => sqlx::types::Uuid::from_slice(bytes)
            .ok()
            .map(|id| Cell::text(id.to_string())),
        oid::BYTEA => Some(Cell::bytes(bytes)),
        oid::JSON => Some(std::str::from_utf8(bytes).map_or_else(|_| Cell::bytes(bytes), Cell::json)),
        oid::JSONB => bytes
            .strip_prefix(&[1])
            .and_then(|text| std::str::from_utf8(text).ok())
            .map(Cell::json),
        // `select pg_sleep(1)` and calls of procedures.
        oid::VOID => Some(Cell::NULL),
        _ if oid::is_text(number) => Some(Cell::text_or_bytes(bytes)),
        _ => return None,
    })
}

fn int4(bytes: &[u8]) -> Option<i32> {
    bytes.try_into().ok().map(i32::from_be_bytes)
}

fn int8(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

/// Bytes that are read from their beginning.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn number(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// A value with its length in front; the inner `None` is null.
    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        let Ok(length) = usize::try_from(self.number()?) else {
            return Some(None);
        };
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(value))
    }
}

impl Draft {
    /// The value with the texts that the server has told.
    pub(super) fn finish(self, texts: &[String]) -> Cell {
        match self {
            Self::Ready(cell) => cell,
            Self::List(items) => Cell::List(items.into_iter().map(|item| item.finish(texts)).collect()),
            asked => Cell::text(asked.text(texts)),
        }
    }

    fn text(&self, texts: &[String]) -> String {
        match self {
            Self::Asked(at) => texts.get(*at).cloned().unwrap_or_default(),
            Self::Text(text) => text.clone(),
            Self::Record(fields) => {
                let fields = fields.iter().map(|field| {
                    field
                        .as_ref()
                        .map_or_else(String::new, |field| quoted(&field.text(texts)))
                });
                format!("({})", fields.collect::<Vec<_>>().join(","))
            }
            // No field of a record is anything else.
            Self::Ready(_) | Self::List(_) => String::new(),
        }
    }
}

/// A field as Postgres writes it in a row's text.
fn quoted(field: &str) -> String {
    let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace();
    if field.is_empty() || field.contains(special) {
        format!("\"{}\"", field.replace('\\', "\\\\").replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

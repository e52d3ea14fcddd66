//! What the server says about types, asked after a statement was prepared and before it runs.

use std::collections::{BTreeSet, HashMap};

use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgConnection, PgTypeInfo};
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Row, Type};

/// The numbers of the types that are read and written here; they are the same on every server.
pub(super) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const RECORD: u32 = 2249;
    pub(crate) const ANYARRAY: u32 = 2277;
    pub(crate) const VOID: u32 = 2278;
    pub(crate) const RECORD_ARRAY: u32 = 2287;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;

    /// name, text, pg_node_tree, unknown, bpchar, varchar, cstring: their binary form is their text.
    pub(crate) fn is_text(number: u32) -> bool {
        matches!(number, 19 | 25 | 194 | 705 | 1042 | 1043 | 2275)
    }

    /// Types that need no look into the catalog.
    pub(crate) fn is_plain(number: u32) -> bool {
        matches!(
            number,
            BOOL | BYTEA
                | INT8
                | INT2
                | INT4
                | OID
                | JSON
                | FLOAT4
                | FLOAT8
                | DATE
                | TIME
                | TIMESTAMP
                | TIMESTAMPTZ
                | NUMERIC
                | RECORD
                | ANYARRAY
                | VOID
                | RECORD_ARRAY
                | UUID
                | JSONB
        ) || is_text(number)
    }
}

/// Statistics, whose binary form the server gives and does not take back.
const ONE_WAY: &str = "32, 3361, 3402, 4600, 4601, 5017";

/// A type of the server.
pub(super) struct Known {
    /// As it stands in SQL: with its schema, and quoted where it has to be.
    pub(super) name: String,
    /// As people write it.
    pub(super) shown: String,
    pub(super) is_enum: bool,
    pub(super) is_array: bool,
    /// False for a type that does not travel to a client and back.
    pub(super) travels: bool,
}

/// The types that a statement uses and that are not plain ones.
#[derive(Default)]
pub(super) struct Catalog(HashMap<u32, Known>);

impl Catalog {
    pub(super) fn get(&self, number: u32) -> Option<&Known> {
        self.0.get(&number)
    }

    /// Looks types up.
    pub(super) async fn of(connection: &mut PgConnection, numbers: BTreeSet<u32>) -> Result<Self, sqlx::Error> {
        if numbers.is_empty() {
            return Ok(Self::default());
        }
        let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let sql = format!(
            "select t.oid, pg_catalog.format('%I.%I', n.nspname, t.typname), pg_catalog.format_type(t.oid, null), \
             t.typtype = 'e', t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc, \
             t.typsend::pg_catalog.oid <> 0 and t.typreceive::pg_catalog.oid <> 0 and t.oid not in ({ONE_WAY}) \
             and (e.oid is null or (e.typsend::pg_catalog.oid <> 0 and e.typreceive::pg_catalog.oid <> 0)) \
             from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace \
             left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A' \
             where t.oid in ({})",
            list.join(", ")
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(connection)
            .await?;
        let known = rows.iter().map(|row| {
            let known = Known {
                name: row.try_get(1)?,
                shown: row.try_get(2)?,
                is_enum: row.try_get(3)?,
                is_array: row.try_get(4)?,
                travels: row.try_get(5)?,
            };
            Ok((row.try_get::<Oid, _>(0)?.0, known))
        });
        known.collect::<Result<_, sqlx::Error>>().map(Self)
    }
}

/// A value in the binary form of a type.
pub(super) struct Binary {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
}

impl Type<Postgres> for Binary {
    fn type_info() -> PgTypeInfo {
        // Each value says its own: see `produces`.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Binary {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(sqlx::encode::IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.number)))
    }
}

/// Most values of one question.
const QUESTION: usize = 500;

/// The texts of values, as Postgres writes them.
pub(super) async fn texts(
    connection: &mut PgConnection,
    values: Vec<(u32, Vec<u8>)>,
) -> Result<Vec<String>, sqlx::error::BoxDynError> {
    let mut texts = Vec::with_capacity(values.len());
    let mut values = values.into_iter().peekable();
    while values.peek().is_some() {
        let mut arguments = PgArguments::default();
        let mut wanted = Vec::new();
        for (number, bytes) in values.by_ref().take(QUESTION) {
            arguments.add(Binary { number, bytes })?;
            // `format` writes what the type's output function does; a cast to text may be another function.
            wanted.push(format!("pg_catalog.format('%s', ${})", wanted.len() + 1));
        }
        let sql = format!("select array[{}]", wanted.join(", "));
        let told: Vec<String> = sqlx::query_scalar_with(AssertSqlSafe(sql), arguments)
            .persistent(false)
            .fetch_one(&mut *connection)
            .await?;
        texts.extend(told);
    }
    Ok(texts)
}

//! Runs one SQL statement over a connection of its own, which is closed afterwards.
//!
//! Decisions: parameters are bound with the type that the server infers (Postgres) or that the JSON value has (MySQL,
//! SQLite); lists and objects go as JSON. `numeric`/`decimal` come back as text, since a JSON number would lose digits;
//! bytes as base64; times in ISO 8601; what has no equal in JSON as the text that the database writes. `row_count` is
//! the number of rows returned, or affected when none can be. A statement that has run is never run again because of
//! its answer: see [`failure`]. An address in the task's own `url` must be public, and cannot be a SQLite file, unless the operator allows private
//! addresses; a named connection is the operator's choice and is not restricted.

#![expect(
    clippy::result_large_err,
    reason = "a failure ends its attempt: it is made once and never on a hot path"
)]

mod answer;
mod failure;
mod mysql;
mod postgres;
mod sqlite;
mod statement;
mod table;

use std::time::Instant;

use indexmap::IndexMap;
use nexus_attempt::{Failure, Redactor, RunContext, SecretStore};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use nexus_attempt::address::is_public;
use statement::Dialect;
use table::Table;

/// What the file says, every expression evaluated.
#[derive(Debug, Deserialize)]
pub struct Fields {
    pub(crate) connection: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) statement: String,
    #[serde(default)]
    pub(crate) bind: IndexMap<String, Value>,
    pub(crate) max_rows: Option<u32>,
}

/// Which databases may be reached, and how much they may answer.
#[derive(Debug, Clone, Copy)]
pub struct Databases<'a> {
    /// Where connections are looked up by name.
    pub secrets: &'a SecretStore,
    /// True when a task's own `url` may name a private address or a file.
    pub allow_private: bool,
    /// Largest output in bytes of JSON.
    pub max_output_bytes: usize,
}

const DEFAULT_MAX_ROWS: u32 = 1_000;

/// Runs the statement and gives its rows as JSON text.
///
/// # Errors
/// Why there are no rows that can be stored.
pub async fn run(fields: Fields, ctx: &RunContext, options: &Databases<'_>) -> Result<String, Failure> {
    let (address, named) = match (&fields.connection, &fields.url) {
        (Some(name), None) => (options.secrets.connection(name)?, true),
        (None, Some(url)) => (url.clone(), false),
        _ => return Err(Failure::invalid("exactly one of `connection` and `url` must be set")),
    };
    let dialect = Dialect::of(&address).ok_or_else(|| {
        Failure::new(
            "InvalidUrl",
            "the database's address must start with postgres://, mysql:// or sqlite:",
        )
        .final_()
    })?;
    if !named && !options.allow_private {
        check(&address, dialect).await?;
    }
    // A named connection's password is not among the attempt's secrets, and no driver may show it.
    let hidden = Redactor::new(password_of(&address));
    let statement = statement::translate(dialect, &fields.statement, &fields.bind)?;
    let table = Table::new(fields.max_rows.unwrap_or(DEFAULT_MAX_ROWS), options.max_output_bytes);
    let started = Instant::now();
    let done = match dialect {
        Dialect::Postgres => postgres::run(&address, statement, table, ctx).await,
        Dialect::MySql => mysql::run(&address, statement, table, ctx).await,
        Dialect::Sqlite => sqlite::run(&address, statement, table, ctx).await,
    };
    let table = done.map_err(|failure| failure.sealed(&hidden))?;
    let line = format!("{} rows after {} ms", table.row_count(), started.elapsed().as_millis());
    ctx.logs.system(&ctx.redactor, &line).await;
    Ok(table.into_json())
}

fn password_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let password = url.password()?;
    let decoded: String = url::form_urlencoded::parse(format!("p={}", password.replace('+', "%2B")).as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect();
    Some(decoded)
}

/// Refuses an address that a task named and that is not public.
async fn check(address: &str, dialect: Dialect) -> Result<(), Failure> {
    let refused = |what: &str| {
        let message = format!("{what}; private addresses are refused on this worker (a named connection is not)");
        Failure::new("AddressRefused", message).final_()
    };
    if dialect == Dialect::Sqlite {
        return Err(refused("a SQLite file is on the worker itself"));
    }
    let url = Url::parse(address)
        .map_err(|_| Failure::new("InvalidUrl", "the database's address cannot be read").final_())?;
    // Both drivers know ways to name the host outside the address's host part.
    if url
        .query_pairs()
        .any(|(key, _)| matches!(key.as_ref(), "host" | "hostaddr" | "socket" | "port"))
    {
        return Err(refused("the database's host must stand in the address itself"));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(refused("the database's address has no host"));
    };
    let host = host.trim_matches(['[', ']']);
    let port = url.port().unwrap_or(5432);
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| Failure::new("SqlConnect", format!("{host} cannot be resolved: {error}")))?;
    let mut any = false;
    for address in found {
        any = true;
        if !is_public(address.ip()) {
            return Err(refused(&format!("{host} is not a public address")));
        }
    }
    if any {
        Ok(())
    } else {
        Err(refused(&format!("{host} has no address")))
    }
}

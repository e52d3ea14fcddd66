//! stdout: lines for people, JSON and YAML for programs. A reader that goes away ends the command quietly.

use std::io::{ErrorKind, Write};

use prost::Message;
use serde_json::Value;

use super::args::Format;
use super::error::CliError;

/// Where data goes.
pub struct Output {
    format: Format,
}

impl Output {
    /// In this form.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// The form.
    pub fn format(&self) -> Format {
        self.format
    }

    /// True when people read it.
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Text as it is.
    #[expect(clippy::unused_self, reason = "one way to stdout for every command")]
    pub fn raw(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(CliError::Closed),
            Err(error) => Err(CliError::Other(format!("cannot write to stdout: {error}"))),
        }
    }

    /// One line.
    pub fn line(&self, text: &str) -> Result<(), CliError> {
        self.raw(&format!("{text}\n"))
    }

    /// A value in the form asked for.
    pub fn value(&self, value: &Value) -> Result<(), CliError> {
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(value).map_err(|error| CliError::Other(error.to_string()))?,
            Format::Json | Format::Table => format!("{value:#}"),
        };
        self.line(text.trim_end())
    }

    /// A message in the form asked for.
    pub fn message<M: Message>(&self, message: &M, full_name: &str) -> Result<(), CliError> {
        self.value(&json(message, full_name)?)
    }
}

/// A message as the JSON that the API shows.
pub fn json<M: Message>(message: &M, full_name: &str) -> Result<Value, CliError> {
    nexus_api::json::to_json(message, full_name, true).map_err(|error| CliError::Other(error.to_string()))
}

/// A page of messages: the items under their name, and the token of the next page.
pub fn page<M: Message>(name: &str, items: &[M], full_name: &str, token: &str) -> Result<Value, CliError> {
    let items = items
        .iter()
        .map(|item| json(item, full_name))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(serde_json::json!({name: items, "next_page_token": token}))
}

/// Says how to go on where a list stops.
pub fn more(token: &str) {
    if !token.is_empty() {
        eprintln!("there are more: --page-token {token}");
    }
}

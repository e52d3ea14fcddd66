//! What can be typed with every command.

use clap::{Args, ValueEnum};
use nexus_api::Namespace;
use secrecy::SecretString;

/// Where help shows what every command takes.
const EVERYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Address of the server, else NEXUS_ADDRESS, else the context's, else http://127.0.0.1:7070; of a mesh without a
    /// common one, that of its execution service. A host with several addresses, or several URLs with commas, are
    /// balanced over
    #[arg(long, visible_alias = "server", global = true, help_heading = EVERYWHERE, value_name = "URL")]
    pub address: Option<String>,
    /// Address of the definitions service, where it is another one; else NEXUS_DEFINITIONS_ADDRESS, else the context's
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL")]
    pub definitions_address: Option<String>,
    /// The namespace that the command is about, else NEXUS_NAMESPACE, else the context's, else `default`. `nexus dev` takes
    /// several: its folder is of the first, and its worker serves all
    #[arg(long = "namespace", global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub namespaces: Vec<Namespace>,
    /// The context whose server, namespace and credential hold where nothing else is said; else NEXUS_CONTEXT, else the one
    /// of `nexus context use`
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub context: Option<String>,
    /// An API key; NEXUS_API_KEY does not show it to whoever lists processes
    #[arg(long = "key", global = true, help_heading = EVERYWHERE, value_name = "KEY", value_parser = secret)]
    pub api_key: Option<SecretString>,
    /// Form of the data on stdout
    #[arg(short, long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// Takes what was typed without ever showing it.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap asks for")]
pub fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.to_owned()))
}

/// Form of the data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// The message of the API as JSON
    Json,
    /// The same as YAML
    Yaml,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub struct Page {
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub limit: i32,
    /// Go on where an earlier list stopped
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    pub page_token: String,
}

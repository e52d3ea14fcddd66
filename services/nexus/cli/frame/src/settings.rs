//! What holds for a command, and where each value comes from: a flag, else the environment, else the context, else the
//! default. Pure: what stands in the environment and in the files is a parameter.

pub mod contexts;
pub mod folder;

use std::fmt;
use std::path::PathBuf;

use nexus_api::Namespace;
use secrecy::{ExposeSecret, SecretString};

use crate::args::Global;
use crate::error::CliError;
use crate::namespace;
use contexts::{Context, Contexts, DEFAULT};

/// The server when none is named: that of `nexus dev`.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7070";
/// Holds an API key.
pub const KEY_VARIABLE: &str = "NEXUS_API_KEY";

/// Looks a variable up; an empty one is none.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks into the process's own environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by its name.
    Flag(&'static str),
    /// A variable of the environment, by its name.
    Variable(&'static str),
    /// The context that holds.
    Context,
    /// `nexus context use`.
    Used,
    /// Nothing says anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag(name) | Self::Variable(name) => name,
            Self::Context => "context",
            Self::Used => "nexus context use",
            Self::Default => "default",
        })
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// What the credential is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// It was given with the command.
    Given(SecretString),
    /// It stands in a file that the context names.
    File(PathBuf),
    /// It is what `nexus login` left for the context, if anything.
    Kept,
}

/// What holds for a command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The context's name.
    pub context: Sourced<String>,
    /// The context itself; an empty one when the default is not written down.
    pub written: Context,
    /// Address of the server.
    pub address: Sourced<String>,
    /// Address of the definitions service, where it is another one.
    pub definitions_address: Sourced<Option<String>>,
    /// The namespace that the command is about.
    pub namespace: Sourced<Namespace>,
    /// Roots that the server's certificate is verified with.
    pub ca: Sourced<Option<PathBuf>>,
    /// A certificate for servers that ask for one.
    pub client_cert: Sourced<Option<PathBuf>>,
    /// Its key.
    pub client_key: Sourced<Option<PathBuf>>,
    /// The name that the server's certificate must have.
    pub tls_server_name: Sourced<Option<String>>,
    /// What proves who calls.
    pub credential: Sourced<Credential>,
}

impl Settings {
    /// Puts the layers over each other.
    pub fn resolve(global: &Global, variable: Variables<'_>, contexts: &Contexts) -> Result<Self, CliError> {
        let context = name(global, variable, contexts);
        let written = find(contexts, &context)?;
        let layers = Layers {
            variable,
            written: &written,
        };
        let address = layers.text(
            global.address.clone().map(|value| (value, "--address")),
            "NEXUS_ADDRESS",
            |context| context.server.clone(),
        );
        let address = Sourced {
            value: address.value.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
            origin: address.origin,
        };
        let nothing = Context::default();
        let ways = Layers {
            variable,
            written: match is_of(&written, &address.value) {
                true => &written,
                false => &nothing,
            },
        };
        let definitions_address = ways.text(
            global
                .definitions_address
                .clone()
                .map(|value| (value, "--definitions-address")),
            "NEXUS_DEFINITIONS_ADDRESS",
            |context| context.definitions_server.clone(),
        );
        let (client_cert, client_key) = ways.certificate();
        Ok(Self {
            address,
            definitions_address,
            namespace: namespace_of(global, &layers, &context.value)?,
            ca: ways.path("NEXUS_TLS__CA", |context| context.ca.clone()),
            client_cert,
            client_key,
            tls_server_name: ways.text(None, "NEXUS_TLS__SERVER_NAME", |context| {
                context.tls_server_name.clone()
            }),
            credential: credential(global, variable, &written)?,
            context,
            written,
        })
    }
}

/// Whether an address is of the context's system. If not, the context's certificates and its definitions service are not
/// for it.
fn is_of(written: &Context, address: &str) -> bool {
    let own = contexts::servers(written.server.as_deref().unwrap_or(DEFAULT_ADDRESS));
    contexts::servers(address).is_subset(&own)
}

fn name(global: &Global, variable: Variables<'_>, contexts: &Contexts) -> Sourced<String> {
    let sourced = |value: String, origin| Sourced { value, origin };
    if let Some(name) = &global.context {
        return sourced(name.clone(), Origin::Flag("--context"));
    }
    if let Some(name) = variable("NEXUS_CONTEXT") {
        return sourced(name, Origin::Variable("NEXUS_CONTEXT"));
    }
    match &contexts.current {
        Some(name) => sourced(name.clone(), Origin::Used),
        None => sourced(DEFAULT.to_owned(), Origin::Default),
    }
}

fn find(contexts: &Contexts, named: &Sourced<String>) -> Result<Context, CliError> {
    match contexts.contexts.get(&named.value) {
        Some(context) => Ok(context.clone()),
        None if named.value == DEFAULT => Ok(Context::default()),
        None => Err(unknown(&named.value, contexts)),
    }
}

/// There is no such context.
pub fn unknown(name: &str, contexts: &Contexts) -> CliError {
    let known: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
    let known = match known.is_empty() {
        true => "there are none yet".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    CliError::Usage(format!(
        "there is no context {name}; {known}; `nexus context set NAME --server URL` makes one"
    ))
}

fn namespace_of(global: &Global, layers: &Layers<'_>, context: &str) -> Result<Sourced<Namespace>, CliError> {
    if !global.namespaces.is_empty() {
        return Ok(Sourced {
            value: namespace::one(&global.namespaces)?,
            origin: Origin::Flag("--namespace"),
        });
    }
    if let Some(text) = (layers.variable)(namespace::VARIABLE) {
        return Ok(Sourced {
            value: namespace::one(&namespace::read(&text)?)?,
            origin: Origin::Variable(namespace::VARIABLE),
        });
    }
    let Some(text) = &layers.written.namespace else {
        return Ok(Sourced {
            value: Namespace::default(),
            origin: Origin::Default,
        });
    };
    let value = text.parse();
    Ok(Sourced {
        value: value.map_err(|error| CliError::Usage(format!("context {context}: {error}")))?,
        origin: Origin::Context,
    })
}

fn credential(global: &Global, variable: Variables<'_>, written: &Context) -> Result<Sourced<Credential>, CliError> {
    let sourced = |value, origin| Ok(Sourced { value, origin });
    if let Some(key) = &global.api_key {
        if key.expose_secret().is_empty() {
            return Err(CliError::Usage("the key of --key is empty".to_owned()));
        }
        return sourced(Credential::Given(key.clone()), Origin::Flag("--key"));
    }
    if let Some(key) = variable(KEY_VARIABLE) {
        return sourced(
            Credential::Given(SecretString::from(key)),
            Origin::Variable(KEY_VARIABLE),
        );
    }
    match &written.credential_file {
        Some(path) => sourced(Credential::File(path.clone()), Origin::Context),
        None => sourced(Credential::Kept, Origin::Context),
    }
}

/// The environment over the context.
struct Layers<'a> {
    variable: Variables<'a>,
    written: &'a Context,
}

impl Layers<'_> {
    fn text(
        &self,
        flag: Option<(String, &'static str)>,
        variable: &'static str,
        context: fn(&Context) -> Option<String>,
    ) -> Sourced<Option<String>> {
        let flag = flag.map(|(value, name)| (value, Origin::Flag(name)));
        let found = flag
            .or_else(|| (self.variable)(variable).map(|value| (value, Origin::Variable(variable))))
            .or_else(|| context(self.written).map(|value| (value, Origin::Context)));
        match found {
            Some((value, origin)) => Sourced {
                value: Some(value),
                origin,
            },
            None => Sourced {
                value: None,
                origin: Origin::Default,
            },
        }
    }

    fn path(&self, variable: &'static str, context: fn(&Context) -> Option<PathBuf>) -> Sourced<Option<PathBuf>> {
        let set = (self.variable)(variable).map(|value| (PathBuf::from(value), Origin::Variable(variable)));
        let found = set.or_else(|| context(self.written).map(|value| (value, Origin::Context)));
        match found {
            Some((value, origin)) => Sourced {
                value: Some(value),
                origin,
            },
            None => Sourced {
                value: None,
                origin: Origin::Default,
            },
        }
    }

    /// The certificate and its key, of one origin: one from here and one from there would not belong together.
    fn certificate(&self) -> (Sourced<Option<PathBuf>>, Sourced<Option<PathBuf>>) {
        let none: fn(&Context) -> Option<PathBuf> = |_| None;
        let (cert, key) = ("NEXUS_TLS__CERT", "NEXUS_TLS__KEY");
        if (self.variable)(cert).is_some() || (self.variable)(key).is_some() {
            return (self.path(cert, none), self.path(key, none));
        }
        let cert = self.path(cert, |context| context.client_cert.clone());
        (cert, self.path(key, |context| context.client_key.clone()))
    }
}

#[cfg(test)]
mod tests;

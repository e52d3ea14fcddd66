//! What `nexus context` can be told.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Contexts {
    /// List contexts
    List,
    /// Let a context hold from now on
    Use {
        /// Its name
        name: String,
    },
    /// Make a context, or change one: its server (--server), its namespace (--namespace) and what stands here
    Set(SetContext),
    /// Show what holds, and where each value comes from
    Show {
        /// Of this context, instead of the one that holds
        name: Option<String>,
    },
    /// Delete a context and its credential
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct SetContext {
    /// Its name
    pub name: String,
    /// A file that holds the credential, instead of the one that `nexus login` keeps
    #[arg(long, value_name = "FILE")]
    pub credential_file: Option<PathBuf>,
    /// Roots that the server's certificate is verified with (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A certificate for servers that ask for one (PEM)
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not that of the address
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Take a value out again; may be repeated
    #[arg(long, value_enum, value_name = "VALUE")]
    pub unset: Vec<ContextValue>,
}

/// A value of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContextValue {
    Server,
    DefinitionsAddress,
    Namespace,
    CredentialFile,
    Ca,
    ClientCert,
    ClientKey,
    TlsServerName,
}

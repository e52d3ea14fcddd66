//! The configuration of `nexus serve`: what can be set ([`Config`], [`keys`]), where values come from ([`layers`]),
//! what is wrong with them ([`error`]) and how it is shown ([`show`]).
//!
//! Each layer lies over the one before: defaults, a TOML file, the environment, flags.

mod defaults;
#[cfg(test)]
mod deploy;
mod error;
mod key;
pub(crate) mod keys;
mod layers;
mod origin;
mod show;
mod table;
mod types;
mod values;

use std::path::PathBuf;

pub(crate) use error::ConfigError;
use layers::Sources;
pub(crate) use layers::{Effective, missing};
pub(crate) use show::toml;
pub(crate) use types::{AuthMode, Config, LogFormat, RoleName, Secret};
pub(crate) use values::bounded_span;

/// Flags that say where the configuration comes from, for every command that reads it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; else NEXUS_CONFIG, else ./nexus.toml, else /etc/nexus/nexus.toml, where there is one
    #[arg(long, value_name = "FILE", env = "NEXUS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, such as database.max_connections=20; may be repeated; `nexus config` shows all keys
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Roles of this process: access, definitions, execution, scheduling, worker, notifications, gateway
    #[arg(long, value_name = "ROLE,…")]
    pub(crate) roles: Option<String>,
    /// Address for gRPC, health and reflection, and with the role gateway for REST
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Address at which other replicas reach this one
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<String>,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<String>,
    /// Which log lines are written, such as `info` or `nexus_execution=debug`
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// What `--namespace` says, which every command takes.
    #[arg(skip)]
    pub(crate) namespace: Option<String>,
}

impl ConfigArgs {
    /// Reads all layers.
    pub(crate) fn load(&self) -> Result<Effective, ConfigError> {
        Effective::load(&Sources {
            file: self.config.clone(),
            env: crate::sealed::variables().collect(),
            flags: self.flags()?,
        })
    }

    /// The flags as keys, values and how the flag is called; a `--set` lies over a named flag.
    fn flags(&self) -> Result<Vec<(String, String, String)>, ConfigError> {
        let named = [
            ("roles", "--roles", &self.roles),
            ("listen", "--listen", &self.listen),
            ("advertise", "--advertise", &self.advertise),
            ("metrics.listen", "--metrics-listen", &self.metrics_listen),
            ("log.filter", "--log", &self.log),
            ("worker.namespace", "--namespace", &self.namespace),
        ];
        let mut flags: Vec<_> = named
            .into_iter()
            .filter_map(|(key, flag, value)| Some((key.to_owned(), value.clone()?, flag.to_owned())))
            .collect();
        for set in self.set.iter().chain(crate::sealed::settings()) {
            let Some((key, value)) = set.split_once('=') else {
                return Err(ConfigError::Set(set.clone()));
            };
            flags.push((key.trim().to_owned(), value.to_owned(), format!("--set {}", key.trim())));
        }
        Ok(flags)
    }
}

//! Layers: defaults, file, environment, flags. Each value remembers where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::error::ConfigError;
use super::keys::{self, KEYS, Key, Kind};
use super::origin::Origin;
use super::types::{Config, RoleName};
use super::values;

/// What every variable begins with.
const PREFIX: &str = "NEXUS_";
/// Variables with names that users choose.
const FREE: &[&str] = &["SECRET_", "CONNECTION_"];
/// The variable that says for every command which namespace it is about.
const NAMESPACE: &str = "NAMESPACE";
/// Where a file is looked for when none is named.
const PLACES: &[&str] = &["nexus.toml", "/etc/nexus/nexus.toml"];

/// What layers are made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file that was named; a usual place is looked at when none was.
    pub(crate) file: Option<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    /// Keys, values, and how the flag is called.
    pub(crate) flags: Vec<(String, String, String)>,
}

/// The configuration that holds, and where each value came from.
#[derive(Debug, Clone)]
pub(crate) struct Effective {
    pub(crate) config: Config,
    /// Values by key, secrets as they are; keys without a value are absent.
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Effective {
    /// Lays the layers over each other.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut values = defaults()?;
        if let Some((path, table)) = read_file(sources.file.as_deref())? {
            flatten(&table, "", &Origin::File(path), &mut values)?;
        }
        for (name, text) in &sources.env {
            if let Some(key) = key_of_variable(name)? {
                lay_text(key, text, Origin::Env(name.clone()), &mut values)?;
            }
        }
        for (name, text, flag) in &sources.flags {
            let origin = Origin::Flag(flag.clone());
            let key = keys::find(name).ok_or_else(|| unknown(name, origin.clone()))?;
            lay_text(key, text, origin, &mut values)?;
        }
        let config = assemble(&values)?;
        let effective = Self { config, values };
        effective.check()?;
        Ok(effective)
    }

    /// A configuration that the program made itself, as `nexus dev` does: nobody's file or environment is looked at.
    pub(crate) fn made(config: Config) -> Result<Self, ConfigError> {
        let table = Table::try_from(&config).map_err(|error| ConfigError::Internal(error.to_string()))?;
        let mut values = Values::new();
        flatten(&table, "", &Origin::Default, &mut values)?;
        Ok(Self { config, values })
    }

    /// A key's value as it may be shown, and where it came from; none when it is not set.
    pub(crate) fn shown(&self, key: &Key) -> Option<(Value, &Origin)> {
        let (value, origin) = self.values.get(key.name)?;
        let value = match key.kind {
            Kind::Secret => Value::String(super::types::HIDDEN.to_owned()),
            _ => value.clone(),
        };
        Some((value, origin))
    }

    /// An error about a key's value.
    pub(crate) fn wrong(&self, key: &'static str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key,
            origin: self
                .values
                .get(key)
                .map_or(Origin::Default, |(_, origin)| origin.clone()),
            problem: problem.into(),
        }
    }

    /// What single values cannot tell.
    fn check(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        for (key, address) in [
            ("access.address", &config.access.address),
            ("definitions.address", &config.definitions.address),
            ("execution.address", &config.execution.address),
            ("scheduling.address", &config.scheduling.address),
            ("notifications.address", &config.notifications.address),
            ("notifications.public_url", &config.notifications.public_url),
            ("advertise", &config.advertise),
            ("otlp.endpoint", &config.otlp.endpoint),
        ] {
            if let Some(address) = address {
                nexus_mesh::transport::check(address).map_err(|error| self.wrong(key, format!("is wrong: {error}")))?;
            }
        }
        if let Err(error) = config.worker.namespace.parse::<nexus_api::Namespace>() {
            return Err(self.wrong("worker.namespace", format!("is wrong: {error}")));
        }
        let speaks = |url: &Option<super::types::Secret>, schemes: &[&str]| {
            let scheme = |url: &super::types::Secret| {
                let (scheme, _) = url.expose().split_once("://").unwrap_or_default();
                schemes.contains(&scheme)
            };
            url.as_ref().is_none_or(scheme)
        };
        if !speaks(&config.database.url, &["postgres", "postgresql"]) {
            let wrong = "must begin with postgres:// (NEXUS keeps its state in Postgres and nowhere else)";
            return Err(self.wrong("database.url", wrong));
        }
        if !speaks(&config.redis.url, &["redis", "rediss", "redis+unix", "unix"]) {
            return Err(self.wrong("redis.url", "must begin with redis://, or rediss:// for TLS"));
        }
        Ok(())
    }

    /// What `nexus serve` needs for its roles.
    pub(crate) fn check_roles(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        let has = |role: RoleName| config.roles.contains(&role);
        let needs = [
            ("roles", !config.roles.is_empty(), "a process needs something to do"),
            (
                "database.url",
                config.database.url.is_some()
                    || ![
                        RoleName::Access,
                        RoleName::Definitions,
                        RoleName::Execution,
                        RoleName::Scheduling,
                        RoleName::Notifications,
                    ]
                    .map(has)
                    .contains(&true),
                "the roles access, definitions, execution, scheduling and notifications keep their state there",
            ),
            (
                "redis.url",
                config.redis.url.is_some() || !has(RoleName::Execution),
                "the role execution offers tasks there",
            ),
            (
                "definitions.address",
                config.definitions.address.is_some()
                    || has(RoleName::Definitions)
                    || !(has(RoleName::Execution) || has(RoleName::Notifications) || has(RoleName::Gateway)),
                "the roles execution, notifications and gateway reach it there, unless definitions is a role of the same process",
            ),
            (
                "execution.address",
                config.execution.address.is_some()
                    || has(RoleName::Execution)
                    || ![
                        RoleName::Worker,
                        RoleName::Gateway,
                        RoleName::Scheduling,
                        RoleName::Notifications,
                    ]
                    .map(has)
                    .contains(&true),
                "the roles worker, gateway, scheduling and notifications reach it there, unless execution is a role of the same process",
            ),
        ];
        let asks = config.auth.is_required(config.listen) && config.roles != [RoleName::Worker];
        let of_access = [
            (
                "access.address",
                !asks || has(RoleName::Access) || config.access.address.is_some(),
                "callers are asked for a credential here, and the access service says whose it is; or make access a role of this process, or set auth.mode to off where nobody else reaches the port",
            ),
            (
                "auth.service_key",
                !asks || config.auth.service_key.is_some(),
                "callers are asked for a credential here, and processes of one NEXUS know each other by this key, the same at all of them (openssl rand -base64 32); or set auth.mode to off where nobody else reaches the port",
            ),
        ];
        let needs = needs.into_iter().chain(of_access);
        match needs.into_iter().find(|(_, met, _)| !met) {
            Some((key, _, why)) => Err(missing(key, why)),
            None => Ok(()),
        }
    }
}

/// An error about a key that is needed and not set.
pub(crate) fn missing(key: &'static str, why: &'static str) -> ConfigError {
    let env = variable_of(key);
    ConfigError::Missing { key, env, why }
}

/// The variable of a key.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

type Values = BTreeMap<&'static str, (Value, Origin)>;

fn unknown(key: &str, origin: Origin) -> ConfigError {
    ConfigError::UnknownKey {
        key: key.to_owned(),
        origin,
        near: keys::nearest(key),
    }
}

fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, Table)>, ConfigError> {
    let usual = || PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some(path) = named.map(Path::to_owned).or_else(usual) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File {
        path: path.clone(),
        source,
    })?;
    match text.parse() {
        Ok(table) => Ok(Some((path, table))),
        Err(error) => Err(ConfigError::Syntax {
            // Without the line itself: it may hold a password.
            problem: match error
                .span()
                .map(|span| text[..span.start.min(text.len())].lines().count())
            {
                Some(line) => format!("{} in line {}", error.message(), line.max(1)),
                None => error.message().to_owned(),
            },
            path,
        }),
    }
}

/// Lays the values of a table over those that are there.
fn flatten(table: &Table, prefix: &str, origin: &Origin, values: &mut Values) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        if let Some(key) = keys::find(&path) {
            lay(key, value.clone(), origin.clone(), values)?;
            continue;
        }
        let inside = format!("{path}.");
        match value {
            Value::Table(section) if KEYS.iter().any(|key| key.name.starts_with(&inside)) => {
                flatten(section, &inside, origin, values)?;
            }
            _ => return Err(unknown(&path, origin.clone())),
        }
    }
    Ok(())
}

fn lay(key: &'static Key, value: Value, origin: Origin, values: &mut Values) -> Result<(), ConfigError> {
    let fits = values::check(key.kind, &value).and_then(|()| {
        values::within(key, &value).map_err(|problem| match usual(key) {
            Some(usual) => format!("{problem}; it is {usual} when not set"),
            None => problem,
        })
    });
    if let Err(problem) = fits {
        return Err(ConfigError::Value {
            key: key.name,
            origin,
            problem,
        });
    }
    values.insert(key.name, (value, origin));
    Ok(())
}

/// An empty text unsets: environments cannot leave a variable out.
fn lay_text(key: &'static Key, text: &str, origin: Origin, values: &mut Values) -> Result<(), ConfigError> {
    if text.is_empty() {
        values.remove(key.name);
        let default = defaults()?.remove(key.name);
        values.extend(default.map(|default| (key.name, default)));
        return Ok(());
    }
    let value = values::parse(key.kind, text).map_err(|problem| ConfigError::Value {
        key: key.name,
        origin: origin.clone(),
        problem,
    })?;
    lay(key, value, origin, values)
}

/// A key's default as it is written in a file.
fn usual(key: &Key) -> Option<String> {
    let defaults = Value::try_from(Config::default()).ok()?;
    let found = key.name.split('.').try_fold(&defaults, |table, name| table.get(name));
    found.map(Value::to_string)
}

/// The values when nobody sets anything.
fn defaults() -> Result<Values, ConfigError> {
    let defaults = Table::try_from(Config::default()).map_err(|error| ConfigError::Internal(error.to_string()))?;
    let mut values = Values::new();
    flatten(&defaults, "", &Origin::Default, &mut values)?;
    Ok(values)
}

/// The key that a variable sets. Variables of other commands, secrets, and those that a cluster sets for its services
/// (`NEXUS_EXECUTION_PORT`) are none of ours: a section ends with two underscores.
fn key_of_variable(name: &str) -> Result<Option<&'static Key>, ConfigError> {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    if rest == NAMESPACE {
        return Ok(keys::find("worker.namespace"));
    }
    if FREE.iter().any(|free| rest.starts_with(free)) {
        return Ok(None);
    }
    let key = rest.replace("__", ".").to_ascii_lowercase();
    match keys::find(&key) {
        Some(found) => Ok(Some(found)),
        None if rest.contains("__") => Err(unknown(&key, Origin::Env(name.to_owned()))),
        None => Ok(None),
    }
}

/// The structure from its values; a value that does not fit is named.
fn assemble(values: &Values) -> Result<Config, ConfigError> {
    let error = match build(values) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let defaults = defaults()?;
    for (key, (value, origin)) in values {
        let mut alone = defaults.clone();
        alone.insert(key, (value.clone(), origin.clone()));
        if let Err(error) = build(&alone) {
            return Err(ConfigError::Value {
                key,
                origin: origin.clone(),
                problem: format!("cannot be used: {}", error.message()),
            });
        }
    }
    Err(ConfigError::Internal(error.to_string()))
}

fn build(values: &Values) -> Result<Config, toml::de::Error> {
    let mut root = Table::new();
    // Sections of which nothing is set are there all the same.
    for (section, _) in KEYS.iter().filter_map(|key| key.name.split_once('.')) {
        root.insert(section.to_owned(), Value::Table(Table::new()));
    }
    for (key, (value, _)) in values {
        // Keys are in sections one deep.
        match key.split_once('.') {
            None => drop(root.insert((*key).to_owned(), value.clone())),
            Some((section, name)) => {
                if let Some(Value::Table(section)) = root.get_mut(section) {
                    section.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    Config::deserialize(Value::Table(root))
}

#[cfg(test)]
mod tests;

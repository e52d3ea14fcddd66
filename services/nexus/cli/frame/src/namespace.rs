//! The namespace that a command is about.

use nexus_api::Namespace;

use super::args::Global;
use super::error::CliError;

/// Says it for all commands; several, for `nexus dev`, with commas.
pub const VARIABLE: &str = "NEXUS_NAMESPACE";

impl Global {
    /// The namespaces of a process that serves: with the flag, else in the environment, else `default`. At least one.
    ///
    /// # Errors
    /// When the environment names what is no namespace.
    pub fn namespaces(&self) -> Result<Vec<Namespace>, CliError> {
        if !self.namespaces.is_empty() {
            return Ok(self.namespaces.clone());
        }
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => read(&text),
            _ => Ok(vec![Namespace::default()]),
        }
    }

    /// The one that the flag says, for the configuration, which reads the environment itself.
    ///
    /// # Errors
    /// When it says several.
    pub fn namespace_flag(&self) -> Result<Option<String>, CliError> {
        if self.namespaces.is_empty() {
            return Ok(None);
        }
        one(&self.namespaces).map(|one| Some(one.to_string()))
    }
}

/// The one of which a command is.
pub fn one(named: &[Namespace]) -> Result<Namespace, CliError> {
    match named {
        [one] => Ok(one.clone()),
        several => Err(CliError::Usage(format!(
            "the command is about one namespace, and {} are named; only `nexus dev` takes several",
            several.len()
        ))),
    }
}

/// Reads the variable.
pub fn read(text: &str) -> Result<Vec<Namespace>, CliError> {
    let named = text.split(',').map(|name| name.trim().parse());
    let named: Result<_, _> = named.collect();
    named.map_err(|error| CliError::Usage(format!("{VARIABLE}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_one_or_several() {
        let names = |text: &str| read(text).map(|named| named.iter().map(Namespace::to_string).collect::<Vec<_>>());
        assert_eq!(names("team-a").expect("one"), ["team-a"]);
        assert_eq!(names("team-a, team-b").expect("two"), ["team-a", "team-b"]);
        for wrong in ["Team", ",", "a,,b"] {
            let error = names(wrong).expect_err(wrong).to_string();
            assert!(error.contains(VARIABLE), "{error}");
        }
    }
}

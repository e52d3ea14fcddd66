//! Passwords as people give them: at the terminal without an echo, or on stdin.

use std::io::{BufRead, IsTerminal, Read, Write};

use nexus_cli_frame::CliError;
use secrecy::{ExposeSecret, SecretString};

/// A line on stdin is not longer: a password has at most 256 characters.
const MAX_LINE: u64 = 4 << 10;

/// Where passwords come from.
pub(super) enum Source {
    Terminal,
    Stdin,
}

impl Source {
    pub(super) fn of(stdin: bool) -> Self {
        if stdin { Self::Stdin } else { Self::Terminal }
    }

    /// One that is there already.
    pub(super) async fn known(&self, prompt: &str) -> Result<SecretString, CliError> {
        match self {
            Self::Terminal => ask(prompt.to_owned()).await,
            Self::Stdin => line(),
        }
    }

    /// One that is to be: what is typed without being seen is typed twice.
    pub(super) async fn chosen(&self, prompt: &str) -> Result<SecretString, CliError> {
        let first = self.known(prompt).await?;
        if matches!(self, Self::Terminal) {
            let again = ask("again: ".to_owned()).await?;
            if first.expose_secret() != again.expose_secret() {
                return Err(CliError::Usage("the two passwords are not the same".to_owned()));
            }
        }
        Ok(first)
    }
}

async fn ask(prompt: String) -> Result<SecretString, CliError> {
    let nobody = || {
        CliError::Usage(
            "there is no terminal to ask for the password at; give it on stdin with --password-stdin".to_owned(),
        )
    };
    // A script that has a terminal somewhere is not to wait there for somebody.
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    let asked = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
    match asked {
        Ok(Ok(password)) if password.is_empty() => Err(CliError::Usage("there is no password".to_owned())),
        Ok(Ok(password)) => Ok(SecretString::from(password)),
        _ => Err(nobody()),
    }
}

fn line() -> Result<SecretString, CliError> {
    read_line(&mut std::io::stdin().lock())
}

/// The next line, without its end. What follows it is left for the next one.
fn read_line(input: &mut impl BufRead) -> Result<SecretString, CliError> {
    let mut text = String::new();
    let read = input.take(MAX_LINE + 1).read_line(&mut text);
    read.map_err(|error| CliError::File {
        path: "stdin".to_owned(),
        problem: error.to_string(),
    })?;
    if text.len() as u64 > MAX_LINE {
        return Err(CliError::Usage(format!(
            "the line on stdin has more than {MAX_LINE} bytes; it holds the password"
        )));
    }
    let password = text.strip_suffix('\n').unwrap_or(&text);
    match password.strip_suffix('\r').unwrap_or(password) {
        "" => Err(CliError::Usage("there is no password on stdin".to_owned())),
        password => Ok(SecretString::from(password.to_owned())),
    }
}

/// Asks for a name at the terminal.
pub(super) fn name() -> Result<String, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Usage("say who logs in with --user NAME".to_owned()));
    }
    eprint!("user: ");
    // A prompt that cannot be shown is followed by a question that cannot be asked.
    let _shown = std::io::stderr().flush();
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_LINE).read_line(&mut text);
    read.map_err(|error| CliError::Other(error.to_string()))?;
    match text.trim() {
        "" => Err(CliError::Usage("say who logs in with --user NAME".to_owned())),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_password_and_the_next_line_the_next() {
        let mut input = "old one \r\nnew\nrest".as_bytes();
        let mut next = || read_line(&mut input).map(|password| password.expose_secret().to_owned());
        assert_eq!(next().expect("first"), "old one ");
        assert_eq!(next().expect("second"), "new");
        assert_eq!(next().expect("without an end"), "rest");
        assert!(next().is_err());
        let most = "x".repeat(usize::try_from(MAX_LINE).expect("small") - 1);
        assert!(read_line(&mut format!("{most}\n").as_bytes()).is_ok());
        assert!(read_line(&mut format!("{most}xx\n").as_bytes()).is_err());
    }
}

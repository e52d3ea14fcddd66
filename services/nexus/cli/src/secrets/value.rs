//! A secret's value as people give it: from a file, on stdin, or at the terminal without an echo.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use nexus_cli_frame::CliError;
use secrecy::{ExposeSecret, SecretString};

/// Bytes of a value at most; the server takes no more.
const MAX_VALUE: u64 = 64 << 10;

/// The value: that of the file, or what comes on stdin, or what is typed.
pub(super) async fn read(file: Option<&Path>) -> Result<SecretString, CliError> {
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| CliError::File {
                path: name.clone(),
                problem: error.to_string(),
            })?;
            all(file, &name)
        }
        None if std::io::stdin().is_terminal() => ask().await,
        _ => line(&all(std::io::stdin().lock(), "stdin")?),
    }
}

/// What a source holds.
fn all(source: impl Read, name: &str) -> Result<SecretString, CliError> {
    let mut text = String::new();
    let wrong = |problem: String| CliError::File {
        path: name.to_owned(),
        problem,
    };
    // A line's end beyond the value may follow it.
    let read = source.take(MAX_VALUE + 3).read_to_string(&mut text);
    let read = read.map(|_| SecretString::from(text));
    let text = read.map_err(|error| wrong(error.to_string()))?;
    if text.expose_secret().trim_end_matches(['\r', '\n']).len() as u64 > MAX_VALUE {
        return Err(wrong(format!("holds more than {MAX_VALUE} bytes, the longest secret")));
    }
    Ok(text)
}

/// A text without the line's end that `echo` and editors put behind it.
fn line(text: &SecretString) -> Result<SecretString, CliError> {
    let text = text.expose_secret();
    let text = text.strip_suffix('\n').unwrap_or(text);
    match text.strip_suffix('\r').unwrap_or(text) {
        "" => Err(CliError::Usage("there is no value on stdin".to_owned())),
        value => Ok(SecretString::from(value)),
    }
}

async fn ask() -> Result<SecretString, CliError> {
    let prompt = |text: &'static str| async move {
        let asked = tokio::task::spawn_blocking(move || rpassword::prompt_password(text)).await;
        let nobody = || CliError::Usage("there is no terminal to ask for the value at; give it on stdin".to_owned());
        match asked {
            Ok(Ok(value)) if value.is_empty() => Err(CliError::Usage("there is no value".to_owned())),
            Ok(Ok(value)) => Ok(SecretString::from(value)),
            _ => Err(nobody()),
        }
    };
    let first = prompt("value: ").await?;
    let again = prompt("again: ").await?;
    if first.expose_secret() != again.expose_secret() {
        return Err(CliError::Usage("the two values are not the same".to_owned()));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_of_stdin_is_none_of_the_value() {
        let given = |text: &str| line(&SecretString::from(text)).map(|value| value.expose_secret().to_owned());
        for (text, value) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a ", " a "),
            ("a\nb", "a\nb"),
        ] {
            assert_eq!(given(text).expect("a value"), value);
        }
        assert!(given("").is_err() && given("\n").is_err());
    }

    #[test]
    fn a_value_is_bounded_before_it_is_sent() {
        let most = usize::try_from(MAX_VALUE).expect("small");
        let of = |length: usize, end: &str| all(format!("{}{end}", "x".repeat(length)).as_bytes(), "stdin");
        assert!(of(most, "").is_ok() && of(most, "\r\n").is_ok());
        let told = of(most + 1, "").expect_err("too long").to_string();
        assert!(told.contains("65536") && !told.contains("xx"), "{told}");
    }
}

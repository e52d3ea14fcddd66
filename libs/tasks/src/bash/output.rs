//! `$NEXUS_OUTPUT`: what a script gives back. Lines `key=value`, blocks `key<<END` … `END`, or one JSON object. A value
//! after `=` is a string, always: `007` and `true` do not change their meaning on the way.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;

use crate::user::TaskUser;
use nexus_attempt::Failure;

/// Reads the file a script wrote.
pub(super) async fn read(path: &Path, limit: usize, user: Option<&TaskUser>) -> Result<String, Failure> {
    let fail = |error: std::io::Error| Failure::new("InvalidOutput", format!("$NEXUS_OUTPUT cannot be read: {error}"));
    let meta = tokio::fs::symlink_metadata(path).await.map_err(fail)?;
    // A link, a device or another's file would make the worker read what the script could not.
    if !meta.is_file() || user.is_some_and(|user| meta.uid() != user.uid) {
        return Err(Failure::new(
            "InvalidOutput",
            "$NEXUS_OUTPUT is no longer a regular file",
        ));
    }
    let file = tokio::fs::File::open(path).await.map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(fail)?;
    if bytes.len() > limit {
        let message = format!("$NEXUS_OUTPUT is larger than the {limit} bytes allowed");
        return Err(Failure::new("OutputTooLarge", message).final_());
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::new("InvalidOutput", "$NEXUS_OUTPUT is not valid UTF-8"))?;
    parse(&text).map_err(|problem| Failure::new("InvalidOutput", format!("$NEXUS_OUTPUT {problem}")))
}

/// The file's text as JSON text.
fn parse(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        // The text itself goes on, so that numbers keep their digits.
        return serde_json::from_str::<Map<String, Value>>(trimmed)
            .map(|_| trimmed.to_owned())
            .map_err(|error| format!("starts like a JSON object but is none: {error}"));
    }
    let mut output = Map::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        // Whichever comes first says which form the line has: a value may hold `<<`, a block's key may not hold `=`.
        let block = line
            .find("<<")
            .filter(|at| line.find('=').is_none_or(|equals| *at < equals));
        let (key, value) = match block {
            Some(at) => {
                let end = line[at + 2..].trim();
                if end.is_empty() {
                    return Err(format!("line {number}: `<<` needs a word that ends the block"));
                }
                let mut block = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, line)) if line == end => break,
                        Some((_, line)) => block.push(line),
                        None => return Err(format!("line {number}: the block has no closing `{end}`")),
                    }
                }
                (&line[..at], block.join("\n"))
            }
            None => {
                let (key, value) = line
                    .split_once('=')
                    .ok_or_else(|| format!("line {number} is neither `key=value` nor `key<<END`"))?;
                (key, value.to_owned())
            }
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("line {number} has no key"));
        }
        output.insert(key.to_owned(), Value::String(value));
    }
    Ok(Value::Object(output).to_string())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_three_forms() {
        assert_eq!(parse("").as_deref(), Ok("{}"));
        assert_eq!(
            parse("a=1\nb=x=y<<z\n\na=2").as_deref(),
            Ok(r#"{"a":"2","b":"x=y<<z"}"#)
        );
        assert_eq!(
            parse("k<<EOF\none\n=two\nEOF\nl=3").as_deref(),
            Ok(r#"{"k":"one\n=two","l":"3"}"#)
        );
        assert_eq!(
            parse(" {\"n\": 12345678901234567890123} \n").as_deref(),
            Ok(r#"{"n": 12345678901234567890123}"#)
        );
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert!(parse("a=1\nnonsense").unwrap_err().contains("line 2"));
        assert!(parse("k<<EOF\nopen").unwrap_err().contains("`EOF`"));
        assert!(parse("{\"a\":}").unwrap_err().contains("JSON object"));
        assert!(parse("=x").unwrap_err().contains("no key"));
    }
}

//! As much of Redis's protocol as it takes to measure one and to ask what it did.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

/// A connection.
pub(crate) struct Redis(BufStream<TcpStream>);

impl Redis {
    pub(crate) async fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufStream::new(stream)))
    }

    /// Sends a command and waits for its answer: all text that is in it, a line for each piece.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> std::io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> std::io::Result<String> {
        let mut text = String::new();
        let mut pieces = 1_i64;
        while pieces > 0 {
            pieces -= 1;
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let (kind, rest) = line.trim_end().split_at_checked(1).unwrap_or_default();
            match kind {
                "-" => return Err(Error::other(rest.to_owned())),
                "*" => pieces += rest.parse::<i64>().map_err(Error::other)?.max(0),
                "$" => self.bulk(rest.parse().map_err(Error::other)?, &mut text).await?,
                _ => text.push_str(rest),
            }
            text.push('\n');
        }
        Ok(text)
    }

    async fn bulk(&mut self, length: i64, text: &mut String) -> std::io::Result<()> {
        // Nothing at all has the length -1, and no end of line.
        let Ok(length) = usize::try_from(length) else {
            return Ok(());
        };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).await?;
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        Ok(())
    }

    /// How often each command was executed since the server's start, those that scripts call included.
    pub(crate) async fn commands(&mut self) -> std::io::Result<BTreeMap<String, f64>> {
        Ok(calls(&self.ask(&["INFO", "commandstats"]).await?))
    }
}

/// Reads lines like `cmdstat_xadd:calls=12,usec=…`. INFO itself is the bench's own.
fn calls(text: &str) -> BTreeMap<String, f64> {
    let call = |line: &str| {
        let (name, rest) = line.trim_end().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let number = rest.split(',').next()?.parse().ok()?;
        (name != "info").then(|| (name.to_owned(), number))
    };
    text.lines().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_by_command() {
        let text = "# Commandstats\r\ncmdstat_xadd:calls=12,usec=3\r\ncmdstat_info:calls=9,usec=3\r\n\
                    cmdstat_script|load:calls=1,usec=2\r\n";
        let expected = [("script|load".to_owned(), 1.0), ("xadd".to_owned(), 12.0)];
        assert_eq!(calls(text), BTreeMap::from(expected));
    }
}

//! Counters that the server shows in the Prometheus text format, where it shows any.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(5);

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) commits: f64,
    pub(crate) rows: f64,
}

/// Reads the counters; none when there is no such address or it does not have them.
pub(crate) async fn read(address: Option<&str>) -> Option<Counters> {
    let text = tokio::time::timeout(LIMIT, fetch(address?)).await.ok()?.ok()?;
    Some(Counters {
        commits: sum(&text, "nexus_commits_total")?,
        rows: sum(&text, "nexus_commit_rows_total")?,
    })
}

async fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The sum over all labels of a counter.
fn sum(text: &str, name: &str) -> Option<f64> {
    let mut values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit(' ').next()?.trim().parse::<f64>().ok()
    });
    let first = values.next()?;
    Some(first + values.sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# TYPE nexus_commits_total counter\nnexus_commits_total{store=\"a\"} 3\n\
                    nexus_commits_total{store=\"b\"} 4\nnexus_commits_total_created 9\n";
        assert_eq!(sum(text, "nexus_commits_total"), Some(7.0));
        assert_eq!(sum(text, "nexus_commit_rows_total"), None);
    }
}

//! Counters that the server shows in the Prometheus text format, where it shows any.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(5);

/// Counters at one moment, or what they grew by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) commits: f64,
    pub(crate) rows: f64,
    /// Commands that were sent to Redis; pipelined ones count each.
    pub(crate) dispatch_commands: f64,
    /// Tasks that went to a worker without Redis.
    pub(crate) direct: f64,
}

impl Counters {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            rows: self.rows - before.rows,
            dispatch_commands: self.dispatch_commands - before.dispatch_commands,
            direct: self.direct - before.direct,
        }
    }
}

/// Reads the counters of all replicas; none when there is no address or one does not have them.
pub(crate) async fn read(addresses: &[String]) -> Option<Counters> {
    let mut all = Counters::default();
    for address in addresses {
        let text = tokio::time::timeout(LIMIT, fetch(address)).await.ok()?.ok()?;
        all.commits += sum(&text, "nexus_commits_total")?;
        all.rows += sum(&text, "nexus_commit_rows_total")?;
        // Those of a mesh's own appear with their first use.
        all.dispatch_commands += sum(&text, "nexus_dispatch_commands_total").unwrap_or(0.0);
        all.direct += sum(&text, "nexus_dispatch_direct_total").unwrap_or(0.0);
    }
    (!addresses.is_empty()).then_some(all)
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

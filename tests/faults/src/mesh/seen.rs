//! What is seen of a run of a mesh: in its database, and by its witness.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexus_fleet::Role;
use nexus_verify::witness::{Record, Run, Said};
use sqlx::{Connection, PgConnection, Row};

use super::MeshArena;
use crate::eventually;

impl MeshArena {
    /// Rows of a question to the database itself; none while it is away.
    pub async fn ask(&self, statement: &'static str) -> Vec<sqlx::postgres::PgRow> {
        let asked = async {
            let mut connection = PgConnection::connect(self.mesh.database()).await?;
            sqlx::query(statement).fetch_all(&mut connection).await
        };
        let limit = Duration::from_secs(5);
        tokio::time::timeout(limit, asked)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default()
    }

    /// The shards that an execution replica owns.
    pub async fn shards_of(&mut self, number: usize) -> Vec<i16> {
        let address = self.mesh.node(Role::Execution, number).advertised();
        let rows = self
            .ask("SELECT s.id::smallint, r.address FROM execution.shards s JOIN execution.replicas r USING (owner)")
            .await;
        let mine = rows.iter().filter(|row| row.get::<String, _>(1) == address);
        mine.map(|row| row.get(0)).collect()
    }

    /// For every execution of some shards that was open at a moment: how long after it something was stored of it.
    /// Executions of which nothing was stored since are left out.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn went_on(&self, shards: &[i16], since_ns: i64) -> Vec<Duration> {
        let mut connection = PgConnection::connect(self.mesh.database()).await.expect("database");
        let rows = sqlx::query(
            "SELECT min(h.at) - $2 FROM execution.executions e JOIN execution.history h ON h.execution = e.id
             WHERE e.shard = ANY($1) AND e.created_at < $2 AND coalesce(e.finished_at, $2 + 1) > $2 AND h.at > $2
             GROUP BY e.id",
        )
        .bind(shards)
        .bind(since_ns / 1_000)
        .fetch_all(&mut connection)
        .await
        .expect("history");
        let took = |row: &sqlx::postgres::PgRow| Duration::from_micros(row.get::<i64, _>(0).unsigned_abs());
        rows.iter().map(took).collect()
    }

    /// The time from a moment to the first thing that is stored of some shards after it.
    ///
    /// # Panics
    /// When nothing is within a minute.
    pub async fn first_decision(&self, shards: &[i16], since_ns: i64) -> Duration {
        let since = since_ns / 1_000;
        let mut found = None;
        eventually("work of the shards goes on", Duration::from_secs(60), async || {
            let Ok(mut connection) = PgConnection::connect(self.mesh.database()).await else {
                return false;
            };
            let asked = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT min(h.at) FROM execution.history h JOIN execution.executions e ON e.id = h.execution
                 WHERE e.shard = ANY($1) AND h.at > $2",
            );
            found = asked
                .bind(shards)
                .bind(since)
                .fetch_one(&mut connection)
                .await
                .ok()
                .flatten();
            found.is_some()
        })
        .await;
        Duration::from_micros((found.unwrap_or(since) - since).unsigned_abs())
    }

    /// The witness's lines so far.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn witnessed(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(self.mesh.folder().join("witness.log")).expect("witness");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().map(serde_json::from_str);
        records.collect::<Result<_, _>>().expect("the witness's lines")
    }

    /// What began so far, with its time in nanoseconds since the epoch.
    #[must_use]
    pub fn begins(&self) -> Vec<(i64, Run)> {
        let begin = |record: Record| match record.said {
            Said::Begin { run } => Some((record.at_ns, run)),
            _ => None,
        };
        self.witnessed().into_iter().filter_map(begin).collect()
    }

    /// What had begun in a life and has not ended by its own word.
    #[must_use]
    pub fn open_runs(&self, life: &str) -> Vec<Run> {
        let mut open: Vec<Run> = Vec::new();
        for record in self.witnessed() {
            match record.said {
                Said::Begin { run } if run.life == life => open.push(run),
                Said::End { run, .. } => open.retain(|known| *known != run),
                _ => {}
            }
        }
        open
    }

    /// Runs that were made again although their worker went on and they had not failed.
    #[must_use]
    pub fn needless_repeats(&self) -> Vec<String> {
        let (mut last, mut failed, mut gone) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut repeats = Vec::new();
        for record in self.witnessed() {
            match record.said {
                Said::Begin { run } => {
                    let before: Option<Run> = last.insert((run.execution.clone(), run.task.clone()), run.clone());
                    let needless = before.filter(|run| !failed.contains(run) && !gone.contains(&run.life));
                    repeats.extend(needless.map(|before| format!("{before:?} and again {run:?}")));
                }
                Said::End { run, ok: false, .. } => drop(failed.insert(run)),
                Said::Mark { mark, life, .. } if mark != "life" => drop(gone.insert(life)),
                Said::End { .. } | Said::Mark { .. } => {}
            }
        }
        repeats
    }

    /// Waits until so many more tasks have begun.
    pub async fn some_begin(&self, more: usize) {
        let before = self.begins().len();
        eventually("tasks begin", Duration::from_secs(90), async || {
            self.begins().len() >= before + more
        })
        .await;
    }

    /// The time from a moment to the first task that begins after it.
    pub async fn first_begin(&self, since_ns: i64) -> Duration {
        let first = || self.begins().into_iter().map(|(at, _)| at).find(|at| *at > since_ns);
        eventually("a task begins", Duration::from_secs(60), async || first().is_some()).await;
        Duration::from_nanos((first().unwrap_or(since_ns) - since_ns).unsigned_abs())
    }

    /// The longest time without any begin between two moments.
    #[must_use]
    pub fn longest_pause(&self, from_ns: i64, until_ns: i64) -> Duration {
        let begins = self.begins().into_iter().map(|(at, _)| at);
        let inside = begins.filter(|at| (from_ns..until_ns).contains(at));
        let mut last = from_ns;
        let mut longest = 0;
        for at in inside.chain([until_ns]) {
            longest = longest.max(at - last);
            last = at;
        }
        Duration::from_nanos(longest.unsigned_abs())
    }
}

//! What a server has used between two moments: CPU by kind of process, commits, rows, commands of Redis.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::BenchError;
use crate::metrics::{self, Counters};
use crate::proc::{self, Table};
use crate::redis::Redis;
use crate::report::Line;
use crate::server::{Kind, Server};
use crate::stats::number;

/// Everything that has been used up to a moment, or between two.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    cpu_ms: BTreeMap<Kind, f64>,
    client_cpu_ms: f64,
    pub(crate) counters: Option<Counters>,
    /// Commands that Redis executed, by name.
    pub(crate) commands: Option<BTreeMap<String, f64>>,
}

impl Costs {
    /// Up to now.
    pub(crate) async fn read(server: &mut Server) -> Result<Self, BenchError> {
        let commands = match server.redis() {
            Some(port) => Some(Redis::connect(port).await?.commands().await?),
            None => None,
        };
        let counters = metrics::read(server.metrics()).await;
        let table = Table::read();
        let mut cpu_ms = BTreeMap::new();
        for process in server.processes() {
            *cpu_ms.entry(process.kind).or_default() += table.cpu_ms(process.pid);
        }
        // The processes are below this one: what they used is not the client's.
        let client_cpu_ms = table.cpu_ms(std::process::id()) - cpu_ms.values().sum::<f64>();
        Ok(Self {
            cpu_ms,
            client_cpu_ms,
            counters,
            commands,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        let difference = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let grown = now
                .iter()
                .map(|(name, count)| (name.clone(), count - then.get(name).unwrap_or(&0.0)));
            grown.filter(|(_, count)| *count > 0.0).collect()
        };
        let used = |kind: &Kind| self.cpu_ms[kind] - before.cpu_ms.get(kind).unwrap_or(&0.0);
        Self {
            cpu_ms: self.cpu_ms.keys().map(|kind| (*kind, used(kind))).collect(),
            client_cpu_ms: (self.client_cpu_ms - before.client_cpu_ms).max(0.0),
            counters: self.counters.zip(before.counters).map(|(now, then)| now.since(then)),
            commands: self
                .commands
                .as_ref()
                .zip(before.commands.as_ref())
                .map(|(now, then)| difference(now, then)),
        }
    }

    /// CPU milliseconds of the server, all its processes together.
    pub(crate) fn server_cpu_ms(&self) -> f64 {
        self.cpu_ms.values().sum()
    }

    /// Adds to a line what each of so many tasks cost.
    pub(crate) fn add_to(&self, line: Line, tasks: f64) -> Line {
        let mut line = line
            .number("cpu_ms_per_task", self.server_cpu_ms() / tasks)
            .number("client_cpu_ms_per_task", self.client_cpu_ms / tasks);
        if let Some(counters) = self.counters {
            line = line
                .number("commits_per_task", counters.commits / tasks)
                .number("rows_per_task", counters.rows / tasks);
        }
        let Some(commands) = &self.commands else { return line };
        let each = |count: &f64| number(count / tasks);
        let by_kind: serde_json::Map<String, Value> = self
            .cpu_ms
            .iter()
            .map(|(kind, used)| (kind.name().to_owned(), each(used)))
            .collect();
        let by_command: serde_json::Map<String, Value> = commands
            .iter()
            .map(|(name, count)| (name.clone(), each(count)))
            .collect();
        line = line
            .value("cpu_ms_per_task_by_kind", json!(by_kind))
            .number("redis_commands_per_task", commands.values().sum::<f64>() / tasks)
            .value("redis_commands_per_task_by_name", json!(by_command));
        match self.counters {
            Some(counters) => line
                .number("redis_sent_per_task", counters.dispatch_commands / tasks)
                .number("past_redis_per_task", counters.direct / tasks),
            None => line,
        }
    }
}

/// The most memory that NEXUS's own processes have held, together.
pub(crate) fn peak_mib(server: &Server) -> f64 {
    server.own().map(proc::peak_mib).sum()
}

pub(crate) fn reset_peaks(server: &Server) {
    server.own().for_each(proc::reset_peak);
}

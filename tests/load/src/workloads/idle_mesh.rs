//! A mesh that has nothing to do, after it had something to do: what it asks of Postgres and Redis, and how often its
//! processes wake up.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sqlx::{Connection, PgConnection, Row};

use super::Bench;
use crate::costs::Costs;
use crate::error::{BenchError, broken};
use crate::proc::{self, Table};
use crate::report::{Aim, Line};
use crate::server::{Kind, Server};
use crate::stats::{Figures, number};
use crate::workflows::{Runner, chain};

/// How long the mesh is left alone before it is looked at. Postgres tells what an idle connection did after up to 10 s.
const SETTLE: Duration = Duration::from_secs(12);
/// What the bench itself asks between two looks: a look's own two questions, which only the next one sees.
const OWN: f64 = 2.0;
/// Counts statements, where it is installed: it comes with Debian's Postgres.
const STATEMENTS: &str = "shared_preload_libraries=pg_stat_statements";

/// What has happened up to a moment.
struct Moment {
    transactions: f64,
    statements: Option<f64>,
    costs: Costs,
    processes: Vec<(Kind, f64, f64)>,
}

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Line>, BenchError> {
    let mut server = match bench.start_mesh(bench.replicas(), &[STATEMENTS]).await {
        Ok((server, _)) => server,
        Err(_) => bench.start().await?,
    };
    {
        // The connections are closed again: the figure is for a mesh that nobody talks to.
        let client = server.client()?;
        let workflow = client.apply(chain("bench_idle", 1, Runner::Local)).await?;
        client.run(&workflow).await?;
    }
    let url = server
        .database()
        .ok_or_else(|| broken("a mesh has a database"))?
        .to_owned();
    let mut connection = PgConnection::connect(&url).await?;
    // Without the library this fails, and statements are not counted.
    let _not_there = sqlx::query("CREATE EXTENSION pg_stat_statements")
        .execute(&mut connection)
        .await;
    let seconds = bench.options.size(30, 3) as f64;
    tokio::time::sleep(if bench.options.quick { SETTLE / 6 } else { SETTLE }).await;
    let before = Moment::read(&mut server, &mut connection).await?;
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let after = Moment::read(&mut server, &mut connection).await?;
    Ok(vec![line(&before, &after, &server, seconds)])
}

impl Moment {
    async fn read(server: &mut Server, connection: &mut PgConnection) -> Result<Self, BenchError> {
        let transactions = "SELECT sum(xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = \
                            current_database()";
        let transactions = sqlx::query(transactions)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        let statements = "SELECT sum(calls)::float8 FROM pg_stat_statements";
        let statements = sqlx::query(statements).fetch_one(&mut *connection).await;
        let statements = statements.ok().and_then(|row| row.try_get(0).ok());
        let costs = Costs::read(server).await?;
        let table = Table::read();
        let of = |process: &crate::server::Process| {
            let sleeps = table.family(process.pid).into_iter().map(proc::sleeps).sum();
            (process.kind, table.cpu_ms(process.pid), sleeps)
        };
        Ok(Self {
            transactions,
            statements,
            costs,
            processes: server.processes().iter().map(of).collect(),
        })
    }
}

fn line(before: &Moment, after: &Moment, server: &Server, seconds: f64) -> Line {
    let per_minute = 60.0 / seconds;
    let mut transactions = Figures::default();
    transactions.add((after.transactions - before.transactions - OWN).max(0.0) * per_minute);
    let mut line = Line::new("idle")
        .figure("transactions/min", &transactions)
        .aim(Some(Aim::AtMost(60.0)))
        .number("rss_mib", server.own().map(proc::rss_mib).sum());
    if let Some((before, after)) = before.statements.zip(after.statements) {
        line = line.number("statements_per_min", (after - before - OWN).max(0.0) * per_minute);
    }
    let costs = after.costs.since(&before.costs);
    if let Some(commands) = &costs.commands {
        let by_name = commands
            .iter()
            .map(|(name, count)| (name.clone(), number(count * per_minute)));
        line = line
            .number("redis_commands_per_min", commands.values().sum::<f64>() * per_minute)
            .value("redis_commands_per_min_by_name", json!(by_name.collect::<Map<_, _>>()));
    }
    if let Some(counters) = costs.counters {
        line = line.number("commits_per_min", counters.commits * per_minute);
    }
    let table = Table::read();
    let each = server
        .processes()
        .iter()
        .zip(before.processes.iter().zip(&after.processes));
    let each = each.map(|(process, ((kind, cpu, sleeps), (_, later_cpu, later_sleeps)))| {
        // What connections of Postgres share counts once.
        let memory: f64 = match kind {
            Kind::Postgres => table.family(process.pid).into_iter().map(proc::share_mib).sum(),
            _ => proc::rss_mib(process.pid),
        };
        json!({
            "kind": kind.name(),
            "wake_ups_per_s": number((later_sleeps - sleeps).max(0.0) / seconds),
            "cpu_ms_per_s": number((later_cpu - cpu).max(0.0) / seconds),
            "rss_mib": number(memory),
        })
    });
    line.value("processes", Value::Array(each.collect()))
}

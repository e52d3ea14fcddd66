//! What the machine can do under a mesh, without NEXUS: a Postgres and a Redis of the same kind with the same settings,
//! used over the same kind of connection, and a gRPC service that does nothing. All of it is there during the whole
//! run, and is measured again before each workload.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nexus_mesh::{Transport, transport};
use nexus_servers::{Postgres, PostgresOptions, Redis, RedisOptions};
use nexus_storage::postgres::{Database, Options};
use serde_json::{Map, Value};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::error::{BenchError, broken};
use crate::limits::Commits;
use crate::redis::Redis as Connection;
use crate::stats::{Figures, number};

/// Rows of a batched commit.
const BATCH: i64 = 100;
/// Round trips of each kind: enough for a median.
const TRIPS: usize = 500;
/// How long a read from a stream waits, in milliseconds.
const BLOCK: &str = "1000";

/// Everything that is measured with.
pub(crate) struct Ruler {
    database: Database,
    redis: Redis,
    grpc: HealthClient<Transport>,
    // Stopped when dropped, after the connections to it.
    postgres: Postgres,
}

/// Ways between processes that do nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hops {
    /// XADDs one after the other, each after the answer to the one before.
    xadd_per_s: f64,
    /// From before an XADD to the entry in the hands of a reader that waits for it.
    stream_ms: f64,
    /// A call and its answer.
    grpc_ms: f64,
}

impl Ruler {
    /// Starts its servers.
    pub(crate) async fn start(settings: Vec<String>) -> Result<Self, BenchError> {
        let options = PostgresOptions {
            fsync: true,
            settings,
            ..PostgresOptions::default()
        };
        let postgres = Postgres::start(options)?;
        let database = Database::connect(&postgres.url(), "public", Options::default()).await?;
        sqlx::query("CREATE TABLE narrow (id BIGINT PRIMARY KEY, state SMALLINT NOT NULL)")
            .execute(database.writer())
            .await?;
        let redis = Redis::start(RedisOptions::default())?;
        let grpc = HealthClient::new(transport::connect(&serve()?).map_err(|error| broken(error.to_string()))?);
        Ok(Self {
            database,
            redis,
            grpc,
            postgres,
        })
    }

    /// A folder on the file system that Postgres uses.
    pub(crate) fn folder(&self) -> &Path {
        self.postgres.socket()
    }

    /// Commits for about so long: single ones, each one statement and so one round trip, then batches.
    pub(crate) async fn commits(&self, time: Duration) -> Result<Commits, BenchError> {
        sqlx::query("TRUNCATE narrow").execute(self.database.writer()).await?;
        let mut next = 0;
        let single_per_s = self.commit(&mut next, 1, time).await?;
        let batches = self.commit(&mut next, BATCH, time / 2).await?;
        Ok(Commits {
            single_per_s,
            batched_rows_per_s: batches * BATCH as f64,
        })
    }

    async fn commit(&self, next: &mut i64, rows: i64, time: Duration) -> Result<f64, BenchError> {
        let begun = Instant::now();
        let mut count = 0.0;
        while begun.elapsed() < time {
            let ids: Vec<i64> = (*next..*next + rows).collect();
            *next += rows;
            sqlx::query("INSERT INTO narrow SELECT id, 1 FROM unnest($1::bigint[]) AS id")
                .bind(ids)
                .execute(self.database.writer())
                .await?;
            count += 1.0;
        }
        Ok(count / begun.elapsed().as_secs_f64())
    }

    /// Measures the ways between processes.
    pub(crate) async fn hops(&self) -> Result<Hops, BenchError> {
        let mut writer = Connection::connect(self.redis.port()).await?;
        writer.ask(&["FLUSHALL"]).await?;
        let begun = Instant::now();
        for _ in 0..TRIPS {
            writer.ask(&["XADD", "alone", "*", "entry", "1"]).await?;
        }
        let xadd_per_s = TRIPS as f64 / begun.elapsed().as_secs_f64();
        let stream_ms = self.stream(&mut writer).await?.median();
        let mut calls = Figures::default();
        let mut grpc = self.grpc.clone();
        for _ in 0..TRIPS {
            let begun = Instant::now();
            grpc.check(HealthCheckRequest::default()).await?;
            calls.add(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Hops {
            xadd_per_s,
            stream_ms,
            grpc_ms: calls.median(),
        })
    }

    async fn stream(&self, writer: &mut Connection) -> Result<Figures, BenchError> {
        let mut reader = Connection::connect(self.redis.port()).await?;
        writer
            .ask(&["XGROUP", "CREATE", "hop", "group", "$", "MKSTREAM"])
            .await?;
        let read = [
            "XREADGROUP",
            "GROUP",
            "group",
            "me",
            "COUNT",
            "16",
            "BLOCK",
            BLOCK,
            "STREAMS",
            "hop",
            ">",
        ];
        let mut trips = Figures::default();
        for _ in 0..TRIPS {
            let added = async {
                // The reader waits in the server by then.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let begun = Instant::now();
                writer.ask(&["XADD", "hop", "*", "entry", "1"]).await?;
                Ok(begun)
            };
            let seen = async {
                reader.ask(&read).await?;
                Ok::<Instant, std::io::Error>(Instant::now())
            };
            let (seen, begun) = tokio::try_join!(seen, added)?;
            trips.add(seen.duration_since(begun).as_secs_f64() * 1e3);
        }
        Ok(trips)
    }
}

impl Hops {
    pub(crate) fn add_to(self, limits: &mut Map<String, Value>) {
        limits.insert("redis_xadd_per_s".into(), number(self.xadd_per_s));
        limits.insert("redis_stream_ms".into(), number(self.stream_ms));
        limits.insert("grpc_call_ms".into(), number(self.grpc_ms));
    }
}

/// Serves health checks on a thread of its own, as another process would; its address.
fn serve() -> Result<String, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = format!("http://{}", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            let (_reporter, health) = tonic_health::server::health_reporter();
            let server = tonic::transport::Server::builder().add_service(health);
            server
                .serve_with_incoming(incoming)
                .await
                .map_err(std::io::Error::other)
        });
        if let Err(error) = served {
            eprintln!("the service for the limits: {error}");
        }
    });
    Ok(address)
}
